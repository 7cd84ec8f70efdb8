"""What the sections hold (spec 5.5): types, imports, tables, memories, globals, exports, segments, one at a time."""

from __future__ import annotations

from .. import typedefs
from ..declarations import Data, Elem, Export, Expr, ExternKind, Global, Import, Memory, Mode, Table, Tag
from ..errors import InvalidError, MalformedError, UnsupportedError
from ..features import Feature
from ..instr.index import BY_NAME, absent_form
from ..limits import MAX_FIELDS, PAGE
from ..types import (
    FUNC,
    FUNCREF,
    I32,
    I64,
    ArrayType,
    CompType,
    DefType,
    FieldType,
    FuncType,
    GlobalType,
    MemoryType,
    StructType,
    TableType,
    ValType,
)
from .code import decode_expr
from .reader import Reader

_REF_FUNC = BY_NAME["ref.func"]
_FUNC_FORM, _STRUCT_FORM, _ARRAY_FORM = 0x60, 0x5F, 0x5E
_SUB, _SUB_FINAL, _REC_FORM = 0x50, 0x4F, b"\x4e"
_MODES = {0: Mode.ACTIVE, 2: Mode.ACTIVE, 1: Mode.PASSIVE, 3: Mode.DECLARATIVE}

#: Bits of the flags of limits, and the features behind them; bit 0 says that there is a maximum.
_SHARED_BIT, _64_BIT, _PAGE_SIZE_BIT = 2, 4, 8
_TABLE_BITS: dict[int, Feature | str] = {_SHARED_BIT: "shared-everything-threads", _64_BIT: Feature.MEMORY64}
_MEMORY_BITS: dict[int, Feature | str] = {
    _PAGE_SIZE_BIT: Feature.CUSTOM_PAGE_SIZES,
    _SHARED_BIT: Feature.THREADS,
    _64_BIT: Feature.MEMORY64,
}
#: The largest page, as a power of two.
_MAX_PAGE_BITS = 64


def types(reader: Reader) -> tuple[DefType, ...]:
    """The type section: recursion groups, made canonical one after the other."""
    made: list[DefType] = []
    for _ in range(reader.count()):
        first = len(made)
        count = 1
        if reader.data[reader.pos : reader.pos + 1] == _REC_FORM and reader.pos < reader.end:
            reader.require(Feature.GC, "recursion group", reader.pos)
            reader.pos += 1
            count = reader.count()
        drafts = [typedefs.draft() for _ in range(count)]
        made += drafts
        # A group of one that isn't marked as such may refer to itself, too, and nothing may refer beyond the group.
        reader.types = made
        for draft in drafts:
            _subtype(reader, draft, first)
            first += 1
        if drafts:
            made[len(made) - count :] = typedefs.canonical(drafts)
    return tuple(made)


def _subtype(reader: Reader, draft: DefType, place: int) -> None:
    """One member of a group, the module's type `place`."""
    offset = reader.pos
    form = reader.byte()
    final, supertype = True, None
    if form in (_SUB, _SUB_FINAL):
        reader.require(Feature.GC, f"type definition {form:#04x}", offset)
        final = form == _SUB_FINAL
        supers = [reader.u32() for _ in range(reader.count())]
        if len(supers) > 1:
            raise InvalidError("a type has one supertype at most", offset=offset)
        if supers:
            if supers[0] >= place:
                raise InvalidError(f"unknown type {supers[0]}: a supertype comes before its subtypes", offset=offset)
            supertype = reader.types[supers[0]]
        form = reader.byte()
    typedefs.describe(draft, _comptype(reader, form, draft, offset), final, supertype)


def _comptype(reader: Reader, form: int, draft: DefType, offset: int) -> CompType:
    if form == _FUNC_FORM:
        return _functype(reader)
    if form in (_STRUCT_FORM, _ARRAY_FORM):
        reader.require(Feature.GC, f"type definition {form:#04x}", offset)
        if form == _ARRAY_FORM:
            return ArrayType(_fieldtype(reader), draft)
        count = reader.count()
        if count > MAX_FIELDS:
            raise MalformedError("too many fields", offset)
        return StructType(tuple([_fieldtype(reader) for _ in range(count)]), draft)
    feature = absent_form(form)
    if feature is not None:
        raise UnsupportedError(feature, f"type definition {form:#04x}", offset=offset)
    raise MalformedError("malformed definition type", offset)


def _functype(reader: Reader) -> FuncType:
    params = reader.valtypes()
    at = reader.pos
    results = reader.valtypes()
    if len(results) > 1:
        reader.require(Feature.MULTI_VALUE, "function type with several results", at)
    return FuncType(params, results)


def _fieldtype(reader: Reader) -> FieldType:
    storage = reader.storagetype()
    return FieldType(storage, _mutable(reader))


def _limits(reader: Reader, bits: dict[int, Feature | str]) -> tuple[int, int | None, ValType, int, bool]:
    """Size limits, the type of addresses, the size of a page, and whether it is shared. `bits` has the feature behind
    each bit of the flags that is known.

    Sizes may be up to 2^64-1 here; what a table or memory may have is the validator's business.
    """
    offset = reader.pos
    flags = reader.byte()
    if flags & ~(sum(bits) | 1):
        raise MalformedError("malformed limits flags", offset)
    low = reader.u64()
    high = reader.u64() if flags & 1 else None
    for bit, feature in bits.items():
        if flags & bit:
            what = f"limits with flags {flags:#04x}"
            if isinstance(feature, str):
                raise UnsupportedError(feature, what, offset=offset)
            reader.require(feature, what, offset)
    page = _page(reader) if flags & _PAGE_SIZE_BIT else PAGE
    return low, high, I64 if flags & _64_BIT else I32, page, bool(flags & _SHARED_BIT)


def _page(reader: Reader) -> int:
    """The size of a page, by its logarithm."""
    offset = reader.pos
    bits = reader.u32()
    if bits > _MAX_PAGE_BITS:
        raise MalformedError("invalid custom page size", offset)
    return 1 << bits


def tabletype(reader: Reader) -> TableType:
    elem = reader.reftype()
    return TableType(elem, *_limits(reader, _TABLE_BITS)[:3])


def memorytype(reader: Reader) -> MemoryType:
    return MemoryType(*_limits(reader, _MEMORY_BITS))


def globaltype(reader: Reader) -> GlobalType:
    content = reader.valtype()
    return GlobalType(content, _mutable(reader))


def _mutable(reader: Reader) -> bool:
    offset = reader.pos
    mutable = reader.byte()
    if mutable > 1:
        raise MalformedError("malformed mutability", offset)
    return mutable == 1


def expression(reader: Reader) -> Expr:
    """A constant expression; whether it is one is the validator's business."""
    ops, reader.pos = decode_expr(reader.data, reader.pos, reader.end, reader.features, True, reader.types)
    ops.pop()
    return ops


def _kind(reader: Reader, message: str) -> ExternKind:
    offset = reader.pos
    kind = reader.byte()
    if kind > ExternKind.TAG:
        raise MalformedError(message, offset)
    if kind == ExternKind.TAG:
        reader.require(Feature.EXCEPTIONS, "tag", offset)
    return ExternKind(kind)


def import_(reader: Reader) -> Import:
    offset = reader.pos
    module = reader.name()
    name = reader.name()
    kind = _kind(reader, "malformed import kind")
    desc: int | TableType | MemoryType | GlobalType
    if kind is ExternKind.FUNC:
        desc = reader.u32()
    elif kind is ExternKind.TABLE:
        desc = tabletype(reader)
    elif kind is ExternKind.MEMORY:
        desc = memorytype(reader)
    elif kind is ExternKind.TAG:
        desc = _tagtype(reader)
    else:
        desc = globaltype(reader)
    return Import(module, name, kind, desc, offset)


def export(reader: Reader) -> Export:
    offset = reader.pos
    name = reader.name()
    kind = _kind(reader, "malformed export kind")
    return Export(name, kind, reader.u32(), offset)


def table(reader: Reader) -> Table:
    offset = reader.pos
    if reader.data[offset : offset + 2] == b"\x40\x00" and reader.end - offset >= 2:
        reader.require(Feature.FUNCTION_REFERENCES, "table with an initial value", offset)
        reader.pos += 2
        return Table(tabletype(reader), expression(reader), offset)
    return Table(tabletype(reader), None, offset)


def memory(reader: Reader) -> Memory:
    offset = reader.pos
    return Memory(memorytype(reader), offset)


def global_(reader: Reader) -> Global:
    offset = reader.pos
    type_ = globaltype(reader)
    return Global(type_, expression(reader), offset)


def tag(reader: Reader) -> Tag:
    offset = reader.pos
    return Tag(_tagtype(reader), offset)


def _tagtype(reader: Reader) -> int:
    """The index of a tag's type. The byte in front of it is for kinds of tags to come."""
    offset = reader.pos
    if reader.byte():
        raise MalformedError("malformed tag attribute", offset)
    return reader.u32()


def elem(reader: Reader) -> Elem:
    """An element segment. Bits of its flags: 0 not active, 1 declarative or with a table index, 2 expressions."""
    offset = reader.pos
    flags = reader.u32()
    if flags > 7:
        raise MalformedError("malformed elements segment kind", offset)
    if flags:
        reader.require(Feature.BULK_MEMORY, "element segment with flags", offset)
    mode = _MODES[flags & 3]
    target, at = 0, None
    if mode is Mode.ACTIVE:
        target = reader.u32() if flags & 2 else 0
        at = expression(reader)
    type_ = FUNCREF if flags & 4 else FUNC.ref(False)
    if flags & 3:
        type_ = reader.reftype() if flags & 4 else _elemkind(reader)
    one = expression if flags & 4 else _func_expression
    init = [one(reader) for _ in range(reader.count())]
    return Elem(type_, init, mode, target, at, offset)


def _elemkind(reader: Reader) -> ValType:
    offset = reader.pos
    if reader.byte():
        raise MalformedError("malformed element kind", offset)
    return FUNC.ref(False)


def _func_expression(reader: Reader) -> Expr:
    """A bare function index, as the expression that it stands for."""
    offset = reader.pos
    return ((offset, _REF_FUNC, reader.u32()),)


def data(reader: Reader) -> Data:
    offset = reader.pos
    flags = reader.u32()
    if flags > 2:
        raise MalformedError("malformed data segment kind", offset)
    if flags == 1:
        reader.require(Feature.BULK_MEMORY, "passive data segment", offset)
    target, at = 0, None
    if flags != 1:
        target = reader.u32() if flags == 2 else 0
        at = expression(reader)
    start = reader.skip(reader.u32())
    return Data(start, reader.pos, _MODES[flags], target, at, offset)

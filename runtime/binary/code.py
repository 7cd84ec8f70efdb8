"""Bodies and other expressions -> instructions, driven by the rows' kinds of immediates (spec 5.4).

`decode_expr` is the decoder's inner loop: what nearly every instruction is (no immediate, one small number, a memory
operand, a block with a one-byte type) is read in line, everything else through a `Reader` in `_rare`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from .. import lean
from ..declarations import Code, Declarations
from ..errors import MalformedError, UnsupportedError
from ..features import Feature
from ..instr.index import DECODED, PREFIXES, absent_opcode
from ..instr.model import Catch, Immediate, Instr, Op
from ..limits import MAX_NESTING
from ..types import VALTYPES, DefType, non_null
from ..values import M32, M64, f32_from_bits, f64_from_bits
from .leb128 import signed, unsigned
from .reader import Reader

#: How the inner loop treats an opcode byte.
_RARE, _PLAIN, _INDEX, _I32, _MEMARG, _BLOCK, _END = range(7)
_SHAPES: dict[Immediate, int] = {
    Immediate.NONE: _PLAIN,
    Immediate.LABEL: _INDEX,
    Immediate.FUNC: _INDEX,
    Immediate.LOCAL: _INDEX,
    Immediate.GLOBAL: _INDEX,
    Immediate.I32: _I32,
    Immediate.MEMARG: _MEMARG,
    Immediate.BLOCK_TYPE: _BLOCK,
}
_IF, _ELSE, _END_CODE, _TRY_TABLE, _EMPTY = 0x04, 0x05, 0x0B, 0x1F, 0x40
_TRY, _CATCH, _DELEGATE, _CATCH_ALL = 0x06, 0x07, 0x18, 0x19
#: What divides or closes a block, by its byte: the bytes that the block may have begun with, or been divided by last;
#: and what it is without such a block.
_PARTS: dict[int, tuple[tuple[int, ...], str]] = {
    _ELSE: ((_IF,), "else without if"),
    _CATCH: ((_TRY, _CATCH), "catch without try"),
    _CATCH_ALL: ((_TRY, _CATCH), "catch_all without try"),
    _DELEGATE: ((_TRY,), "delegate without try"),
}
#: Added to a one-byte negative number: gives its canonical form as an i32.
_NEGATIVE_BYTE = 0x1_0000_0000 - 0x80
_NO_ROW = Instr(-1, "no row")
_Read: TypeAlias = Callable[[Reader], object]


@lean.frozen
class _Dispatch:
    """The rows that a set of features allows, each with what reads its immediate, and per opcode byte the shape and
    the row."""

    allowed: dict[int, tuple[Instr, _Read | None]]
    shapes: list[int]
    rows: list[Instr]
    #: Value types that a block may have as its one-byte type.
    results: dict[int, object]


@functools.lru_cache(maxsize=32)
def _dispatch(features: Feature) -> _Dispatch:
    allowed = {code: (row, _READERS.get(row.immediate)) for code, row in DECODED.items() if row.feature in features}
    shapes = [_RARE] * 256
    rows = [_NO_ROW] * 256
    for code, (row, _) in allowed.items():
        if code < 256:
            rows[code] = row
            shapes[code] = _SHAPES.get(row.immediate, _RARE)
    for byte in _PARTS:
        shapes[byte] = _RARE
    shapes[_END_CODE] = _END
    results: dict[int, object] = {_EMPTY: None}
    results.update((byte, t) for byte, t in VALTYPES.items() if byte >= 0x7C)
    return _Dispatch(allowed, shapes, rows, results)


def decode_body(
    data: bytes, code: Code, features: Feature, data_count_present: bool, types: Sequence[DefType] = ()
) -> list[Op]:
    """The instructions of a function body; the last is the function's closing `end`.

    `types` are the module's. Raises MalformedError, also for an instruction that names a data segment in a module
    without data count, UnsupportedError, and InvalidError for a reference to a type that is not there. Nesting deeper
    than MAX_NESTING is malformed too: nothing sensible comes near it.
    """
    ops, pos = decode_expr(data, code.start, code.end, features, data_count_present, types)
    if pos != code.end:
        raise MalformedError("END opcode expected: bytes follow the end of the function", pos)
    return ops


def bodies(data: bytes, decls: Declarations, features: Feature) -> Iterator[tuple[Code, list[Op]]]:
    """Each function of the module with its instructions, one at a time."""
    counted = decls.data_count is not None
    for code in decls.codes:
        yield code, decode_body(data, code, features, counted, decls.defs)


def decode_expr(
    data: bytes, pos: int, limit: int, features: Feature, data_count_present: bool, types: Sequence[DefType]
) -> tuple[list[Op], int]:
    """The instructions from `pos` up to and including the `end` that closes them, and the position behind it."""
    dispatch = _dispatch(features)
    shapes, rows, results = dispatch.shapes, dispatch.rows, dispatch.results
    # Locals are quicker than globals, and this loop is most of the time that loading takes.
    plain, index, i32, memarg, block, end = _PLAIN, _INDEX, _I32, _MEMARG, _BLOCK, _END
    ops: list[Op] = []
    append = ops.append
    opened = bytearray()
    value: int
    operand: object
    try:
        while pos < limit:
            pc = pos
            byte = data[pos]
            shape = shapes[byte]
            if shape == index:
                value = data[pos + 1]
                pos += 2
                if value > 0x7F:
                    value, pos = unsigned(data, pc + 1, limit, 32)
                append((pc, rows[byte], value))
            elif shape == plain:
                pos += 1
                append((pc, rows[byte], None))
            elif shape == i32:
                value = data[pos + 1]
                pos += 2
                if value > 0x7F:
                    value, pos = signed(data, pc + 1, limit, 32)
                    value &= M32
                elif value > 0x3F:
                    value += _NEGATIVE_BYTE
                append((pc, rows[byte], value))
            elif shape == memarg:
                value = data[pos + 1]
                offset = data[pos + 2]
                pos += 3
                if value > 0x3F:
                    operand, pos = _memarg(data, pc + 1, limit, features)
                    append((pc, rows[byte], operand))
                else:
                    if offset > 0x7F:
                        offset, pos = unsigned(data, pc + 2, limit, 64)
                    append((pc, rows[byte], (value, offset, 0)))
            elif shape == end:
                pos += 1
                append((pc, rows[byte], None))
                if not opened:
                    break
                opened.pop()
            elif shape == block:
                value = data[pos + 1]
                if value in results:
                    pos += 2
                    append((pc, rows[byte], results[value]))
                else:
                    operand, pos = _block_type(data, pc + 1, limit, features, types)
                    append((pc, rows[byte], operand))
                opened.append(byte)
                if len(opened) > MAX_NESTING:
                    raise MalformedError("blocks nested too deeply", pc)
            else:
                op, pos = _rare(data, pc, limit, features, dispatch, data_count_present, types)
                append(op)
                if byte in _PARTS:
                    _divide(opened, byte, pc)
                elif byte == _TRY_TABLE:
                    opened.append(byte)
                    if len(opened) > MAX_NESTING:
                        raise MalformedError("blocks nested too deeply", pc)
        else:
            raise MalformedError("unexpected end: END opcode expected", limit)
    except IndexError:
        raise MalformedError("unexpected end", len(data)) from None
    if pos > limit:
        raise MalformedError("unexpected end", limit)
    return ops, pos


def _divide(opened: bytearray, byte: int, pc: int) -> None:
    """`else` and the like are no instructions of their own (spec 5.4.1): they belong to the innermost open block."""
    before, wrong = _PARTS[byte]
    if not opened or opened[-1] not in before:
        raise MalformedError(f"END opcode expected: {wrong}", pc)
    if byte == _DELEGATE:
        opened.pop()
    else:
        opened[-1] = byte


def _block_type(
    data: bytes, pos: int, limit: int, features: Feature, types: Sequence[DefType]
) -> tuple[object, int]:
    reader = Reader(data, pos, limit, features, types)
    if data[pos] == _EMPTY:
        return None, pos + 1
    if reader.byte() & 0xC0 == 0x40:
        # One byte with the sign bit: a negative number, so a value type.
        reader.pos = pos
        return reader.valtype(), reader.pos
    reader.pos = pos
    number = reader.signed(33)
    if number < 0:
        raise MalformedError("malformed block type", pos)
    reader.require(Feature.MULTI_VALUE, "block with a type index", pos)
    return number, reader.pos


def _memarg(data: bytes, pos: int, limit: int, features: Feature) -> tuple[tuple[int, int, int], int]:
    """A memory operand in the long form: bit 6 of the flags says that a memory index follows."""
    flags, behind = unsigned(data, pos, limit, 32)
    memory = 0
    if flags >= 0x80:
        raise MalformedError("malformed memop flags", pos)
    if flags & 0x40:
        if Feature.MULTI_MEMORY not in features:
            raise UnsupportedError(Feature.MULTI_MEMORY.text, "memory operand with a memory index", offset=pos)
        memory, behind = unsigned(data, behind, limit, 32)
    offset, behind = unsigned(data, behind, limit, 64)
    return (flags & 0x3F, offset, memory), behind


def _rare(
    data: bytes, pc: int, limit: int, features: Feature, dispatch: _Dispatch, data_count_present: bool,
    types: Sequence[DefType],
) -> tuple[Op, int]:  # fmt: skip
    code, pos = data[pc], pc + 1
    if code in PREFIXES:
        sub = data[pos]
        pos += 1
        if sub > 0x7F:
            sub, pos = unsigned(data, pc + 1, limit, 32)
        if sub > 0xFFFF:
            raise MalformedError(f"illegal opcode {code:02x} {sub}", pc)
        code = code << 16 | sub
    found = dispatch.allowed.get(code)
    if found is None:
        raise _no_row(code, pc)
    row, read = found
    if read is None:
        return (pc, row, None), pos
    if not data_count_present and row.immediate in _NEEDS_COUNT:
        raise MalformedError("data count section required", pc)
    reader = Reader(data, pos, limit, features, types)
    return (pc, row, read(reader)), reader.pos


def _no_row(code: int, pc: int) -> MalformedError | UnsupportedError:
    row = DECODED.get(code)
    if row is not None:
        return UnsupportedError(row.feature.text, f"instruction {row.name}", offset=pc)
    text = f"{code:02x}" if code < 256 else f"{code >> 16:02x} {code & 0xFFFF:02x}"
    feature = absent_opcode(code)
    if feature is not None:
        return UnsupportedError(feature, f"opcode {text}", offset=pc)
    return MalformedError(f"illegal opcode {text}", pc)


def _memory_index(reader: Reader) -> int:
    offset = reader.pos
    index = reader.u32()
    if index:
        reader.require(Feature.MULTI_MEMORY, f"memory index {index}", offset)
    return index


def _table_index(reader: Reader) -> int:
    offset = reader.pos
    index = reader.u32()
    if index:
        reader.require(Feature.REFERENCE_TYPES, f"table index {index}", offset)
    return index


def _labels(reader: Reader) -> object:
    labels = tuple([reader.u32() for _ in range(reader.count())])
    return labels, reader.u32()


def _call_indirect(reader: Reader) -> object:
    type_index = reader.u32()
    return _table_index(reader), type_index


def _table_elem(reader: Reader) -> object:
    segment = reader.u32()
    return _table_index(reader), segment


def _memory_data(reader: Reader) -> object:
    segment = reader.u32()
    return _memory_index(reader), segment


def _two(reader: Reader) -> tuple[int, int]:
    return reader.u32(), reader.u32()


def _cast(reader: Reader) -> object:
    """Label and both types; the flags say which of them may be null."""
    offset = reader.pos
    flags = reader.byte()
    if flags > 3:
        raise MalformedError("malformed br_on_cast flags", offset)
    label = reader.u32()
    given, tried = reader.heaptype(), reader.heaptype()
    return label, given if flags & 1 else non_null(given), tried if flags & 2 else non_null(tried)


def _operand(reader: Reader) -> tuple[int, int, int]:
    operand, reader.pos = _memarg(reader.data, reader.pos, reader.end, reader.features)
    return operand


def _try_table(reader: Reader) -> object:
    block, reader.pos = _block_type(reader.data, reader.pos, reader.end, reader.features, reader.types)
    return block, tuple([_catch(reader) for _ in range(reader.count())])


def _catch(reader: Reader) -> Catch:
    """A clause: bit 0 of its first byte says that the exception itself is handed on, bit 1 that there is no tag."""
    offset = reader.pos
    kind = reader.byte()
    if kind > 3:
        raise MalformedError("malformed catch clause", offset)
    tag = None if kind & 2 else reader.u32()
    return Catch(tag, bool(kind & 1), reader.u32())


def _fence(reader: Reader) -> None:
    offset = reader.pos
    if reader.byte():
        raise MalformedError("zero byte expected", offset)


def _sixteen(reader: Reader) -> bytes:
    return reader.data[reader.skip(16) : reader.pos]


_NEEDS_COUNT = frozenset((Immediate.DATA, Immediate.MEMORY_DATA, Immediate.TYPE_DATA))
_READERS: dict[Immediate, _Read] = {
    Immediate.LABEL: Reader.u32,
    Immediate.LABELS: _labels,
    Immediate.CALL_INDIRECT: _call_indirect,
    Immediate.TABLE: _table_index,
    Immediate.TABLE_TABLE: lambda reader: (_table_index(reader), _table_index(reader)),
    Immediate.TABLE_ELEM: _table_elem,
    Immediate.ELEM: Reader.u32,
    Immediate.MEMORY: _memory_index,
    Immediate.MEMORY_MEMORY: lambda reader: (_memory_index(reader), _memory_index(reader)),
    Immediate.MEMORY_DATA: _memory_data,
    Immediate.DATA: Reader.u32,
    Immediate.MEMARG: _operand,
    Immediate.MEMARG_LANE: lambda reader: (*_operand(reader), reader.byte()),
    Immediate.FENCE: _fence,
    Immediate.LANE: Reader.byte,
    Immediate.LANES: _sixteen,
    Immediate.V128: _sixteen,
    Immediate.I64: lambda reader: reader.signed(64) & M64,
    Immediate.F32: lambda reader: f32_from_bits(reader.bits(4)),
    Immediate.F64: lambda reader: f64_from_bits(reader.bits(8)),
    Immediate.REF_TYPE: Reader.heaptype,
    Immediate.TYPE: Reader.u32,
    Immediate.TYPE_FIELD: _two,
    Immediate.TYPE_COUNT: _two,
    Immediate.TYPE_DATA: _two,
    Immediate.TYPE_ELEM: _two,
    Immediate.TYPE_TYPE: _two,
    Immediate.CAST: _cast,
    Immediate.VAL_TYPES: Reader.valtypes,
    Immediate.TAG: Reader.u32,
    Immediate.TRY_TABLE: _try_table,
}

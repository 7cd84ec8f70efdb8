"""A module's bytes -> declarations (spec 5.5.2): section order, sizes, and what sections say about each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .. import lean
from ..declarations import (
    Code,
    Data,
    Declarations,
    Elem,
    Export,
    ExternKind,
    Global,
    Import,
    Memory,
    Names,
    Table,
    Tag,
)
from ..errors import MalformedError
from ..features import Feature
from ..limits import MAX_LOCALS
from ..types import DefType, FuncType, ValType
from . import entities
from .code import bodies as decode_bodies
from .names import decode_names
from .reader import Reader

T = TypeVar("T")

_MAGIC = b"\0asm"
_VERSION = b"\x01\0\0\0"
_CUSTOM, _TAG = 0, 13
#: Sections in the order in which they may occur. The data count comes before the code, which must know it.
_ORDER = {id_: place for place, id_ in enumerate((1, 2, 3, 4, 5, _TAG, 6, 7, 8, 9, 12, 10, 11))}


def decode(data: bytes | bytearray | memoryview, features: Feature, *, bodies: bool = True) -> Declarations:
    """The declarations of a module; with `bodies` each function body is decoded as well, and thrown away.

    Raises MalformedError, or UnsupportedError where the bytes need a feature that is off or not there yet, or
    InvalidError where a reference is to a type that is not there; all with the offset. Without `bodies` a function
    body that is malformed goes unseen until `decode_body`.
    """
    raw = bytes(data)
    decls = _Decoder(Reader(raw, 0, len(raw), features)).module()
    if bodies:
        for _ in decode_bodies(raw, decls, features):
            pass
    return decls


@lean.define
class _Decoder:
    """What has been read so far, one method a section."""

    reader: Reader
    types: tuple[DefType, ...] = ()
    imports: tuple[Import, ...] = ()
    funcs: tuple[int, ...] = ()
    tables: tuple[Table, ...] = ()
    memories: tuple[Memory, ...] = ()
    globals: tuple[Global, ...] = ()
    tags: tuple[Tag, ...] = ()
    exports: tuple[Export, ...] = ()
    start: int | None = None
    elems: tuple[Elem, ...] = ()
    data_count: int | None = None
    codes: tuple[Code, ...] = ()
    datas: tuple[Data, ...] = ()
    customs: list[tuple[str, int, int]] = lean.field(factory=list)
    names: Names | None = None

    def module(self) -> Declarations:
        self._preamble()
        reader = self.reader
        last = -1
        while reader.pos < reader.end:
            offset = reader.pos
            id_ = reader.byte()
            place = _ORDER.get(id_)
            if place is None and id_ != _CUSTOM:
                raise MalformedError(f"malformed section id {id_}", offset)
            section = reader.part()
            if place is None:
                self._custom(section)
                continue
            if place <= last:
                raise MalformedError(f"unexpected content after last section: section {id_} out of order", offset)
            last = place
            self._section(id_, section, offset)
        self._check_lengths()
        return self._declarations()

    def _declarations(self) -> Declarations:
        return Declarations(
            types=tuple([type_.comp for type_ in self.types]),
            defs=self.types,
            imports=self.imports,
            codes=self.codes,
            tables=self.tables,
            memories=self.memories,
            globals=self.globals,
            tags=self.tags,
            exports=self.exports,
            start=self.start,
            elems=self.elems,
            data_count=self.data_count,
            datas=self.datas,
            customs=tuple(self.customs),
            names=Names() if self.names is None else self.names,
        )

    def _preamble(self) -> None:
        for want, message in (_MAGIC, "magic header not detected"), (_VERSION, "unknown binary version"):
            start = self.reader.pos
            have = self.reader.data[start : start + 4]
            if have != want[: len(have)]:
                raise MalformedError(message, start)
            if len(have) < 4:
                raise MalformedError("unexpected end", start + len(have))
            self.reader.pos += 4

    def _section(self, id_: int, section: Reader, offset: int) -> None:
        match id_:
            case 1:
                self.types = self.reader.types = entities.types(section)
            case 2:
                self.imports = _vector(section, entities.import_)
            case 3:
                self.funcs = _vector(section, Reader.u32)
            case 4:
                self.tables = _vector(section, entities.table)
            case 5:
                self.memories = _vector(section, entities.memory)
            case 6:
                self.globals = _vector(section, entities.global_)
            case 7:
                self.exports = _vector(section, entities.export)
            case 8:
                self.start = section.u32()
            case 9:
                self.elems = _vector(section, entities.elem)
            case 10:
                self.codes = self._codes(section, offset)
            case 11:
                self.datas = _vector(section, entities.data)
            case 12:
                section.require(Feature.BULK_MEMORY, "data count section", offset)
                self.data_count = section.u32()
            case _:
                section.require(Feature.EXCEPTIONS, "tag section", offset)
                self.tags = _vector(section, entities.tag)
        section.finish("section size mismatch")

    def _custom(self, section: Reader) -> None:
        """The name belongs to the format and must be right; the contents are nobody's business but a tool's."""
        name = section.name()
        self.customs.append((name, section.pos, section.end))
        if name == "name" and self.names is None:
            self.names = decode_names(section)

    def _codes(self, section: Reader, offset: int) -> tuple[Code, ...]:
        count = section.count()
        if count != len(self.funcs):
            raise MalformedError("function and code section have inconsistent lengths", offset)
        first = sum(1 for i in self.imports if i.kind is ExternKind.FUNC)
        return tuple([self._code(section, first + i, type_index) for i, type_index in enumerate(self.funcs)])

    def _code(self, section: Reader, index: int, type_index: int) -> Code:
        """Where a body lies, and its locals. A type index out of range is the validator's to find."""
        body = section.part()
        type_ = self.types[type_index].comp if type_index < len(self.types) else None
        total = len(type_.params) if isinstance(type_, FuncType) else 0
        groups: list[tuple[int, ValType]] = []
        for _ in range(body.count()):
            offset = body.pos
            count = body.u32()
            total += count
            if total > MAX_LOCALS:
                raise MalformedError("too many locals", offset)
            groups.append((count, body.valtype()))
        return Code(index, type_index, tuple(groups), body.pos, body.end)

    def _check_lengths(self) -> None:
        end = self.reader.end
        if len(self.codes) != len(self.funcs):
            raise MalformedError("function and code section have inconsistent lengths", end)
        if self.data_count is not None and self.data_count != len(self.datas):
            raise MalformedError("data count and data section have inconsistent lengths", end)


def _vector(section: Reader, one: Callable[[Reader], T]) -> tuple[T, ...]:
    return tuple([one(section) for _ in range(section.count())])

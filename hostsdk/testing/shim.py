"""The module behind `FakeGuest`: it imports host functions and exports a function for each that passes calls on."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import attrs

from .._engine import DefType, FuncType, ValType
from .._loaded import Module


@attrs.frozen
class Import:
    """A host function, as guests import it."""

    module: str
    name: str
    type: FuncType

    @property
    def export(self) -> str:
        """What the function that passes calls on is called."""
        return f"{self.module}.{self.name}"


@functools.lru_cache(64)
def shim(imports: tuple[Import, ...], pages: int) -> Module:
    """A module with `pages` pages of memory and, for each import, an export of its type. Each is in the table
    `__indirect_function_table`, the first at index 1, so that host functions can be handed to host functions."""
    count = len(imports)
    types: list[FuncType] = []
    placed = [_place(i.type, types) for i in imports]
    functions = [_uint(place) for place in placed]
    exports = [[*_name(i.export), 0, *_uint(count + n)] for n, i in enumerate(imports)]
    exports += [[*_name("memory"), 2, 0], [*_name("__indirect_function_table"), 1, 0]]
    indexes = [_uint(count + n) for n in range(count)]
    return Module.from_bytes(
        b"\0asm\1\0\0\0"
        + _section(1, _vector([0x60, *_kinds(t.params, types), *_kinds(t.results, types)] for t in types))
        + _section(
            2,
            _vector(
                [*_name(i.module), *_name(i.name), 0, *_uint(place)] for i, place in zip(imports, placed, strict=True)
            ),
        )
        + _section(3, _vector(functions))
        + _section(4, [1, 0x70, 0, *_uint(count + 1)])
        + _section(5, [1, 0, *_uint(pages)])
        + _section(7, _vector(exports))
        + (_section(9, [1, 0, 0x41, 1, 0x0B, *_vector(indexes)]) if count else b"")
        + _section(10, _vector(_body(n, i.type) for n, i in enumerate(imports)))
    )


def _body(index: int, type_: FuncType) -> list[int]:
    gets = [byte for n in range(len(type_.params)) for byte in (0x20, *_uint(n))]
    code = [0, *gets, 0x10, *_uint(index), 0x0B]
    return [*_uint(len(code)), *code]


def _place(type_: FuncType, types: list[FuncType]) -> int:
    """The index of a function type among `types`, which it joins behind those that it refers to."""
    for kind in (*type_.params, *type_.results):
        if isinstance(kind.heap, DefType) and isinstance(kind.heap.comp, FuncType):
            _place(kind.heap.comp, types)
    if type_ not in types:
        types.append(type_)
    return types.index(type_)


def _kinds(kinds: Sequence[ValType], types: list[FuncType]) -> list[int]:
    return [*_uint(len(kinds)), *(byte for kind in kinds for byte in _kind(kind, types))]


def _kind(kind: ValType, types: list[FuncType]) -> list[int]:
    """A value type's bytes: spec 5.3.4."""
    heap = kind.heap
    if isinstance(heap, DefType):
        # What annotations can name is a function type. The index is a signed number, which a byte more keeps positive.
        index = types.index(heap.comp) if isinstance(heap.comp, FuncType) else 0
        return [0x63 if kind.nullable else 0x64, index & 0x7F | 0x80, index >> 7 & 0x3F]
    return [kind.code] if heap is None or kind.nullable else [0x64, heap.code]


def _name(text: str) -> list[int]:
    data = text.encode()
    return [*_uint(len(data)), *data]


def _vector(items: Iterable[list[int]]) -> list[int]:
    parts = list(items)
    return [*_uint(len(parts)), *(byte for part in parts for byte in part)]


def _section(number: int, content: list[int]) -> bytes:
    return bytes([number, *_uint(len(content)), *content])


def _uint(value: int) -> list[int]:
    """LEB128."""
    out = []
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return [*out, value]

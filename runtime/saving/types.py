"""Types as saved data: a number for those of one byte, for other references what they refer to; and the recursion
groups of defined types, each a list of its members, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import lean, typedefs
from ..errors import InvalidError
from ..limits import MAX_FIELDS
from ..types import (
    HEAPS,
    I8,
    I16,
    VALTYPES,
    ArrayType,
    CompType,
    DefType,
    FieldType,
    FuncType,
    Heap,
    StructType,
    ValType,
)
from .form import corrupt

_PACKED = {t.code: t for t in (I8, I16)}


@lean.define
class TypeWriter:
    """Turns types into data. `groups` fills as types are met, and describing one may add others."""

    groups: list[tuple[DefType, ...]] = lean.field(factory=list)
    _numbers: dict[DefType, int] = lean.field(factory=dict)

    def defined(self, type_: DefType) -> list[object]:
        """A defined type: its group's number, its place."""
        first = type_.group[0]
        number = self._numbers.get(first)
        if number is None:
            number = self._numbers[first] = len(self.groups)
            self.groups.append(type_.group)
        return ["t", number, type_.place]

    def value(self, type_: ValType) -> object:
        """A value type, or a packed one."""
        heap = type_.heap
        if heap is None or VALTYPES.get(type_.code) is type_:
            return type_.code
        return [type_.nullable, heap.code if isinstance(heap, Heap) else self.defined(heap)]

    def func(self, type_: FuncType) -> object:
        """A function type."""
        if type_.of is not None:
            return self.defined(type_.of)
        return [[self.value(t) for t in type_.params], [self.value(t) for t in type_.results]]

    def group(self, group: tuple[DefType, ...]) -> object:
        """A recursion group."""
        return [self._member(member) for member in group]

    def _member(self, member: DefType) -> object:
        above = None if member.supertype is None else self.defined(member.supertype)
        comp = member.comp
        if isinstance(comp, FuncType):
            shape: list[object] = ["f", [self.value(t) for t in comp.params], [self.value(t) for t in comp.results]]
        elif isinstance(comp, StructType):
            shape = ["s", *[[self.value(f.storage), f.mutable] for f in comp.fields]]
        else:
            shape = ["a", self.value(comp.field.storage), comp.field.mutable]
        return [member.final, above, *shape]


class TypeReader:
    """Turns data into types. Raises SnapshotError for what no `TypeWriter` made."""

    def __init__(self, groups: list[Any]) -> None:
        self._data = groups
        self._made: dict[int, tuple[DefType, ...]] = {}
        opened: set[int] = set()
        todo = list(range(len(groups)))
        while todo:
            number = todo[-1]
            if number in self._made:
                todo.pop()
                continue
            needed = [other for other in self._mentioned(groups[number]) if other != number and other not in self._made]
            if not needed:
                self._made[number] = self._group(number, groups[number])
            elif number in opened:
                raise corrupt("types that need one another")
            opened.add(number)
            todo += needed

    def _mentioned(self, data: Any) -> Iterator[int]:
        """The groups that a group's data refers to."""
        todo = [data]
        while todo:
            item = todo.pop()
            if type(item) is not list:
                continue
            if len(item) == 3 and item[0] == "t":
                if type(item[1]) is not int or not 0 <= item[1] < len(self._data):
                    raise corrupt(f"no group of types {item[1]!r}")
                yield item[1]
            else:
                todo += item

    def defined(self, data: Any) -> DefType:
        """A defined type."""
        match data:
            case ["t", int(number), int(place)] if number in self._made and 0 <= place < len(self._made[number]):
                return self._made[number][place]
        raise corrupt(f"{data!r} is no defined type")

    def value(self, data: Any) -> ValType:
        """A value type."""
        if type(data) is int and data in VALTYPES:
            return VALTYPES[data]
        match data:
            case [bool(nullable), int(code)] if code in HEAPS:
                return HEAPS[code].ref(nullable)
            case [bool(nullable), list(defined)]:
                return self.defined(defined).ref(nullable)
        raise corrupt(f"{data!r} is no type")

    def func(self, data: Any) -> FuncType:
        """A function type."""
        match data:
            case ["t", _, _]:
                comp = self.defined(data).comp
                if isinstance(comp, FuncType):
                    return comp
            case [list(params), list(results)]:
                return FuncType(tuple(map(self.value, params)), tuple(map(self.value, results)))
        raise corrupt("no function type")

    def _group(self, number: int, data: Any) -> tuple[DefType, ...]:
        if type(data) is not list or not data:
            raise corrupt("no group of types")
        drafts = [typedefs.draft() for _ in data]
        # So that members find one another while they are described.
        self._made[number] = tuple(drafts)
        for place, (draft, member) in enumerate(zip(drafts, data, strict=True)):
            self._describe(draft, member, drafts[:place])
        for draft in drafts:
            above = draft.supertype
            if above is not None and (above.final or not typedefs.may_extend(draft.comp, above.comp)):
                raise corrupt("a type that doesn't fit its supertype")
        return typedefs.canonical(drafts)

    def _describe(self, draft: DefType, data: Any, before: list[DefType]) -> None:
        match data:
            case [bool(final), above, str(kind), *rest]:
                supertype = None if above is None else self.defined(above)
                if supertype is not None and not supertype.group and supertype not in before:
                    raise corrupt("a type before its supertype")
                try:
                    typedefs.describe(draft, self._comp(draft, kind, rest), final, supertype)
                except InvalidError as error:
                    raise corrupt(error) from None
            case _:
                raise corrupt("no defined type")

    def _comp(self, draft: DefType, kind: str, rest: list[Any]) -> CompType:
        match kind, rest:
            case "f", [list(params), list(results)]:
                return FuncType(tuple(map(self.value, params)), tuple(map(self.value, results)))
            case "s", fields if len(fields) <= MAX_FIELDS:
                return StructType(tuple(map(self._field, fields)), draft)
            case "a", [_, _]:
                return ArrayType(self._field(rest), draft)
        raise corrupt("no defined type")

    def _field(self, data: Any) -> FieldType:
        match data:
            case [storage, bool(mutable)]:
                packed = _PACKED.get(storage) if type(storage) is int else None
                return FieldType(packed or self.value(storage), mutable)
        raise corrupt("no field")

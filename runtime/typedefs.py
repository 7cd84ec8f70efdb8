"""Defined types made canonical: one object for all that are the same (spec 3.3.2, iso-recursive equivalence).

A recursion group is looked up by its members' shapes, in which references to members stand as their places and
references to older types as the types themselves, canonical already. So two types of any two modules are the same
exactly if they are the same object, and nothing ever compares them deeply. Groups that nobody holds are forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from weakref import WeakValueDictionary

from . import lean
from .errors import InvalidError
from .limits import MAX_SUPERTYPES
from .types import CompType, DefType, FieldType, FuncType, StructType, ValType, type_matches, types_match

_Key: TypeAlias = "tuple[object, ...]"

#: First members of the groups in use.
_known: WeakValueDictionary[_Key, DefType] = WeakValueDictionary()
_lock = threading.Lock()


def draft() -> DefType:
    """A type to be filled by `describe`, so that others of its group can refer to it before."""
    return DefType(FuncType(), True, ())


def describe(type_: DefType, comp: CompType, final: bool = True, supertype: DefType | None = None) -> None:
    """Fill a draft. Raises InvalidError where its line of supertypes gets too long."""
    line = () if supertype is None else supertype.line
    if len(line) > MAX_SUPERTYPES:
        raise InvalidError(f"a type with more than {MAX_SUPERTYPES} supertypes above it")
    type_.comp, type_.final, type_.line = comp, final, (*line, type_)


def canonical(members: Sequence[DefType]) -> tuple[DefType, ...]:
    """The types that these drafts, one recursion group, describe. Drafts that are known already are to be dropped."""
    places = {member: place for place, member in enumerate(members)}
    key = tuple([_member_key(member, places) for member in members])
    with _lock:
        found = _known.get(key)
        if found is not None:
            return found.group
        group = tuple(members)
        plain = len(group) == 1 and key == (_plain_key(members[0].comp),)
        for place, member in enumerate(group):
            member.group, member.place = group, place
            if isinstance(member.comp, FuncType):
                member.comp = lean.evolve(member.comp, of=None if plain else member)
        _known[key] = group[0]
    return group


def defined(comp: CompType) -> DefType:
    """The defined type of this shape."""
    if comp.of is not None:
        return comp.of
    made = draft()
    describe(made, comp)
    return canonical([made])[0]


def _plain_key(comp: CompType) -> _Key | None:
    """The key of a function type that says nothing but parameters and results."""
    return (True, None, "func", comp.params, comp.results) if isinstance(comp, FuncType) else None


def _member_key(member: DefType, places: Mapping[DefType, int]) -> _Key:
    above = member.supertype
    supertype: object = above if above is None else places.get(above, above)
    comp = member.comp
    if isinstance(comp, FuncType):
        params, results = (tuple([_value_key(t, places) for t in types]) for types in (comp.params, comp.results))
        return (member.final, supertype, "func", params, results)
    if isinstance(comp, StructType):
        fields = [(_value_key(field.storage, places), field.mutable) for field in comp.fields]
        return (member.final, supertype, "struct", *fields)
    return (member.final, supertype, "array", _value_key(comp.field.storage, places), comp.field.mutable)


def _value_key(type_: ValType, places: Mapping[DefType, int]) -> object:
    if isinstance(type_.heap, DefType):
        place = places.get(type_.heap)
        if place is not None:
            return (type_.nullable, place)
    return type_


def _field_matches(have: FieldType, want: FieldType) -> bool:
    if have.mutable != want.mutable:
        return False
    return have.storage is want.storage or (not have.mutable and type_matches(have.storage, want.storage))


def may_extend(have: CompType, want: CompType) -> bool:
    """Whether a type of one shape may declare one of the other as its supertype (spec 3.3.6)."""
    if isinstance(have, FuncType):
        if not isinstance(want, FuncType):
            return False
        return types_match(want.params, have.params) and types_match(have.results, want.results)
    if isinstance(have, StructType):
        if not isinstance(want, StructType):
            return False
        longer = len(have.fields) >= len(want.fields)
        return longer and all(map(_field_matches, have.fields, want.fields))
    return not isinstance(want, (FuncType, StructType)) and _field_matches(have.field, want.field)

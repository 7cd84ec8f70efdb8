"""Matching imports with what there is for them, by name and by type (spec 4.5.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from .. import lean
from ..declarations import Import
from ..errors import UnlinkableError
from ..instances.instance import Extern
from ..module import Module
from ..types import ExternType, describe, matches


@lean.frozen
class ByType:
    """Imports from a function of module, name and the type that is wanted, for an owner whose functions can be had in
    several types. It gives None for what it hasn't got."""

    find: Callable[[str, str, ExternType], Extern | None]


#: Where externs come from: a function of module and name that gives None for what it hasn't got, or the externs by
#: module and name (an instance's `exports` is such an inner mapping).
Imports: TypeAlias = Callable[[str, str], Extern | None] | ByType | Mapping[str, Mapping[str, Extern]]


def resolve(module: Module, imports: Imports) -> list[Extern]:
    """The externs for the module's imports, in order.

    Raises UnlinkableError: where some are missing it names all of them, else the first of a wrong type. What is given
    and not imported is ignored.
    """
    decls = module.decls
    find = _finder(imports)
    types = module.wants
    found = [find(item.module, item.name, type_) for item, type_ in zip(decls.imports, types, strict=True)]
    externs = [extern for extern in found if extern is not None]
    if len(externs) < len(found):
        missing = [item for item, extern in zip(decls.imports, found, strict=True) if extern is None]
        names = ", ".join(dict.fromkeys(f"{_name(i)} ({describe(module.import_type(i))})" for i in missing))
        raise UnlinkableError(f"unknown import: {names}", tuple(dict.fromkeys((i.module, i.name) for i in missing)))
    for item, extern, want in zip(decls.imports, externs, types, strict=True):
        have = extern.type
        if have is not want and not matches(have, want):
            raise UnlinkableError(
                f"incompatible import type: {_name(item)} is to be a {describe(want)}, "
                f"but what is given is a {describe(have)}"
            )
    return externs


def _finder(imports: Imports) -> Callable[[str, str, ExternType], Extern | None]:
    if isinstance(imports, ByType):
        return imports.find
    if callable(imports):
        return lambda module, name, type_: imports(module, name)
    nothing: Mapping[str, Extern] = {}
    return lambda module, name, type_: imports.get(module, nothing).get(name)


def _name(item: Import) -> str:
    return f"{item.module}.{item.name}"

"""Kinds of resources that can be saved: what an author says of a class, and the table as plain data and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ._engine import SnapshotError, lean
from ._resources import Resource, ResourceTable


@lean.frozen(eq=False)
class ResourceKind:
    """How objects of one class become plain data and are made again."""

    kind: type[Any]
    save: Callable[[Any], object]
    load: Callable[[Any, Any], Any]
    close: Callable[[Any], object] | None

    @property
    def name(self) -> str:
        """What it is called in a snapshot. No code is found by it: the module that loads has to know the name."""
        return self.kind.__qualname__


class _Module(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def resource_kinds(self) -> Mapping[type[Any], ResourceKind]: ...


class Bound(Protocol):
    """A host module with its state for one instance."""

    @property
    def module(self) -> _Module: ...
    @property
    def state(self) -> Any: ...


def save_resources(table: ResourceTable, bound: Iterable[Bound]) -> list[list[object]]:
    """Every resource as number, identity, owner, module and kind by which it is made again, and plain data.

    Raises SnapshotError naming one whose class no module has said how to save, and whatever a hook raises.
    """
    modules = [b.module for b in bound]
    rows: list[list[object]] = []
    for handle in table.handles():
        resource = table.find(handle, object)
        # The module that added it has the first word.
        found = _find(sorted(modules, key=lambda m: m.name != resource.owner), type(resource.value))
        if found is None:
            raise SnapshotError(
                f"resource {handle}, a {type(resource.value).__name__}{_of(resource)}, is open and can't be saved: no "
                f"host module has said how, by resource({type(resource.value).__name__}, save=…, load=…)"
            )
        module, kind = found
        rows.append(
            [handle, resource.identity, resource.owner, module.name, kind.name, kind.save(resource.value)]
        )
    return rows


def load_resources(table: ResourceTable, rows: list[list[Any]], bound: Iterable[Bound]) -> None:
    """Make what `save_resources` saved, under the same numbers and identities. What has been made is in the table and
    closed with it if a later one can't be. Raises SnapshotError naming a kind that is missing, and whatever a hook
    raises."""
    by_name = {b.module.name: b for b in bound}
    for handle, identity, owner, module, name, data in rows:
        binding = by_name.get(module)
        kinds = {} if binding is None else {kind.name: kind for kind in binding.module.resource_kinds.values()}
        if binding is None or name not in kinds:
            raise SnapshotError(f"resource {handle} is a {name} of host module {module}, which makes none here")
        kind = kinds[name]
        table.put(handle, Resource(identity, kind.load(binding.state, data), kind.close, owner))


def _find(modules: Iterable[_Module], cls: type[Any]) -> tuple[_Module, ResourceKind] | None:
    for module in modules:
        for base in cls.__mro__:
            if base in module.resource_kinds:
                return module, module.resource_kinds[base]
    return None


def _of(resource: Resource) -> str:
    return "" if resource.owner is None else f" of host module {resource.owner}"

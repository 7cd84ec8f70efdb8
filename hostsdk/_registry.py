"""The functions of a host module by name: those that are registered, and those of which only the name is known.

Reading a signature takes time, and of a host module of many functions a guest imports a few. Such a module names its
functions beforehand, and registers them when one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ._errors import SignatureError
from ._messages import Text
from ._signature import FunctionSpec


class Registry(Mapping[str, FunctionSpec]):
    """A mapping that only its module writes to. Who looks at names alone registers nothing. Any thread may ask."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._known: dict[str, FunctionSpec] = {}
        #: Who registers a function, and where.
        self._later: dict[str, tuple[Callable[[], object], Registry]] = {}

    def copy(self) -> Registry:
        """One that goes its own way from here; what comes later comes to both."""
        other = Registry(self._module)
        other._known = dict(self._known)
        other._later = dict(self._later)
        return other

    def add(self, spec: FunctionSpec) -> None:
        """Register a function whose name is free."""
        self._known[spec.name] = spec

    def later(self, names: Iterable[str], load: Callable[[], object]) -> None:
        """Functions of these names, which are free, are registered here by `load`."""
        self._later |= dict.fromkeys(names, (load, self))

    def taken(self, name: str) -> bool:
        """Whether a function of this name may not be registered: there is one, or another registers it later."""
        return name in self._known or (name in self._later and self._later[name][1] is not self)

    def __getitem__(self, name: str) -> FunctionSpec:
        found = self._known.get(name)
        if found is None:
            load, home = self._later[name]
            load()
            found = home._known.get(name)
            if found is None:
                raise SignatureError(Text.NOT_LATER(module=self._module, name=name), self._module, name)
            self._known[name] = found
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._later

    def __iter__(self) -> Iterator[str]:
        return iter([*self._known, *[name for name in self._later if name not in self._known]])

    def __len__(self) -> int:
        return len(self._known.keys() | self._later.keys())

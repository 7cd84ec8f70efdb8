"""The host functions of an instance: bound to it when a guest first asks for them, in the type that it asks for.

A guest may import a function in several types. Its addresses may have 64 bits, and what a host function takes as a
`Struct`, a guest declares as one of its own: the same function serves all of them, and where a type says more than the
annotation, what passes is checked against the type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._binding import Binding
from ._engine import FuncType, func_matches
from ._enter import BoundFunction
from ._signature import FunctionSpec

if TYPE_CHECKING:
    from ._trace import Trace


class Functions:
    """What may be imported, by module and name, and what has been."""

    def __init__(self, trace: Trace | None) -> None:
        self._bind: Any = BoundFunction if trace is None else trace.bind
        self._offered: dict[str, list[tuple[Mapping[str, FunctionSpec], Binding]]] = {}
        #: By module and name, and the type where it is another than the function's own.
        self._bound: dict[object, BoundFunction] = {}

    def add(self, binding: Binding) -> None:
        """Offer the functions of a host module. Raises ValueError where there is one of the same name."""
        module, functions = binding.module.name, binding.module.functions
        offered = self._offered.setdefault(module, [])
        for others, _ in offered:
            for name in functions:
                if name in others:
                    raise ValueError(f"two host modules have a function {module}.{name}")
        offered.append((functions, binding))

    def find(self, module: str, name: str, want: object) -> BoundFunction | None:
        """The function in the type that is wanted, or in its own where it can't be had in that; None where there is
        none."""
        for functions, binding in self._offered.get(module, ()):
            if name in functions:
                return self._bound_as(functions[name], binding, module, name, want)
        return None

    def _bound_as(
        self, spec: FunctionSpec, binding: Binding, module: str, name: str, want: object
    ) -> BoundFunction:
        key: object = (module, name)
        if isinstance(want, FuncType) and not func_matches(spec.signature.type, want):
            other = spec.fitted(want)
            if other is not None:
                spec, key = other, (module, name, want)
        found = self._bound.get(key)
        if found is None:
            found = self._bound[key] = self._bind(spec, binding)
        return found

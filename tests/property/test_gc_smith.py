"""Modules with structs, arrays and typed references that wasm-smith makes: valid, the same interrupted and saved."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import wasmtime

from runtime import Every, FuncType, Module
from tests.support.differential import Plan, Seen, _theirs, ours, plan, saving
from tests.support.smith import smith

#: Types whose values wasmtime-py takes and gives.
_NUMBERS = {"i32", "i64", "f32", "f64"}


def _callable(type_: FuncType) -> bool:
    return {t.name for t in (*type_.params, *type_.results)} <= _NUMBERS


def grown(seed: int) -> tuple[Module, Plan] | None:
    """A module, and calls of its functions of numbers."""
    data = smith(seed, gc=True)
    if data is None:
        return None
    module = Module.load(data)
    types: dict[str, Any] = dict(module.export_types())
    made = plan(module, seed)
    return module, attrs.evolve(made, calls=tuple([call for call in made.calls if _callable(types[call[0]])]))


def theirs(module: Module, calls: Plan) -> tuple[tuple[str, tuple[object, ...]], ...]:
    """What the calls give in wasmtime; () where it refuses the module."""
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    config.wasm_tail_call = config.wasm_function_references = config.wasm_gc = True
    store = wasmtime.Store(wasmtime.Engine(config))
    try:
        instance = wasmtime.Instance(store, wasmtime.Module(store.engine, module.data), [])
    except (wasmtime.Trap, wasmtime.WasmtimeError):
        return ()
    types: dict[str, Any] = dict(module.export_types())
    exports: Any = instance.exports(store)
    return tuple([_theirs(lambda n=name, a=args: exports[n](store, *a), types[name]) for name, args in calls.calls])  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 56))
def test_interrupted_saved_and_beside_wasmtime(seed: int) -> None:
    """Behaviours 16 and 33 with objects in frames, tables and globals: saved and loaded at every check point, nothing
    differs; and calls with numbers give what they give in wasmtime."""
    made = grown(seed)
    if made is None:
        return
    module, calls = made
    alone: Seen = ours(module, calls)
    assert ours(module, calls, injector=Every(3)) == alone
    assert ours(module, calls, injector=Every(2), between=saving(Every(2))) == alone
    found = theirs(module, calls)
    if found:
        assert alone.results == found

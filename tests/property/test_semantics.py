"""Every numeric function against another engine, bit by bit (spec 4.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice, product
from typing import cast

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import Trap
from runtime.instr.index import BY_NAME
from runtime.interp.numeric import FUNCTIONS
from runtime.types import F32, F64, I32, ValType
from runtime.values import NAN32, NAN64, f32_to_bits, f64_to_bits
from tests.support.edges import EDGES, FEW, from_bits, to_bits

#: Bits of the result, or the message of the trap.
Outcome = int | str
NAMES = sorted(FUNCTIONS)
#: Messages of numeric traps; both engines take them from the spec's test scripts.
_MESSAGES = ("integer divide by zero", "integer overflow", "invalid conversion to integer")


def _types(name: str) -> tuple[tuple[ValType, ...], ValType]:
    row = BY_NAME[name]
    assert row.params is not None
    assert row.results is not None
    return row.params, row.results[0]


def _carrier(type_: ValType) -> str:
    """Floats travel as integers: the binding of the other engine might touch a NaN."""
    return "i32" if type_ in (I32, F32) else "i64"


def _function(name: str) -> str:
    params, result = _types(name)
    back = {F32: "f32.reinterpret_i32", F64: "f64.reinterpret_i64"}
    lines = [f'(func (export "{name}")', *(f"(param {_carrier(t)})" for t in params), f"(result {_carrier(result)})"]
    lines += [f"local.get {i} {back.get(t, '')}" for i, t in enumerate(params)]
    lines.append(name)
    lines.append({F32: "i32.reinterpret_f32", F64: "i64.reinterpret_f64"}.get(result, "") + ")")
    return " ".join(lines)


@pytest.fixture(scope="module")
def oracle() -> Callable[[str, tuple[int, ...]], Outcome]:
    """Calls a numeric instruction of wasmtime, which is told to give canonical NaNs, too."""
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    store = wasmtime.Store(wasmtime.Engine(config))
    module = wasmtime.Module(store.engine, f"(module {' '.join(map(_function, NAMES))})")
    exports = wasmtime.Instance(store, module, []).exports(store)
    functions = {name: cast("wasmtime.Func", exports[name]) for name in NAMES}

    def call(name: str, bits: tuple[int, ...]) -> Outcome:
        params, result = _types(name)
        widths = [32 if _carrier(t) == "i32" else 64 for t in params]
        args = [b - (1 << w) if b >> w - 1 else b for b, w in zip(bits, widths, strict=True)]
        try:
            out = functions[name](store, *args)
        except wasmtime.Trap as trap:
            return next(message for message in _MESSAGES if message in trap.message)
        return cast("int", out) & (0xFFFF_FFFF if _carrier(result) == "i32" else 0xFFFF_FFFF_FFFF_FFFF)

    return call


def ours(name: str, bits: tuple[int, ...]) -> Outcome:
    """What our function gives."""
    params, result = _types(name)
    try:
        value = FUNCTIONS[name](*(from_bits(t, b) for t, b in zip(params, bits, strict=True)))
    except Trap as trap:
        return trap.code.value
    return to_bits(result, value)


def _edges(params: tuple[ValType, ...]) -> Iterable[tuple[int, ...]]:
    """All edge values of one operand; of two, the few crosswise and a walk through the many."""
    if len(params) == 1:
        return ((bits,) for bits in EDGES[params[0]])
    many = EDGES[params[0]]
    return (*product(FEW[params[0]], repeat=2), *islice(product(many, repeat=2), 0, None, 13))


@pytest.mark.parametrize("name", NAMES)
def test_edge_values_agree(name: str, oracle: Callable[[str, tuple[int, ...]], Outcome]) -> None:
    """Spec 4.3.2 to 4.3.4: on edge values, every bit and every trap is as in the other engine."""
    for bits in _edges(_types(name)[0]):
        assert ours(name, bits) == oracle(name, bits), f"{name} {[hex(b) for b in bits]}"


def _bits(type_: ValType) -> st.SearchStrategy[int]:
    anything = st.integers(0, (1 << (32 if _carrier(type_) == "i32" else 64)) - 1)
    return st.sampled_from(EDGES[type_]) | anything


@st.composite
def _calls(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    name = draw(st.sampled_from(NAMES))
    return name, tuple(draw(_bits(t)) for t in _types(name)[0])


@settings(max_examples=1500, deadline=None, database=None)
@given(call=_calls())
def test_any_values_agree(call: tuple[str, tuple[int, ...]], oracle: Callable[[str, tuple[int, ...]], Outcome]) -> None:
    """Spec 4.3.2 to 4.3.4: on any bits, every bit and every trap is as in the other engine."""
    assert ours(*call) == oracle(*call)


@pytest.mark.parametrize("name", ["f32.convert_i64_s", "f32.convert_i64_u", "f32.demote_f64"])
@settings(max_examples=150, deadline=None, database=None)
@given(high=st.integers(1, (1 << 25) - 1), shift=st.integers(0, 63), delta=st.integers(-2, 2))
def test_near_ties_are_rounded_once(
    name: str, high: int, shift: int, delta: int, oracle: Callable[[str, tuple[int, ...]], Outcome]
) -> None:
    """Spec 4.3.4: a value next to a tie of two f32s goes to the nearer one, however long it is."""
    bits = ((high << shift) + delta) & 0xFFFF_FFFF_FFFF_FFFF
    if name == "f32.demote_f64":
        bits = f64_to_bits(float(high) * 2.0 ** (shift - 32)) + delta
    assert ours(name, (bits,)) == oracle(name, (bits,))


#: The operators that make NaNs: results are floats, and it is not just the sign or the type that changes.
ARITHMETIC = [n for n in NAMES if n[0] == "f" and _types(n)[1] in (F32, F64) and _types(n)[0][0] in (F32, F64)]
ARITHMETIC = [n for n in ARITHMETIC if n[4:] not in ("abs", "neg", "copysign")]


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_gives_the_canonical_nan_only(name: str) -> None:
    """Spec 4.3.3, NaN propagation in the deterministic profile: a NaN result is the canonical one, sign positive."""
    params, result = _types(name)
    canonical = f32_to_bits(NAN32) if result is F32 else f64_to_bits(NAN64)
    nans = [b for b in EDGES[params[0]] if math.isnan(cast("float", from_bits(params[0], b)))]
    assert len(nans) >= 8
    for nan in nans:
        for other in (0, nan):
            assert ours(name, (nan, other)[: len(params)]) == canonical
            assert ours(name, (other, nan)[-len(params) :]) == canonical

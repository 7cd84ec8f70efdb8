"""Bodies made to do harm: what would take time or memory with the square of their size is refused before it runs."""

from __future__ import annotations

import tracemalloc

import pytest

from runtime import Func, LimitError, Limits, Module, Store, Trap, TrapCode, instantiate
from runtime.interp.prepare import prepare
from runtime.limits import MAX_LOCALS, MAX_MODULE_LOCALS, WORK_BASE
from runtime.validate.liveness import _CACHED
from tests.support.raw import CODE, EXPORT, FUNC, TABLE, TYPE, leb, module, section, sized, vec

I32 = b"\x7f"
CONST, DROP, END = b"\x41\0", b"\x1a", b"\x0b"
#: Types: 0 is [] -> [], 1 is [] -> 1000 i32, 2 is 1000 i32 -> 1000 i32.
WIDE = 1000
TYPES = (
    b"\x60\0\0",
    b"\x60\0" + vec(*[I32] * WIDE),
    b"\x60" + vec(*[I32] * WIDE) * 2,
)


def functions(*bodies: bytes, types: tuple[int, ...] | None = None, locals_: bytes = b"\0") -> bytes:
    """A module of these bodies, the first one exported as `f`. There is a table, for indirect calls."""
    return module(
        section(TYPE, *TYPES),
        section(FUNC, *map(leb, types or (0,) * len(bodies))),
        section(TABLE, b"\x70\0\x01"),
        section(EXPORT, sized(b"f") + b"\0\0"),
        section(CODE, *(sized(locals_ + body + END) for body in bodies)),
    )


def blocks(kind: bytes, count: int) -> bytes:
    return (kind + b"\x40" + END) * count


MEGA = 60_000
HOSTILE = {
    "calls": (CONST + b"\x10\0") * MEGA,
    "indirect calls": (CONST * 2 + b"\x11\0\0") * MEGA,
    "loops": CONST * MEGA + blocks(b"\x03", MEGA),
    "blocks": CONST * MEGA + blocks(b"\x02", MEGA),
    "ifs": CONST * MEGA + (CONST + blocks(b"\x04", 1)) * MEGA,
    "elses": CONST * MEGA + (CONST + b"\x04\x40\x05" + END) * MEGA,
    "wide branches": b"\x02" + b"\x01" + CONST * WIDE + (CONST + b"\x0d\0") * MEGA + END + DROP * WIDE,
    "wide tables": b"\x02\x01" * 500 + (CONST * (WIDE + 1) + b"\x0e" + vec(*map(leb, range(499))) + b"\0") * 400
    + END + (END) * 499 + DROP * WIDE,
    "wide calls": CONST * WIDE + b"\x10\x01" * MEGA + DROP * WIDE,
    "wide blocks": CONST * WIDE + (b"\x02\x02" + END) * MEGA + DROP * WIDE,
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_grows_with_the_square_is_refused(kind: str) -> None:
    """A body of a megabyte whose operands would be looked at billions of times is a LimitError that names the function
    and the byte, at load, and after a lazy load when its body is asked for."""
    passing = b"".join(b"\x20" + leb(i) for i in range(WIDE)) if kind == "wide calls" else None
    bodies = (HOSTILE[kind] + (b"" if kind == "wide branches" else b"\0"),)
    if passing is not None:
        data = functions(bodies[0], passing, types=(0, 2))
    else:
        data = functions(*bodies)
    with pytest.raises(LimitError, match=r"function 0, at byte \d+"):
        Module.load(data)
    with pytest.raises(LimitError, match=r"function 0, at byte \d+"):
        Module.load(data, lazy=True).body(0)


def test_what_is_allowed_is_allowed() -> None:
    """Just as much as a compiler might need goes through: a thousand operands at a thousand calls."""
    body = CONST * 900 + b"\x10\x01" * 1000 + DROP * 900
    loaded = Module.load(functions(body, b""))
    Func(instantiate(Store(), loaded, {}).exports["f"], Store()).call()  # type: ignore[arg-type]


def test_many_functions_together_are_measured() -> None:
    """The limit holds for a module: a thousand functions that each stay below it are too much together."""
    body = (CONST + b"\x10\0") * 700 + b"\0"
    assert WORK_BASE > 700 * 700 // 2
    Module.load(functions(body, body))
    with pytest.raises(LimitError, match="exceeds the limit"):
        Module.load(functions(*[body] * 1000))


def test_locals_are_limited_in_a_module() -> None:
    """A few bytes a function declare MAX_LOCALS; all together are limited, also in a lazy load."""
    many = vec(leb(MAX_LOCALS) + I32)
    allowed = MAX_MODULE_LOCALS // MAX_LOCALS
    Module.load(functions(*[b""] * allowed, locals_=many))
    data = functions(*[b""] * (allowed + 1), locals_=many)
    assert len(data) < 5000
    for lazy in (False, True):
        with pytest.raises(LimitError, match="locals"):
            Module.load(data, lazy=lazy)


def test_frames_of_huge_functions_hit_the_cells() -> None:
    """A function of 50,000 locals that recurses ends at Limits.cells, a hundred frames deep, not ten thousand."""
    data = functions(b"\x10\0", locals_=vec(leb(MAX_LOCALS) + I32))
    store = Store(limits=Limits())
    with pytest.raises(Trap) as caught:
        Func(instantiate(store, Module.load(data), {}).exports["f"], store).call()  # type: ignore[arg-type]
    assert caught.value.code is TrapCode.STACK_OVERFLOW
    assert len(caught.value.backtrace) == Limits().cells // (MAX_LOCALS + 1)


@pytest.mark.slow
def test_setting_locals_under_a_high_stack() -> None:
    """Translating takes time with the size of the body, not with the height of the stack at each `local.set`: with its
    square this would take ten minutes."""
    body = CONST * 200_000 + b"\x20\0\x21\0\x41\0\x21\0" * 100_000 + b"\0"
    prepare(Module.load(functions(body, locals_=vec(leb(1) + I32))), 0)


def test_layouts_are_made_when_they_are_needed() -> None:
    """A body with thousands of calls, across which a thousand locals live, isn't described at length beforehand; and
    what is asked for isn't all kept."""
    count = 3000
    body = b"\x10\x01" * count + b"".join(b"\x20" + leb(i) + DROP for i in range(1000)) + b"\0"
    loaded = Module.load(functions(body, b"", locals_=vec(leb(1000) + I32)))
    tracemalloc.start()
    try:
        prepare(loaded, 0)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    layouts = loaded.body(0).layouts
    sizes = [len(layouts[index].types) for index in layouts]
    assert sum(sizes) > 10 * _CACHED
    assert sum(len(layout.types) for layout in layouts._made.values()) <= _CACHED


def test_live_sets_are_not_kept_of_absurd_bodies() -> None:
    """With tens of thousands of locals at thousands of check points every local counts as live, instead of a set for
    each point; what is recorded stays right."""
    body = b"".join(b"\x20" + leb(i) + DROP + b"\x10\x01" for i in range(3000)) + b"\0"
    loaded = Module.load(functions(body, b"", locals_=vec(leb(40_000) + I32)))
    masks = loaded.body(0).layouts.masks
    assert set(masks.values()) == {(1 << 40_000) - 1}

"""How machine code begins: the compiler gets ready before anything is hot, with the quick form of what all code leans
on, which the better form replaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import Engine, EngineConfig, Module, lean
from runtime.llvm.build import build
from runtime.llvm.cache import Cache
from runtime.llvm.choice import EVERYTHING, HOT
from runtime.llvm.code import ModuleCode
from runtime.llvm.product import GOOD, QUICK, Order
from runtime.llvm.support import COMMON, EXPORT, SUPPORT, Support
from runtime.llvm.tier import NativeTier, Policy
from tests.support.native import INTERPRETERS, Native, code_of, needs_native, text

pytestmark = needs_native

DOUBLE = """(func (export "f") (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))"""


class Orders:
    """A maker that writes down what is ordered, and makes it when it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[ModuleCode, Order]] = []

    def order(self, code: ModuleCode, order: Order) -> None:
        self.given.append((code, order))

    def make(self) -> list[Order]:
        """Carry out all that was ordered, and what that brings; the orders as the compiler has them."""
        made = []
        while self.given:
            code, order = self.given.pop(0)
            made.append(code.ready(order))
            code.add(build(code.base().layout, made[-1]))
        return made


def padded(size: int) -> Module:
    """A module that nobody else has, made larger by a section that says nothing."""
    name = b"\x03pad" + bytes(size)
    length = bytes([len(name) & 0x7F | 0x80, len(name) >> 7 & 0x7F | 0x80, len(name) >> 14])
    return Module.load(text(DOUBLE).data + b"\0" + length + name)


def using(maker: Orders, policy: Policy = HOT, cache: Cache | None = None) -> Engine:
    """An engine whose code is made by `maker`."""
    made = Engine(EngineConfig(tier="interpreter"))
    object.__setattr__(made, "tier", NativeTier(INTERPRETERS, policy, maker, cache=cache))
    return made


def test_the_compiler_begins_with_a_large_module() -> None:
    """An instance of a module of some size has the compiler begin, once, with what the module can't do without; a small
    one, and an engine that compiles at once, wait for a function."""
    maker, module = Orders(), padded(1 << 20)
    engine, lacking = using(maker), SUPPORT.missing([COMMON])
    Native(padded(1 << 16), using=engine)
    Native(padded(1 << 20), using=using(maker, EVERYTHING))
    assert maker.given == []
    Native(module, using=engine)
    Native(module, using=engine)
    [order] = maker.make()
    assert (order.level, order.parts) == (QUICK, 0)
    assert set(lacking) <= set(order.support)  # what the process has already is not made again
    assert not [key for key in order.support if key.startswith(EXPORT)]


def test_what_is_kept_is_not_begun_again(tmp_path: Path) -> None:
    """Where there is code of a module in the folder, nothing is ordered before it is wanted."""
    maker, cache = Orders(), Cache(tmp_path / "kept")
    Native(padded(1 << 20), using=using(maker, cache=cache))
    assert len(maker.make()) == 1
    Native(padded(1 << 20), using=using(maker, cache=cache))
    assert maker.given == []


def test_common_code_comes_quickly_and_then_well() -> None:
    """The support code that all modules share comes in the level of the order that brings it; who has taken the quick
    form is told of the better one, and nobody goes back."""
    layout = ModuleCode(padded(0), Orders(), (QUICK, GOOD)).base().layout
    forms = [build(layout, Order(level, support=(COMMON, "i_i"))).support for level in (QUICK, GOOD)]
    told: list[list[int]] = []

    class User:
        def support(self) -> None:
            told.append(support.common())

    support, user = Support(), User()
    support.adopt(forms[0], (COMMON, "i_i"), QUICK)
    quick, ways = support.common(), support.ways("i_i")
    support.use(user)
    support.adopt(forms[1], (COMMON, "i_i"), GOOD)
    assert told == [support.common()]
    assert (support.level, support.ways("i_i")) == (GOOD, ways)
    assert set(quick).isdisjoint(support.common())
    support.adopt(forms[0], (COMMON, "i_i"), QUICK)
    assert (support.level, told) == (GOOD, [support.common()])


@pytest.mark.parametrize("spent", [1, 3])
def test_what_shortens_calls_comes_later(spent: int) -> None:
    """The wrappers by which Python calls exports are ordered when there is an instance with code, and not with its
    first functions; calls before and after give the same."""
    maker = Orders()
    guest = Native(padded(0), using=using(maker, lean.evolve(HOT, calls=spent, turns=10)))
    for _ in range(spent):
        assert guest.call("f", 21) == 42
    [first, *_] = maker.make()
    assert (first.level, first.functions) == (QUICK, (0,))
    assert guest.call("f", 4) == 8
    [later] = maker.make()
    assert (later.parts, later.support) == (0, (EXPORT + "i_i",))
    assert guest.call("f", 5) == 10
    assert code_of(guest).has(0)

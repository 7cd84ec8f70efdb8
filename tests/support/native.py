"""The native tier for tests: engines that have it, whole or in part, and C guests without a library."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import pytest

from runtime import Engine, EngineConfig, Func, Injector, Instance, Limits, Module, Outcome, Store, instantiate
from runtime.instances.func import WasmFunc
from runtime.interp.heat import Heat
from runtime.interp.tier import Interpreter
from runtime.llvm.code import Maker, ModuleCode
from runtime.llvm.here import unavailable
from runtime.llvm.tier import Interpreters, NativeTier, Policy

from .build import cc, wat
from .guests import Externs, resume_all

#: For tests that run machine code.
needs_native = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
#: The tiers, for `parametrize`, and a mark that does so.
Tier: TypeAlias = Literal["interpreter", "native"]
TIERS = ("interpreter", pytest.param("native", marks=needs_native))
on_both = pytest.mark.parametrize("tier", TIERS)
#: For tests that find check points again by their numbers, run after run. With HOSTSDK_TEST_TIER, machine code is used
#: in such runs, too (`Policy.injected`), and has fewer of them from when it comes on.
steady_numbers = pytest.mark.skipif(
    bool(os.environ.get("HOSTSDK_TEST_TIER")), reason="check points have other numbers once there is machine code"
)
#: Code generator's level for tests: quick to compile.
QUICK = 0


INTERPRETERS = Interpreters(Interpreter(), Interpreter, Heat)


def engine(
    only: Callable[[int], bool] | None = None,
    level: int = QUICK,
    policy: Policy | None = None,
    maker: Maker | None = None,
    **config: Any,
) -> Engine:
    """An engine whose native tier makes code of the functions that `only` says, by their index."""
    made = Engine(EngineConfig(tier="interpreter", **config))
    tier = NativeTier(INTERPRETERS, policy or Policy(levels=(level,)), maker, only)
    object.__setattr__(made, "tier", tier)
    return made


def native_only(indexes: Sequence[int]) -> Callable[[int], bool]:
    """These functions, and no others."""
    return frozenset(indexes).__contains__


class Native:
    """An instance of a module in a store of its own, on the native tier unless `engine` says otherwise."""

    def __init__(
        self,
        module: Module,
        given: Externs | None = None,
        *,
        using: Engine | None = None,
        limits: Limits | None = None,
        injector: Injector | None = None,
    ) -> None:
        self.store = Store(using or engine(), limits or Limits(), injector=injector)
        self.instance: Instance = instantiate(self.store, module, given or {})

    def func(self, name: str) -> Func:
        found = self.instance.exports[name]
        assert isinstance(found, WasmFunc)
        return Func(found, self.store)

    def call(self, name: str, *args: object) -> Any:
        """A plain call."""
        return self.func(name).call(*args)

    def outcome(self, name: str, *args: object) -> Outcome:
        """A call, resumed after every suspension."""
        return resume_all(self.func(name).start(*args))

    def picture(self) -> str:
        """What the instance's memories and globals hold, in short."""
        return picture(self.instance)


def picture(instance: Instance) -> str:
    """What an instance's memories and globals hold, in short."""
    digest = hashlib.sha256()
    for memory in instance.memories:
        digest.update(bytes(memory.data))
    digest.update(repr([g.value for g in instance.globals]).encode())
    return digest.hexdigest()


@functools.cache
def text(source: str) -> Module:
    """A module from what stands inside of `(module …)`."""
    return Module.load(wat(f"(module {source})"))


@functools.cache
def c(source: str) -> Module:
    """A module from C that needs no library."""
    return Module.load(cc(source, "-nostartfiles", "-Wl,--no-entry", "-mexec-model=reactor", "-fno-builtin"))


#: Everything at once: code at the first call, the first turn of a loop, the first going-on at a check point.
EAGER = Policy(calls=1, turns=1, resumes=1, levels=(QUICK,))


def code_of(guest: Native) -> ModuleCode:
    """The code that was made for a guest's engine."""
    tier = guest.store.engine.tier
    assert isinstance(tier, NativeTier)
    return tier.code_of(guest.instance.module)

"""Scenarios that another process can import: everything in them has a name at the top of this file."""

from __future__ import annotations

import functools

from hostsdk import Context, FuncRef, HostModule, Instance, Module, Steps, call, f64, i32, sleep
from hostsdk.testing import Scenario, World

from .inject import MEMORY, STYLES, module, restartable, table

TEXT = f"""
  (import "h" "add" (func $add (param i32 i32) (result i32)))
  (import "h" "nap" (func $nap (param i32 f64) (result f64))) {MEMORY} {table("$middle", "$inner")}
  (global $g (mut f64) (f64.const nan:0x4000000000007))
  (global $count (mut i32) (i32.const 0))
  (func $inner (param i32) (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store (i32.mul (global.get $count) (i32.const 8)) (local.get 0))
    (i32.trunc_sat_f64_s (call $nap (local.get 0) (f64.const 0.5))))
  (func $middle (param i32) (result i32) (call $add (i32.const 1) (local.get 0)))
  (func (export "run") (param i32) (result i32 f64 f64)
    (call $add (i32.const 0) (local.get 0)) (f64.const -0) (global.get $g))
"""


def _host(style: str) -> HostModule[list[str]]:
    host = HostModule("h", state=list[str])
    host.save(list)
    host.load(list)

    @restartable(host, style)
    def add(ctx: Context[list[str]], f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
        done = ctx.progress(0)
        total = 0
        for k in range(2):
            total += yield from call(f, n + k)
            ctx.once(functools.partial(ctx.state.append, f"{n}+{k}"))
        return total + done.value

    @restartable(host, style)
    def nap(ctx: Context[list[str]], n: i32, x: f64) -> Steps[f64]:
        yield from sleep(n / 10)
        return n + x + 1

    return host


HOSTS = {style: _host(style) for style in STYLES}


def compiled() -> Module:
    """The guest."""
    return module(TEXT)


def function(world: World) -> Instance:
    """With host functions in function style."""
    return Instance(compiled(), [HOSTS["function"]], engine=world.engine)


def generator(world: World) -> Instance:
    """With host functions as generators."""
    return Instance(compiled(), [HOSTS["generator"]], engine=world.engine)


def effects(inst: Instance) -> object:
    """What the host functions have done."""
    return [list(binding.state) for binding in inst._bindings]


SCENES = {
    "function": Scenario(function, args=(3,), observe=effects),
    "generator": Scenario(generator, args=(3,), observe=effects),
}

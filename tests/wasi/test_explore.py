"""A guest that sleeps, reads, polls, draws random bytes and writes, under every kind of fault: restarted, interrupted,
saved and loaded, dropped, thrown into, at each of its check points (BEHAVIOURS 16, 36, 48, 75, 76 for WASI)."""

from __future__ import annotations

from typing import Any

import pytest

from hostsdk import Instance, Limits, Module
from hostsdk.testing import Kind, Scenario, World, explore
from hostsdk.wasi import ByteQueue, MemoryTree, WasiConfig, WasiState, preview1
from tests.support.build import wat

GUEST = """
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\00\\04\\00\\00\\04\\00\\00\\00")  ;; 4 bytes at 0x400
  (data (i32.const 16) "\\00\\04\\00\\00\\28\\00\\00\\00") ;; 40 bytes at 0x400
  (data (i32.const 32) "log")
  (func $sleep (param $ns i64)
    i32.const 0x200 i64.const 7 i64.store
    i32.const 0x210 i32.const 1 i32.store
    i32.const 0x218 local.get $ns i64.store
    i32.const 0x200 i32.const 0x300 i32.const 1 i32.const 64 call $poll drop)
  (func (export "run") (result i32) (local $sum i32)
    i64.const 300000000 call $sleep
    i32.const 0 i32.const 0 i32.const 1 i32.const 68 call $read local.set $sum
    i32.const 0x404 i32.const 8 call $random drop
    i32.const 1 i32.const 16 i32.const 1 i32.const 72 call $write local.get $sum i32.add local.set $sum
    i32.const 3 i32.const 0 i32.const 32 i32.const 3 i32.const 1 i64.const 64 i64.const 0 i32.const 1 i32.const 76
    call $open local.get $sum i32.add local.set $sum
    i32.const 76 i32.load i32.const 0 i32.const 1 i32.const 80 call $write local.get $sum i32.add local.set $sum
    i64.const 100000000 call $sleep
    local.get $sum i32.const 1000 i32.mul i32.const 68 i32.load i32.const 72 i32.load i32.add i32.add))
"""


class Slow(ByteQueue):
    """Takes 10 bytes at a time; whoever drains it keeps what came."""

    def __init__(self) -> None:
        super().__init__(limit=10)
        self.seen = bytearray()

    def drain(self) -> None:
        """Take what is there."""
        self.seen += self.get(100) or b""


def make(world: World) -> Instance:
    """A guest; its input comes at half a second, its output is drained every 50 ms from then on."""
    stdin, stdout, tree = ByteQueue(), Slow(), MemoryTree(now=lambda: 7)
    config = WasiConfig(stdin=stdin, stdout=stdout, random=9, preopens={"/": tree.root})
    world.at(0.5, lambda: stdin.put(b"ping"))
    for k in range(12):
        world.at(0.525 + 0.05 * k, stdout.drain)
    module = Module.from_bytes(wat(GUEST))
    return Instance(module, [preview1(config)], engine=world.engine, limits=Limits(journal=1000))


def state(instance: Instance) -> WasiState:
    """WASI's state."""
    found: WasiState = instance._bindings[0].state
    return found


def observe(instance: Instance) -> object:
    """What was written, and where the guest's descriptors are."""
    wasi = state(instance)
    stdout: Any = wasi.config.stdout
    root: Any = wasi.fds.get(3).file
    fds = [(number, fd.identity, fd.stat()) for number, fd in wasi.fds.items()]
    return bytes(stdout.seen), root.tree.as_dict(), wasi.reached, fds


def make_alone(world: World) -> Instance:
    """A guest that is given nothing which only this process has: it may go on in another one."""
    config = WasiConfig(stdin=b"ping pong", stdout="null", random=9, preopens={"/": MemoryTree(now=lambda: 7).root})
    module = Module.from_bytes(wat(GUEST))
    return Instance(module, [preview1(config)], engine=world.engine, limits=Limits(journal=1000))


def observe_alone(instance: Instance) -> object:
    """The tree, the clock, the random source and the descriptors."""
    wasi = state(instance)
    root: Any = wasi.fds.get(3).file
    fds = [(number, fd.identity, str(fd.stat())) for number, fd in wasi.fds.items()]
    return root.tree.as_dict(), wasi.reached, wasi.random.at, fds


SCENARIO = Scenario(make, observe=observe)
KINDS = (Kind.RESTART, Kind.INTERRUPT, Kind.SAVE, Kind.DROP, Kind.THROW)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("in_place", [True, False])
def test_a_fault_at_each_check_point(kind: Kind, in_place: bool) -> None:
    """One fault a run, at each check point in turn, of each kind; waits in place and waits that leave the stack."""
    exploration = explore(SCENARIO, kinds=[kind], callbacks=["nested"], in_place=[in_place])
    assert exploration.checks > 15
    exploration.exhaustive()


def test_many_faults_of_all_kinds() -> None:
    """Random schedules in which each hit is of another kind."""
    exploration = explore(SCENARIO, kinds=KINDS, callbacks=["nested"])
    exploration.mixed(range(5), 0.4)
    exploration.every(1, 2, 5)


@pytest.mark.slow
def test_a_call_goes_on_in_another_process() -> None:
    """BEHAVIOURS 75 and 76: saved and moved to another process at each check point, and at several of them: sleeps are
    as long, the input goes on where it was, files, offsets, random bytes and clock are the same."""
    alone = Scenario(make_alone, observe=observe_alone)
    exploration = explore(alone, kinds=[Kind.MOVE], callbacks=["nested"])
    assert exploration.checks > 5
    exploration.exhaustive()
    exploration.every(1, 2)

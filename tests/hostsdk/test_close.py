"""Closing and saving while a call runs: refused by name, with nothing changed; done when the call has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from hostsdk import Context, HostModule, Instance, Module, ReentrancyError, SnapshotError, StateError, i32
from runtime import Engine, EngineConfig
from runtime.llvm.capi.api import supported
from tests.support.build import wat
from tests.support.native import TIERS, engine
from tests.support.waits import PATIENCE

SPIN = """(module (import "h" "log" (func $log (param i32)))
  (memory (export "memory") 1)
  (func (export "spin") (param i32) (result i32)
    (i32.store8 (i32.const 1) (i32.const 1))
    (loop (br_if 0 (i32.eqz (i32.load8_u (i32.const 0))))) (local.get 0))
  (func (export "talk") (param i32) (result i32) (call $log (local.get 0)) (local.get 0)))"""


def made(tier: str, log: Callable[[int], None]) -> Instance:
    """An instance that is told of `talk`. Its host module notes when it is closed."""
    host: HostModule[list[str]] = HostModule("h", state=list, close=lambda state: state.append("closed"))

    @host.function(name="log")
    def _log(ctx: Context[list[str]], n: i32) -> None:
        log(n)

    @host.save
    def _save(state: list[str]) -> object:
        return list(state)

    using = engine() if tier == "native" else Engine(EngineConfig(tier="interpreter"))
    return Instance(Module.from_bytes(wat(SPIN)), [host], engine=using)


@pytest.mark.parametrize("tier", TIERS)
def test_an_instance_that_runs_on_another_thread_is_neither_closed_nor_saved(tier: str) -> None:
    """BEHAVIOURS 5: while another thread is inside, by whichever way it came in, closing and saving say so, and change
    nothing; when it has left, both are done."""
    guest = made(tier, lambda n: None)
    state = guest._bindings[0].state
    spin = guest.exports["spin"]
    guest.memory.write(0, b"\1")
    results: list[int] = []

    def run() -> None:
        results.append(spin(5))  # from the second on it may be a call straight into machine code
        results.append(spin(6))
        if tier == "native" and supported():
            assert spin._door.way is not None
        guest.memory.write(0, b"\0\0")
        entered.set()
        results.append(spin(7))

    entered = threading.Event()
    fresh = guest.start("talk", 3)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert entered.wait(PATIENCE)
        while guest.memory.read(1, 1) != b"\1":  # it is inside
            pass
        for _ in range(3):
            with pytest.raises(ReentrancyError, match=r"running on another thread.*closed when that call has ended"):
                guest.close()
            with pytest.raises(SnapshotError, match="running on another thread"):
                fresh.save()
        assert state == []
    finally:
        guest.memory.write(0, b"\1")
        thread.join()
    assert results == [5, 6, 7]
    assert spin(8) == 8
    assert fresh.save()
    guest.close()
    assert state == ["closed"]
    with pytest.raises(StateError, match="closed"):
        spin(9)


@pytest.mark.parametrize("tier", TIERS)
def test_a_host_function_cant_close_the_instance_that_called_it(tier: str) -> None:
    """BEHAVIOURS 5: neither from inside, on the same thread."""
    found: list[Any] = []

    def log(n: int) -> None:
        try:
            guest.close()
        except ReentrancyError as error:
            found.append(str(error))

    guest = made(tier, log)
    for n in range(4):
        assert guest.exports["talk"](n) == n
    assert len(found) == 4
    assert all("is in the middle of a call" in each for each in found)
    guest.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_one_cleanup_keeps_no_other_from_running(error: type[BaseException]) -> None:
    """Whatever a cleanup raises, Ctrl-C included, the others run all the same, each once; then it is raised."""
    ended: list[str] = []

    def failing(state: str) -> None:
        ended.append(state)
        raise error

    hosts = [
        HostModule("a", state=lambda: "a", close=ended.append),
        HostModule("b", state=lambda: "b", close=failing),
        HostModule("c", state=lambda: "c", close=ended.append),
    ]
    guest = Instance(Module.from_bytes(wat("(module)")), hosts)
    with pytest.raises(error):
        guest.close()
    guest.close()
    assert ended == ["c", "b", "a"]

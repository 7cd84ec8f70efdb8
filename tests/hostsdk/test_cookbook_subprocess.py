"""The cookbook's subprocess: one for a call, under faults at each check point, and none left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from examples.cookbook import subprocess_run
from examples.cookbook.subprocess_run import Process, shell
from hostsdk import Interrupt, Module, SnapshotError, Suspended, Timeout
from hostsdk.testing import TestGuest, Trial
from tests.support.cache import ROOT

GUEST = Module.from_file(ROOT / "examples" / "cookbook" / "subprocess_run.wasm")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """The processes that have been started."""
    found: list[Process] = []

    class Noted(Process):
        """One that is remembered."""

        @classmethod
        def start(cls, command: str) -> Process:
            found.append(Process.start(command))
            return found[-1]

    monkeypatch.setattr(subprocess_run, "Process", Noted)
    return found


@pytest.mark.slow
@pytest.mark.restart(saves=False, timed=False, steady=False)
@pytest.mark.parametrize(("name", "code"), [("succeed", 0), ("fail", 1)])
def test_one_process_for_a_call(
    guest_program: Callable[..., TestGuest], trial: Trial, started: list[Process], name: str, code: int
) -> None:
    """COOKBOOK 8, BEHAVIOURS 8: one process is started for a call, its code is the result, and none is left."""
    started.clear()

    def settled() -> None:
        assert all(process.child.returncode is not None for process in started)

    trial.settled(settled)
    assert guest_program(GUEST, [shell]).call(name) == code
    assert len(started) == 1
    settled()


def test_it_is_killed_once(guest_program: Callable[..., TestGuest], started: list[Process]) -> None:
    """COOKBOOK 8: a call that is out of time, or dropped, kills its process; one that waits for it can't be saved."""
    instance = guest_program(GUEST, [shell]).instance
    with pytest.raises(Timeout):
        instance.call("last", timeout=0.01)
    execution = instance.start("last")
    stop = Interrupt(level=True)
    stop.set()
    while len(started) < 2:
        assert isinstance(execution.run(interrupt=stop), Suspended)
    with pytest.raises(SnapshotError, match="Process"):
        execution.save()
    execution.drop()
    assert [process.child.returncode for process in started] == [-9, -9]

"""BEHAVIOURS 16 for WASI: each function, restarted at each of its check points, gives what it gives undisturbed."""

from __future__ import annotations

import pytest

from hostsdk import WASI_ERRNO, Exited, Returned, Trap
from runtime.exec.inject import Injector
from tests.support.wasi import FUNCTIONS, every_check, to_end
from tests.support.wasi_calls import CALLS, OF_DESCRIPTORS, POINTERS, Stage


def test_every_function_has_a_call() -> None:
    """No function is left out."""
    assert CALLS.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_restarts_change_nothing(name: str) -> None:
    """The same result, memory, files, descriptors and bytes sent for a restart at each check point."""

    def scenario(injector: Injector) -> object:
        stage = Stage(real_clock=name in SLOW)
        with stage.box as box:
            box.instance._store.injector = injector
            outcome = to_end(box.start(name, *CALLS[name](box)))
            assert outcome == (Exited(3) if name == "proc_exit" else Returned((0,)))
            return outcome, stage.look(memory="clock" not in name)

    assert every_check(scenario) >= 1


#: Calls that try again after a little while: on a clock that goes by itself.
SLOW = ("fd_read", "sock_accept", "sock_recv", "sock_send")
#: Functions that need no right of their descriptor.
FREE = ("fd_close", "fd_renumber", "fd_fdstat_get", "fd_prestat_get", "fd_prestat_dir_name", "fd_fdstat_set_rights")


@pytest.mark.parametrize("name", POINTERS)
def test_every_pointer_is_checked_before_any_effect(name: str) -> None:
    """BEHAVIOURS 53: each pointer of each function, past the end and at the top of the address space: a trap, and
    memory, files, descriptors and streams are as before."""
    stage = Stage(real_clock=True)
    with stage.box as box:
        good = CALLS[name](box)
        before = stage.look()
        for place in POINTERS[name]:
            for bad in (box.size, (1 << 32) - 8):
                with pytest.raises(Trap):
                    box.call(name, *good[:place], bad, *good[place + 1 :])
        assert stage.look() == before


@pytest.mark.parametrize("name", OF_DESCRIPTORS)
def test_every_function_needs_its_descriptor_and_right(name: str) -> None:
    """EBADF for a number that names nothing; ENOTCAPABLE when the descriptor has given its rights up; no effect."""
    stage = Stage(real_clock=True)
    with stage.box as box:
        good = CALLS[name](box)
        for number in (99, (1 << 32) - 1):
            assert box.call(name, number, *good[1:]) == WASI_ERRNO["EBADF"]
        if name in FREE:
            return
        assert box.fd_fdstat_set_rights(good[0], 0, 0) == 0
        before = stage.look()
        assert box.call(name, *good) == WASI_ERRNO["ENOTCAPABLE"]
        assert stage.look() == before

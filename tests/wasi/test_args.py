"""args_*, environ_*, random_get, clock_*, proc_*, sched_yield: what a guest learns of its world."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hostsdk import WASI_ERRNO, Exited, Trap, TrapCode
from hostsdk.wasi import WasiConfig
from tests.support.wasi import Box

EINVAL = WASI_ERRNO["EINVAL"]


@pytest.mark.parametrize(
    ("prefix", "options"),
    [("args", {"args": ["prog", "", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", b"\xff"]}),
     ("environ", {"env": {"A": "1", "B": "", "C": "a=b"}})],
)  # fmt: skip
def test_strings_come_with_pointers_and_zeros(prefix: str, options: dict[str, Any]) -> None:
    """args_get and environ_get: sizes first, then texts with zeros and a table of pointers; nothing else is touched."""
    with Box(**options) as box:
        count, size = box.out(4), box.out(4)
        assert box.call(f"{prefix}_sizes_get", count, size) == 0
        table, buf = box.room(4 * box.u32(count)), box.room(box.u32(size))
        assert box.call(f"{prefix}_get", table, buf) == 0
        found = []
        for i in range(box.u32(count)):
            at = box.u32(table + 4 * i)
            found.append(box.get(at, box.u32(size)).partition(b"\0")[0])
        config = box.state.config
        assert found == [*config.args, *[name + b"=" + value for name, value in config.env]]
        assert box.untouched()


@pytest.mark.parametrize("name", ["args_get", "environ_get"])
@pytest.mark.parametrize("place", [0, 1])
def test_hostile_tables_trap_before_any_effect(name: str, place: int) -> None:
    """BEHAVIOURS 53: a table or buffer outside of the memory traps, and nothing has been written."""
    with Box(args=["a", "b"], env={"A": "b"}) as box:
        good = box.out()
        args = [good, good]
        args[place] = box.size - 1 if place else box.size - 4
        if place == 0:
            args[0] = box.size  # even one pointer has no room
        with pytest.raises(Trap) as caught:
            box.call(name, *args)
        assert caught.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
        assert box.untouched()
        assert box.u64(good) == 0


def test_an_unaligned_table_traps() -> None:
    """A table of pointers at an odd address traps as UNALIGNED."""
    with Box(args=["a"]) as box, pytest.raises(Trap) as caught:
        box.args_get(box.out() + 1, box.out())
    assert caught.value.code is TrapCode.UNALIGNED


@pytest.mark.parametrize(
    ("options", "error"),
    [({"args": "prog"}, TypeError), ({"args": ["a\0b"]}, ValueError), ({"env": {"A=": "b"}}, ValueError),
     ({"env": {"": "b"}}, ValueError), ({"args": [3]}, ValueError), ({"stdin": 3.5}, TypeError),
     ({"stdout": True}, TypeError)],
)  # fmt: skip
def test_a_bad_configuration_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    """What can't be handed to a guest is an error where it is said."""
    with pytest.raises(error):
        Box(**options)


def test_a_configuration_is_immutable() -> None:
    """WasiConfig can't be changed after it was made."""
    config = WasiConfig(args=["a"])
    with pytest.raises(AttributeError):
        config.args = ()  # type: ignore[misc]  # that is the point


def test_clocks_follow_the_engines_clock() -> None:
    """clock_time_get: the monotonic clock begins at 0; realtime is the engine's wall clock; nothing else is touched."""
    with Box() as box:
        out = box.out()
        assert box.clock_time_get(1, 0, out) == 0
        assert box.u64(out) == 0
        box.clock.advance(1.5)
        assert box.clock_time_get(1, 0, out) == 0
        assert box.u64(out) == 1_500_000_000
        assert box.clock_time_get(0, 0, out) == 0
        assert box.u64(out) == 1_700_000_001_500_000_000
        box.clock.step_wall(-3600)
        assert box.clock_time_get(1, 0, out) == 0
        assert box.u64(out) == 1_500_000_000
        assert box.untouched()


@pytest.mark.parametrize("clock", [2, 3])
def test_processor_time_goes_on(clock: int) -> None:
    """The CPU time clocks give more than nothing, and never less than before."""
    with Box() as box:
        out = box.out()
        assert box.clock_time_get(clock, 0, out) == 0
        first = box.u64(out)
        assert box.clock_time_get(clock, 0, out) == 0
        assert 0 < first <= box.u64(out)


def test_clock_errors() -> None:
    """BEHAVIOURS 43: a clock that there isn't is EINVAL; a bad result pointer traps first."""
    with Box() as box:
        assert box.clock_time_get(4, 0, box.out()) == EINVAL
        assert box.clock_res_get(99, box.out()) == EINVAL
        assert box.clock_res_get(0, box.out()) == 0
        for address in (box.size - 7, box.size, 1 << 31, (1 << 32) - 8):
            with pytest.raises(Trap):
                box.clock_time_get(4, 0, address)
        with pytest.raises(Trap) as caught:
            box.clock_time_get(1, 0, box.out() + 4)
        assert caught.value.code is TrapCode.UNALIGNED
        assert box.untouched()


def test_random_bytes_come_from_the_source() -> None:
    """random_get fills the buffer from the configured source and nothing else."""
    asked = []

    def source(size: int) -> bytes:
        asked.append(size)
        return b"r" * size

    with Box(random=source) as box:
        out = box.room(10)
        assert box.random_get(out, 10) == 0
        assert box.get(out, 10) == b"r" * 10
        assert asked == [10]
        assert box.untouched()


def test_a_seed_gives_the_same_bytes() -> None:
    """The same seed gives the same stream, however it is cut up; another seed another one."""

    def stream(seed: int, *sizes: int) -> bytes:
        with Box(random=seed) as box:
            out = box.room(200)
            found = b""
            for size in sizes:
                assert box.random_get(out, size) == 0
                found += box.get(out, size)
            return found

    assert stream(1, 150) == stream(1, 1, 63, 64, 22)
    assert stream(1, 150) != stream(2, 150)


def test_random_bytes_outside_of_the_memory_trap() -> None:
    """BEHAVIOURS 53: the source isn't asked for bytes that have no place."""
    with Box(random=lambda size: pytest.fail("asked")) as box:
        for addr, size in ((box.size - 3, 4), (0, box.size + 1), (box.size, (1 << 32) - 1), ((1 << 32) - 1, 1)):
            with pytest.raises(Trap):
                box.random_get(addr, size)


def test_default_random_is_the_systems() -> None:
    """Without a setting the bytes are the operating system's."""
    assert WasiConfig().random is os.urandom


def test_proc_exit_ends_the_execution() -> None:
    """proc_exit: the outcome is Exited with the code, unsigned."""
    with Box() as box:
        outcome = box.start("proc_exit", 3).run()
        assert outcome == Exited(3)
        assert box.start("proc_exit", (1 << 32) - 1).run() == Exited((1 << 32) - 1)


def test_proc_raise_does_what_signals_do() -> None:
    """proc_raise: a harmless signal is nothing; a deadly one ends the execution as a shell reports it."""
    with Box() as box:
        assert box.proc_raise(0) == 0
        assert box.proc_raise(16) == 0  # CHLD
        assert box.proc_raise(31) == EINVAL
        assert box.start("proc_raise", 6).run() == Exited(134)


def test_sched_yield_succeeds() -> None:
    """BEHAVIOURS 55, with nobody else there: it returns."""
    with Box() as box:
        assert box.sched_yield() == 0

"""Saving a suspended call with its host functions, and going on with it elsewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hostsdk import (
    BlockingContext,
    Clock,
    Context,
    Engine,
    EngineConfig,
    Execution,
    FakeClock,
    HostModule,
    Module,
    Returned,
    SnapshotError,
    State,
    Steps,
    Suspended,
    Trapped,
    UnlinkableError,
    block_until,
    check_interrupt,
    i32,
    sleep,
)
from hostsdk.testing import Every, Kind, World, explore
from tests.support.cache import ROOT
from tests.support.inject import STYLES, everywhere, finish, guest, module, reload, restartable, run_to
from tests.support.scenes import HOSTS, SCENES, TEXT

CALL = '(import "h" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f))'


# Another process


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_finished_in_another_process(style: str) -> None:
    """75: saved at each check point in turn, loaded in another process and finished there, a call gives the same
    results, memory, globals and effects in the same time; so it does when it moves at every check point."""
    found = explore(SCENES[style], kinds=[Kind.MOVE])
    found.exhaustive()
    found.every(1, 3)
    found.random(range(2))


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_saved_and_loaded_at_every_check_point(style: str) -> None:
    """75, 16: the same within a process, mixed with all other kinds of faults."""
    found = explore(SCENES[style], in_place=(True, False))
    found.exhaustive()
    found.every(1, 2, 3)
    found.mixed(range(6), share=0.4)
    found.pairs(most=40)


def test_a_process_that_knows_nothing(tmp_path: object) -> None:
    """75: all that the other process has is the bytes, the module and the host modules."""
    host = HOSTS["generator"]
    execution = everywhere(TEXT, host).start("run", 3)
    run_to(execution, "h.nap, in wait")
    code = (
        "import sys\n"
        "from hostsdk import Execution\n"
        "from tests.support.scenes import HOSTS, compiled\n"
        "from hostsdk.testing import World\n"
        "data = sys.stdin.buffer.read()\n"
        "e = Execution.load(data, compiled(), [HOSTS['generator']], trusted=True, engine=World.make().engine)\n"
        "sys.stdout.write(repr(e.run()) + repr(e.instance.state(HOSTS['generator'])))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=execution.save(), capture_output=True, cwd=ROOT, check=True)
    outcome = finish(execution)
    assert done.stdout.decode() == repr(outcome) + repr(execution.instance.state(host))


# Time


@pytest.mark.parametrize("style", STYLES)
def test_what_is_left_of_a_wait_is_kept(style: str) -> None:
    """76: a wait with r seconds left when it is saved has r left when it is loaded, whatever the clock there says."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context) -> Steps[i32]:
        yield from sleep(10)
        return 1

    execution = everywhere(CALL, host).start("run")
    run_to(execution, "in wait")
    clock = execution.instance._store.engine.config.clock
    assert isinstance(clock, FakeClock)
    clock.advance(7)
    there = World.make(clock=FakeClock(monotonic=5.0))
    loaded = reload(execution, [host], CALL, engine=there.engine)
    there.clock.advance(1)
    assert finish(loaded) == Returned((1,))
    assert there.clock.monotonic() == pytest.approx(8.0)
    assert finish(execution) == Returned((1,))


def test_a_wall_clock_deadline_is_kept_as_it_is() -> None:
    """76: a deadline on the wall clock is that time of day in the other process, too."""
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext) -> i32:
        ctx.block_until(wall_deadline=1_700_000_100.0)
        return 1

    execution = everywhere(CALL, host).start("run")
    run_to(execution, "in wait")
    there = World.make(clock=FakeClock(monotonic=5.0, wall=1_700_000_090.0))
    loaded = reload(execution, [host], CALL, engine=there.engine)
    assert finish(loaded) == Returned((1,))
    assert there.clock.monotonic() == pytest.approx(15.0)
    execution.drop()


# Versions


def _versioned(version: int, accepts: tuple[int, ...] = (), name: str = "f") -> HostModule[None]:
    host = HostModule("h")

    @host.restartable(name=name, version=version, accepts=accepts)
    def f(ctx: BlockingContext) -> i32:
        ctx.sleep(1)
        return version

    return host


def test_a_changed_function_is_told() -> None:
    """35: a record of another version isn't entered: an error names function and both versions. `accepts` lets it
    in."""
    execution = everywhere(CALL, _versioned(1)).start("run")
    run_to(execution, "in wait")
    with pytest.raises(SnapshotError, match=r"h\.f .*version 1.*version 2"):
        reload(execution, [_versioned(2)], CALL)
    assert finish(reload(execution, [_versioned(2, (1,))], CALL)) == Returned((2,))
    assert finish(reload(execution, [_versioned(1)], CALL)) == Returned((1,))
    assert execution.state is State.SUSPENDED


def test_changed_steps_under_the_same_version_diverge() -> None:
    """35, 19: where a changed function kept its version, the replay finds it out, at the first step that differs."""
    execution = everywhere(CALL, _versioned(1)).start("run")
    run_to(execution, "in wait")
    changed = HostModule("h")

    @changed.restartable
    def f(ctx: BlockingContext) -> i32:
        ctx.once(lambda: 1)
        ctx.sleep(1)
        return 1

    outcome = finish(reload(execution, [changed], CALL))
    assert "step 1 was wait 'sleep'" in str(outcome.error)


def test_what_is_missing_is_named() -> None:
    """75: a load without the host functions, or with another module, is an error that names what is missing."""
    execution = everywhere(CALL, _versioned(1)).start("run")
    run_to(execution, "in wait")
    with pytest.raises(UnlinkableError, match=r"h\.f"):
        reload(execution, [], CALL)
    with pytest.raises(UnlinkableError, match=r"h\.f"):
        reload(execution, [_versioned(1, name="g")], CALL)
    with pytest.raises(SnapshotError):
        Execution.load(execution.save(), module("(func)"), [_versioned(1)], trusted=True)
    with pytest.raises(SnapshotError, match="trusted"):
        Execution.load(execution.save(), module(CALL), [_versioned(1)])


# What can be saved


def test_a_fresh_execution_can_be_saved() -> None:
    """75: a call that has not begun is saved with its arguments, and begins where it is loaded."""
    host = HOSTS["function"]
    execution = guest(TEXT, host).start("run", 3)
    loaded = reload(execution, [host], TEXT)
    assert loaded.args == (3,)
    assert loaded.state is State.READY
    assert repr(loaded.run()) == repr(execution.run())


def test_one_save_can_be_loaded_often() -> None:
    """75: the original and any number of loaded copies go on each by itself."""
    host = HOSTS["function"]
    execution = everywhere(TEXT, host).start("run", 3)
    run_to(execution, "h.nap, in wait")
    data = execution.save()
    assert execution.save() == data
    engine = World.make(Every(2)).engine
    copies = [Execution.load(data, module(TEXT), [host], trusted=True, engine=engine) for _ in range(3)]
    assert len({repr(finish(each)) for each in [execution, *copies]}) == 1
    assert len({repr(each.instance.state(host)) for each in [execution, *copies]}) == 1


def test_an_ended_execution_cant_be_saved() -> None:
    """75: there is nothing to go on with in what has returned or trapped."""
    execution = guest('(func (export "run") (unreachable))').start("run")
    assert isinstance(execution.run(), Trapped)
    with pytest.raises(SnapshotError, match="trapped"):
        execution.save()


def test_a_state_without_a_save_hook_is_named() -> None:
    """75: a module's state that nobody says how to save is an error naming the module, and the call can go on."""
    host = HostModule("stateful", state=list[int])

    @host.restartable
    def f(ctx: BlockingContext[list[int]]) -> i32:
        ctx.sleep(1)
        return 1

    text = CALL.replace('"h"', '"stateful"')
    execution = everywhere(text, host).start("run")
    run_to(execution, "in wait")
    with pytest.raises(SnapshotError, match="stateful"):
        execution.save()
    assert finish(execution) == Returned((1,))


@pytest.mark.parametrize("style", STYLES)
def test_a_caught_exception_is_named(style: str) -> None:
    """75: of exceptions that a record holds only traps can be saved; any other is named by the error."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context) -> Steps[i32]:
        def fails() -> None:
            raise LookupError

        try:
            ctx.once(fails)
        except LookupError:
            yield from sleep(1)
        return 1

    execution = everywhere(CALL, host).start("run")
    run_to(execution, "in wait")
    with pytest.raises(SnapshotError, match="LookupError"):
        execution.save()
    assert finish(execution) == Returned((1,))


@pytest.mark.parametrize("style", STYLES)
def test_a_loaded_call_passes_the_check_that_was_reported(style: str) -> None:
    """4, 75: a call saved at a check point doesn't stop at the same one again: with a fault at every check point and a
    save at each, it comes to its end."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context) -> Steps[i32]:
        for _ in range(3):
            yield from check_interrupt()
        yield from block_until(lambda: 1)
        return 1

    execution = everywhere(CALL, host).start("run")
    while isinstance(outcome := execution.run(), Suspended):
        loaded = reload(execution, [host], CALL)
        execution.drop()
        execution = loaded
    assert outcome == Returned((1,))


def test_save_hooks_are_called_each_once() -> None:
    """75: the states that `load` brings are those that `save` gave; the fresh one that stood in its place is closed."""
    closed: list[object] = []
    host = HostModule("h", state=lambda: ["fresh"], close=closed.append)
    host.save(lambda state: {"kept": tuple(state)})
    host.load(lambda data: ["loaded", *data["kept"]])

    @host.restartable
    def f(ctx: BlockingContext[list[str]]) -> i32:
        ctx.sleep(1)
        return 1

    execution = everywhere(CALL, host).start("run")
    run_to(execution, "in wait")
    loaded = reload(execution, [host], CALL)
    assert closed == [["fresh"]]
    assert loaded.instance.state(host) == ["loaded", "fresh"]
    assert finish(loaded) == Returned((1,))
    loaded.instance.close()
    execution.instance.close()
    assert closed == [["fresh"], ["loaded", "fresh"], ["fresh"]]


def test_a_load_hook_may_have_the_clock() -> None:
    """76: a hook with a second parameter is given the clock of the engine that the call goes on in."""
    host = HostModule("h", state=lambda: -1.0)
    host.save(lambda state: state)

    @host.load
    def load(data: float, clock: Clock) -> float:
        return data + clock.monotonic()

    @host.restartable
    def f(ctx: BlockingContext[float]) -> i32:
        ctx.sleep(1)
        return 1

    execution = everywhere(CALL, host).start("run")
    run_to(execution, "in wait")
    engine = Engine(EngineConfig(clock=FakeClock(monotonic=50.0)))
    loaded = Execution.load(execution.save(), module(CALL), [host], trusted=True, engine=engine)
    assert loaded.instance.state(host) == 49.0
    assert load(1.0, FakeClock(monotonic=2.0)) == 3.0


def test_unknown_options_are_refused() -> None:
    """A mistyped option of `load` is a TypeError, as anywhere else."""
    execution = everywhere(CALL, _versioned(1)).start("run")
    run_to(execution, "in wait")
    with pytest.raises(TypeError):
        reload(execution, [_versioned(1)], CALL, limit=3)
    assert isinstance(module(CALL), Module)

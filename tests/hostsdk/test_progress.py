"""`ctx.progress`: how far a call has come, as the place that a restart goes on from."""

from __future__ import annotations

from functools import partial

import attrs
import pytest

from hostsdk import BlockingContext, Context, Failed, HostModule, Limits, Returned, StateError, Steps, i32, sleep
from hostsdk.testing import Kind, explore
from tests.support.inject import STYLES, everywhere, finish, guest, reload, restartable, run_to, scene

CALL = '(import "h" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f))'


@attrs.define
class Sent:
    """Progress of several fields."""

    count: int = 0
    rest: bytes = b"abcdef"


@pytest.mark.parametrize("style", STYLES)
def test_no_part_is_done_twice_or_left_out(style: str) -> None:
    """Each part is sent once, whatever happens in between, and the journal stays as short as one part (cookbook 10)."""
    host = HostModule("h", state=list[bytes])
    host.save(list)
    host.load(list)

    @restartable(host, style)
    def f(ctx: Context[list[bytes]]) -> Steps[i32]:
        sent = ctx.progress(Sent())
        while sent.value.rest:
            part = ctx.once(lambda: sent.value.rest[:2])
            yield from sleep(1)
            ctx.once(partial(ctx.state.append, part))
            sent.value = Sent(sent.value.count + len(part), sent.value.rest[len(part) :])
        return sent.value.count

    found = explore(scene(CALL, host, limits=Limits(journal=4), observe=lambda inst: list(inst.state(host))))
    assert found.undisturbed.popitem()[1].effects == [b"ab", b"cd", b"ef"]
    found.exhaustive()
    found.every(1, 2)
    found.mixed(range(4))


def test_progress_forgets_steps_not_itself() -> None:
    """After a commit a function that is entered again goes on from the value, and the steps before it aren't asked
    for; those before `ctx.progress` still are."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: BlockingContext[list[str]]) -> i32:
        ctx.once(lambda: ctx.state.append("first"))
        done = ctx.progress(0)
        if done.value < 1:
            ctx.once(lambda: ctx.state.append("second"))
            done.value = 1
        ctx.sleep(1)
        ctx.once(lambda: ctx.state.append("third"))
        return done.value

    inst = everywhere(CALL, host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    record = execution._context.frames[-1].record  # type: ignore[union-attr]  # a host function's
    assert record is not None
    assert [entry.kind for entry in record.entries] == ["once", "progress", "wait"]
    assert finish(execution) == Returned((1,))
    assert inst.state(host) == ["first", "second", "third"]


@pytest.mark.parametrize("style", STYLES)
def test_one_progress_inside_another(style: str) -> None:
    """A commit of the outer one forgets the inner one, which must be opened again; using the old one is an error."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context) -> Steps[i32]:
        rows = ctx.progress(0)
        columns = None
        total = 0
        while rows.value < 2:
            columns = ctx.progress(0)
            while columns.value < 3:
                yield from sleep(0.1)
                columns.value += 1
            rows.value += 1
            total += 1
        if columns is None:
            return 1  # a replay comes by here no more
        try:
            columns.value = 9
        except StateError:
            return 1
        return 0

    found = explore(scene(CALL, host))
    assert "returned (1)" in {ending.outcome for ending in found.undisturbed.values()}
    found.every(1, 2)
    found.exhaustive()


def test_progress_that_was_kept_from_another_call_is_refused() -> None:
    """A progress belongs to its call: one kept from an earlier call can't write into a later one's record."""
    kept: list[object] = []
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext) -> i32:
        mine = ctx.progress(0)
        kept.append(mine)
        kept[0].value = 5  # type: ignore[attr-defined]
        return mine.value

    inst = guest(CALL, host)
    assert inst.exports.run() == 5
    outcome = inst.start("run").run()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, StateError)


def test_progress_in_a_plain_function_is_a_value() -> None:
    """A plain function is entered once: its progress is just a value."""
    host = HostModule("h")

    @host.function
    def f(ctx: Context) -> i32:
        done = ctx.progress(3)
        done.value += 1
        return done.value

    assert guest(CALL, host).exports.run() == 4


def test_progress_is_saved() -> None:
    """75: progress goes with the saved call, attrs fields included."""
    host = HostModule("h")

    @host.restartable
    def f(ctx: Context) -> Steps[i32]:
        sent = ctx.progress(Sent())
        if not sent.value.count:
            sent.value = Sent(4, b"z")
        yield from sleep(1)
        return sent.value.count + len(sent.value.rest)

    execution = everywhere(CALL, host).start("run")
    run_to(execution, "in wait")
    assert finish(reload(execution, [host], CALL)) == Returned((5,))
    execution.drop()
    explore(scene(CALL, host), kinds=[Kind.SAVE]).every(1)

"""`ctx.resources` and `ctx.acquire`: live objects under numbers, over restarts and sharing."""

from __future__ import annotations

import pytest

from hostsdk import (
    ERRNO_NEGATIVE,
    BlockingContext,
    Context,
    Failed,
    HandleError,
    HostModule,
    ResourceTable,
    Returned,
    SnapshotError,
    StateError,
    Steps,
    Suspended,
    block_until,
    i32,
    sleep,
)
from tests.support.inject import STYLES, everywhere, finish, guest, reload, restartable, run_to

CALL = """(import "h" "f" (func $f (param i32) (result i32)))
  (func (export "run") (param i32) (result i32) (call $f (local.get 0)))"""
EBADF = -8


def _reading(style: str) -> HostModule[list[str]]:
    """A function that looks a number up, waits, and says what it has."""
    host = HostModule("h", state=list[str], errors=ERRNO_NEGATIVE)

    @restartable(host, style)
    def f(ctx: Context[list[str]], fd: i32) -> Steps[i32]:
        thing = ctx.resources.get(fd, list)
        yield from sleep(1)
        again = ctx.resources.get(fd, list)
        if again is not thing:
            return -1000
        return len(thing)

    return host


@pytest.mark.parametrize("style", STYLES)
def test_a_number_that_was_given_out_again_is_never_the_new_object(style: str) -> None:
    """56: closed while a call waits, and the number used again: the call sees EBADF, not the new object."""
    inst = everywhere(CALL, _reading(style))
    assert inst.resources.add([1, 2]) == 0
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    inst.resources.close(0)
    assert inst.resources.add([1, 2, 3]) == 0
    assert finish(execution) == Returned((EBADF,))


@pytest.mark.parametrize("style", STYLES)
def test_a_look_up_in_an_attempt_is_pinned_too(style: str) -> None:
    """56: a number looked up inside an attempt stands for the same object in every later attempt of the call."""
    host = HostModule("h", errors=ERRNO_NEGATIVE)

    @restartable(host, style)
    def f(ctx: Context, fd: i32) -> Steps[i32]:
        return (yield from block_until(lambda: len(ctx.resources.get(fd, list)) or None))

    inst = everywhere(CALL, host)
    inst.resources.add([])
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    inst.resources.close(0)
    inst.resources.add([1, 2, 3])
    assert finish(execution) == Returned((EBADF,))


def test_a_number_that_the_call_itself_gives_anew() -> None:
    """A call that closes a number and gets it again for something else finds that, restarted or not."""
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext, fd: i32) -> i32:
        before = ctx.resources.get(fd, str)
        ctx.resources.close(fd)
        same = ctx.resources.add("another")
        ctx.sleep(1)
        return len(before + ctx.resources.get(same, str)) + 100 * same

    for make in (guest, everywhere):
        inst = make(CALL, host)
        inst.resources.add("x")
        assert finish(inst.start("run", 0)) == Returned((8,))


@pytest.mark.parametrize("style", STYLES)
def test_an_object_under_another_number_is_still_found(style: str) -> None:
    """56: moved to another number while a call waits, the object that the call looked up is the one it goes on with."""
    host = HostModule("h", errors=ERRNO_NEGATIVE)

    @restartable(host, style)
    def f(ctx: Context, fd: i32) -> Steps[i32]:
        thing = ctx.resources.get(fd, list)
        yield from sleep(1)
        return len(thing)

    inst = everywhere(CALL, host)
    inst.resources.add([1, 2])
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    inst.resources.move(0, 7)
    assert inst.resources.add([]) == 0
    assert finish(execution) == Returned((2,))


def test_ebadf_that_is_caught_can_be_waited_with() -> None:
    """56: a function that catches the EBADF of a restart goes on from there, and what it does then is replayed like
    anything else, though the first time it went another way."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: BlockingContext[list[str]], fd: i32) -> i32:
        try:
            thing = ctx.resources.get(fd, list)
            ctx.once(lambda: ctx.state.append("had it"))
            ctx.sleep(1)
            return len(thing)
        except HandleError:
            ctx.once(lambda: ctx.state.append("lost it"))
            ctx.sleep(1)
            ctx.sleep(1)
            return -1

    inst = everywhere(CALL, host)
    inst.resources.add([1])
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    inst.resources.close(0)
    inst.resources.add([1, 2])
    assert finish(execution) == Returned((-1,))
    assert inst.state(host) == ["had it", "lost it"]


@pytest.mark.parametrize("style", STYLES)
def test_adding_moving_and_closing_happen_once(style: str) -> None:
    """Changes of the table are steps of the journal: a restarted call doesn't make them again."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context, n: i32) -> Steps[i32]:
        a = ctx.resources.add("a")
        yield from sleep(1)
        b = ctx.resources.add("b")
        yield from sleep(1)
        ctx.resources.close(a)
        ctx.resources.move(b, 5)
        yield from sleep(1)
        return a * 100 + b * 10 + ctx.resources.add("c")

    for make in (guest, everywhere):
        inst = make(CALL, host)
        assert finish(inst.start("run", 0)) == Returned((10,))
        assert inst.resources.handles() == [0, 5]


@pytest.mark.parametrize("number", [-1, 0, 1, 1 << 30])
def test_a_hostile_number_is_ebadf(number: int) -> None:
    """A number that names nothing, or something of another kind, is EBADF, and touches nothing."""
    inst = guest(CALL, _reading("function"))
    inst.resources.add("no list")
    assert inst.exports.run(number) == EBADF
    assert inst.resources.handles() == [0]


def test_a_call_that_holds_something_cant_be_saved() -> None:
    """75: what was acquired is a live object; saving names it, and the call can still go on."""
    host = HostModule("h", state=list[str])
    host.save(list)
    host.load(list)

    @host.restartable
    def f(ctx: BlockingContext[list[str]], n: i32) -> i32:
        def connection() -> object:
            return object()

        ctx.acquire(connection, release=lambda _: ctx.state.append("released"))
        ctx.sleep(1)
        return 1

    inst = everywhere(CALL, host)
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    with pytest.raises(SnapshotError, match=r"connection|resource"):
        execution.save()
    assert finish(execution) == Returned((1,))
    assert inst.state(host) == ["released"]


def test_acquired_once_over_restarts() -> None:
    """A restarted call gets back the very object that it acquired."""
    host = HostModule("h", state=list[object])

    @host.restartable
    def f(ctx: BlockingContext[list[object]], n: i32) -> i32:
        made = ctx.acquire(object, release=ctx.state.append)
        ctx.state.append(made)
        ctx.sleep(1)
        ctx.state.append(made)
        return 1

    inst = everywhere(CALL, host)
    assert finish(inst.start("run", 0)) == Returned((1,))
    assert len(set(map(id, inst.state(host)))) == 1
    assert len(inst.state(host)) >= 4


@pytest.mark.parametrize("fails", [False, True])
def test_an_error_in_a_release(fails: bool) -> None:
    """8: all are released whatever one release raises; its error is told, but doesn't hide the call's own."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: BlockingContext[list[str]], n: i32) -> i32:
        def bad(_: object) -> None:
            ctx.state.append("bad")
            raise LookupError("release")

        ctx.acquire(int, release=lambda _: ctx.state.append("good"))
        ctx.acquire(int, release=bad)
        ctx.sleep(1)
        if fails:
            raise ZeroDivisionError
        return 1

    for make in (guest, everywhere):
        inst = make(CALL, host)
        outcome = finish(inst.start("run", 0))
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, ZeroDivisionError if fails else LookupError)
        assert inst.state(host) == ["bad", "good"]
        if fails:
            assert "release" in "".join(outcome.error.__notes__)


def test_a_resource_that_was_closed_by_hand_isnt_released_twice() -> None:
    """8: something acquired that was closed already is not closed a second time."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: BlockingContext[list[str]], n: i32) -> i32:
        ctx.acquire(int, release=lambda _: ctx.state.append("released"))
        ctx.sleep(1)
        return 1

    inst = everywhere(CALL, host)
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    inst.resources.close_all()
    finish(execution)
    assert inst.state(host) == ["released"]


def test_the_table_gives_the_lowest_number() -> None:
    """Numbers are the lowest free ones, like those of descriptors; moving onto itself changes nothing."""
    closed: list[str] = []
    table = ResourceTable()
    assert [table.add(name, close=closed.append) for name in "abcd"] == [0, 1, 2, 3]
    table.close(1)
    table.close(0)
    assert table.add("e", close=closed.append) == 0
    table.move(2, 2)
    table.move(2, 3)
    assert closed == ["b", "a", "d"]
    assert table.get(3, str) == "c"
    table.move(3, 6)
    assert [table.add(n, close=closed.append) for n in "fghij"] == [1, 2, 3, 4, 5]
    assert table.add("k", close=closed.append) == 7
    with pytest.raises(HandleError):
        table.move(0, 1 << 40)
    with pytest.raises(HandleError):
        table.move(99, 0)
    table.close_all()
    assert len(table) == 0
    assert sorted(closed) == sorted("abcdefghijk")


def test_resources_belong_to_a_call() -> None:
    """A view of the table that was kept is refused outside of its call."""
    kept: list[Context] = []
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext, n: i32) -> i32:
        kept.append(ctx)
        ctx.sleep(1)
        return 1

    execution = everywhere(CALL, host).start("run", 0)
    run_to(execution, "in wait")
    with pytest.raises(StateError):
        kept[0].resources.add("x")
    assert not isinstance(finish(execution), Suspended)


# Owners and saving


class Cursor:
    """Something live that can be made again from a number."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.closed = False

    def close(self) -> None:
        self.closed = True


def _rows() -> HostModule[list[str]]:
    host = HostModule("rows", state=list[str])
    host.save(list)
    host.load(list)

    @host.restartable
    def f(ctx: BlockingContext[list[str]], fd: i32) -> i32:
        at = ctx.resources.add(Cursor(7)) if fd < 0 else fd
        cursor = ctx.resources.get(at, Cursor)
        ctx.block_until(timeout=1)
        again = ctx.resources.get(at, Cursor)
        return 100 * at + cursor.at if again is cursor else -1

    def load(state: list[str], data: int) -> Cursor:
        state.append(f"made {data}")
        return Cursor(data)

    host.resource(Cursor, save=lambda cursor: cursor.at, load=load, close=Cursor.close)
    return host


SAVING = """(import "rows" "f" (func $f (param i32) (result i32)))
  (func (export "run") (param i32) (result i32) (call $f (local.get 0)))"""


def test_a_resource_with_hooks_is_saved_and_made_again_under_its_number() -> None:
    """75: a call that has looked a resource up is saved, loaded beside it and finished; its number and its identity are
    what they were, free numbers stay free, and the loaded object is closed with its instance."""
    inst = everywhere(SAVING, _rows())
    for at in range(3):
        inst.resources.add(Cursor(at))
    inst.resources.close(1)
    execution = inst.start("run", 2)
    run_to(execution, "in wait")
    loaded = reload(execution, [_rows()], SAVING)
    there = loaded.instance
    assert there.resources.handles() == [0, 2]
    assert loaded.instance.state(there._bindings[0].module) == ["made 0", "made 2"]
    made = there.resources.get(2, Cursor)
    assert there.resources.add(Cursor(9)) == 1
    assert finish(loaded) == finish(execution) == Returned((202,))
    there.close()
    assert made.closed


def test_what_is_looked_up_and_closed_before_saving_stays_closed() -> None:
    """56: closed before the call was saved, its number given to another: the loaded call sees that it is closed."""
    inst = everywhere(SAVING, _rows())
    inst.resources.add(Cursor(0))
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    inst.resources.close(0)
    assert inst.resources.add(Cursor(5)) == 0
    loaded = reload(execution, [_rows()], SAVING)
    outcome = finish(loaded)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, HandleError)


def test_the_owner_is_named_where_its_resource_cannot_be_saved() -> None:
    """75: an open resource of a class that nobody has said how to save is named with the module that added it; the call
    goes on unharmed."""
    host = HostModule("rows")

    @host.restartable
    def f(ctx: BlockingContext, fd: i32) -> i32:
        ctx.resources.add([])
        ctx.block_until(timeout=1)
        return fd

    execution = everywhere(SAVING, host).start("run", 4)
    run_to(execution, "in wait")
    with pytest.raises(SnapshotError, match=r"resource 0, a list of host module rows, is open .*resource\(list, save="):
        execution.save()
    assert finish(execution) == Returned((4,))


def test_a_kind_that_the_loading_module_lacks_is_named() -> None:
    """75: loading fails before anything is entered where the host module doesn't know a saved resource's class."""
    inst = everywhere(SAVING, _rows())
    inst.resources.add(Cursor(0))
    execution = inst.start("run", 0)
    run_to(execution, "in wait")
    bare = _rows()
    bare._kinds.clear()
    with pytest.raises(SnapshotError, match="resource 0 is a Cursor of host module rows, which makes none here"):
        reload(execution, [bare], SAVING)

"""Several threads as bytes and back: what a `Process` saves besides its executions, and how they are linked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ._embed import Instance
from ._engine import (
    Attachment,
    Clock,
    Engine,
    HostFunc,
    Interrupt,
    Limits,
    RuntimeInstance,
    SnapshotError,
    lean,
    snapshot,
)
from ._execution import Execution
from ._loaded import Module
from ._module import HostModule
from ._resource_kinds import save_resources
from ._trace import Trace

#: The largest number of a thread: the three highest bits are for the guest's locks.
LAST_TID = (1 << 29) - 1


@lean.frozen
class Kept:
    """A thread that rests: its number, its call, whether it is in its start function still, and its execution, which
    one that has not begun lacks."""

    tid: int
    name: str
    args: tuple[int | float, ...]
    starting: bool
    execution: Execution | None


@lean.frozen
class Loaded:
    """What `load_threads` made: the main instance, the threads, and which numbers of threads are free."""

    instance: Instance
    threads: list[Kept]
    last: int
    free: list[int]


@lean.define(eq=False)
class Relay:
    """Passes on what an interrupt is asked for to another one: to all threads of a process."""

    _attachment: Attachment | None = None
    _target: Interrupt | None = None

    @contextmanager
    def between(self, source: Interrupt | None, target: Interrupt) -> Iterator[None]:
        """While the block lasts, `target` is set when `source` is."""
        if source is None:
            yield
            return
        self._target = target
        self._attachment = source.attach(self)
        try:
            self.wake()  # it may have been set before
            yield
        finally:
            self._attachment.detach()

    def wake(self) -> None:
        """`source` was set. From any thread; takes no lock."""
        attachment, target = self._attachment, self._target
        if attachment is not None and target is not None and attachment.standing:
            attachment.acknowledge()
            target.set(attachment.interrupt.reason)


def save_threads(main: Instance, threads: Sequence[Kept], last: int, free: Sequence[int]) -> bytes:
    """Threads that rest, the main one first, as bytes. Raises SnapshotError naming what can't be saved."""
    begun = [thread.execution for thread in threads if thread.execution is not None]
    homes = {id(execution.instance): number for number, execution in enumerate(begun)}
    rows = [[t.tid, t.name, list(t.args), t.starting, t.execution is not None] for t in threads]
    extra = {
        "threads": rows, "last": last, "free": list(free), "states": main._save_hosts(),
        "resources": save_resources(main.resources, main._bindings),
    }  # fmt: skip

    def home(func: HostFunc) -> int | None:
        binding = getattr(func.code, "binding", None)
        return None if binding is None else homes.get(id(binding.owner))

    return snapshot.save_all([(e._context, e.instance._raw) for e in begun], home, extra)


def load_threads(
    data: bytes,
    module: Module,
    hosts: Sequence[HostModule[Any]],
    limits: Limits,
    engine: Engine | None,
    trace: Trace | None,
    clock: Clock | None,
    most: int,
) -> Loaded:
    """What `save_threads` made, with at most `most` threads. Raises SnapshotError and UnlinkableError."""
    instances = [Instance.__new__(Instance)]
    main = instances[0]

    def homes(count: int) -> list[snapshot.Home]:
        if not 1 <= count <= most:
            raise SnapshotError(f"the snapshot has {count} threads, and there can be {most}")
        for _ in range(count - 1):
            other = Instance.__new__(Instance)
            instances.append(other)
            other._begin(module, hosts, limits, main._store.engine, trace, main)
        return [instance._home() for instance in instances]

    try:
        main._begin(module, hosts, limits, engine, trace)
        raw = module._raw
        restored = snapshot.load_all(data, {raw.hash: raw}, homes, limits.memory, clock)
        extra = _extra(restored.extra)
        kept = list(zip(instances, restored.executions, strict=True))
        for instance, (_, found) in kept:
            if found is None or found.module is not raw:
                raise SnapshotError("the snapshot is corrupt: a thread without an instance of the program")
            instance._linked(found)
            instance._given = _imported(main._raw)
        states = {"hosts": extra["states"], "resources": extra["resources"]}
        main._load_hosts(states, clock or main._store.engine.config.clock)
        for instance in instances[1:]:
            for binding in instance._bindings:
                binding.state = main.state(binding.module)
        threads = _threads(extra, [(instance, context) for instance, (context, _) in kept], most)
        return Loaded(main, threads, extra["last"], sorted(extra["free"]))
    except BaseException:
        for instance in reversed(instances):
            if hasattr(instance, "_closed"):
                instance.close()
        raise


def _extra(extra: Any) -> dict[str, Any]:
    """The owner's data, if it is a process's."""
    wanted = {"threads": list, "last": int, "free": list, "states": dict, "resources": list}
    if not isinstance(extra, dict) or any(type(extra.get(name)) is not kind for name, kind in wanted.items()):
        raise SnapshotError("this is no snapshot of a process")
    return extra


def _threads(extra: dict[str, Any], begun: list[Any], most: int) -> list[Kept]:
    """The threads that rows of data tell of. Raises SnapshotError where they can't be threads of one process."""
    left, threads = list(reversed(begun)), []
    for row in extra["threads"]:
        match row:
            case [int(tid), str(name), [*args], bool(starting), bool(has)] if has is False or left:
                execution = None
                if has:
                    instance, context = left.pop()
                    name_now, args_now = ("(start)", ()) if starting else (name, tuple(args))
                    execution = Execution(instance, name_now, args_now, context)
                threads.append(Kept(tid, name, tuple(args), starting, execution))
            case _:
                raise SnapshotError("the snapshot is corrupt: something else in place of a thread")
    numbers, last = [*(thread.tid for thread in threads), *extra["free"]], extra["last"]
    sound = (
        0 < len(threads) <= most and not left and threads[0].tid == 0 and threads[0].execution is not None
        and all(type(arg) in (int, float) for thread in threads for arg in thread.args)
        and all(thread.execution is not None or not thread.starting for thread in threads)
        and last <= LAST_TID and all(type(n) is int and 0 <= n <= last for n in numbers)
    )  # fmt: skip
    if not sound or not len(numbers) == len(set(numbers)) == last + 1:
        raise SnapshotError("the snapshot is corrupt: threads that can't be those of one process")
    return threads


def _imported(raw: RuntimeInstance) -> dict[str, dict[str, object]]:
    """What the program was given besides its host modules: a further thread gets the same."""
    # By the numbers of the kinds of imports.
    spaces = [iter(space) for space in (raw.funcs, raw.tables, raw.memories, raw.globals, raw.tags)]
    given: dict[str, dict[str, object]] = {}
    for each in raw.module.decls.imports:
        given.setdefault(each.module, {})[each.name] = next(spaces[each.kind])
    return given

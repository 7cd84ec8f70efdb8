"""`Interrupt`: the embedder's request that an execution stop and come back.

Its two forms differ in what one setting means. In the edge form, a setting is one request: each execution reports it
at most once. In the level form (toywasm's), the interrupt is a state: while it is set, one of `delay` + 1 polls
reports.

`set` is called from any thread, from finalizers and from signal handlers. A Python signal handler runs in the main
thread between any two bytecodes, so it may find any lock of ours held by the very code that it interrupted, and would
wait for it for ever. Hence `set` takes no lock: it publishes one object by one store, then walks over a list that is
copied in one step of C. A setting is an object rather than a number for the same reason: a count would be read,
increased and stored, and a second `set` in between could bring it back to a value that an execution has already seen.
"""

from __future__ import annotations

import weakref
from typing import Protocol

from .. import lean


class Listener(Protocol):
    """What an interrupt is attached to: the inbox of an execution. Hashable by identity."""

    def wake(self) -> None:
        """Make the execution poll, whether it computes or waits. From any thread, without taking a lock."""


@lean.frozen(eq=False)
class Setting:
    """One act of setting an interrupt, told from all others by its identity."""

    reason: object


@lean.define(eq=False)
class Memory:
    """What one listener has seen of one interrupt. It outlives an attachment: a resumed run goes on with it."""

    seen: Setting | None
    swallowed: int = 0


class Interrupt:
    """A request that an execution suspend, to be set from any thread or signal handler.

    Pass it to a call; the call, wherever it computes or waits, is then left at its next check point, and can be
    resumed. One interrupt may serve several executions at once, and stop them all.

    Edge form: each `set()` is reported at most once for an execution, `clear()` takes a request back that hasn't been
    reported. A setting belongs to the executions that the interrupt has been given to. One that comes after the call
    has ended harms nobody: an execution that gets the interrupt later starts without it. Only what was set before the
    interrupt was ever used stands for its first execution.

    Level form: as long as the interrupt is set, one of `delay` + 1 polls reports, in whatever execution has it.
    """

    __slots__ = ("__weakref__", "_attached", "_memories", "_setting", "_used", "delay", "level")

    def __init__(self, level: bool = False, delay: int = 0) -> None:
        if delay < 0:
            raise ValueError(f"delay is a number of polls, not {delay}")
        if delay and not level:
            raise ValueError("delay belongs to the level form; an edge is reported at the next poll")
        self.level = level
        self.delay = delay
        self._setting: Setting | None = None
        self._attached: dict[int, Attachment] = {}
        self._memories: weakref.WeakKeyDictionary[Listener, Memory] = weakref.WeakKeyDictionary()
        self._used = False

    def set(self, reason: object = None) -> None:
        """Make the request. `reason` is for the reader of the outcome. Never blocks."""
        self._setting = Setting(reason)
        # First the setting, then the listeners; `attach` does it the other way round. So one sees the other.
        for attachment in list(self._attached.values()):
            attachment.listener.wake()

    def clear(self) -> None:
        """Take the request back. What has been reported stays reported."""
        self._setting = None

    @property
    def is_set(self) -> bool:
        """Whether it was set and not cleared since; a report doesn't clear it."""
        return self._setting is not None

    @property
    def reason(self) -> object:
        """What the last `set` gave as its reason; None once cleared."""
        setting = self._setting
        return None if setting is None else setting.reason

    def attach(self, listener: Listener) -> Attachment:
        """From now on `set` wakes `listener`. Whether a request stands already, the attachment's `standing` says.

        The same listener finds what it had seen before: it is suspended and resumed under several attachments.
        """
        lapsed = self._setting if self._used and not self._attached else None
        memory = self._memories.get(listener)
        if memory is None:
            memory = self._memories.setdefault(listener, Memory(lapsed))
        self._used = True
        attachment = Attachment(self, listener, memory)
        self._attached[id(attachment)] = attachment
        return attachment

    def __repr__(self) -> str:
        form = f"level, delay {self.delay}" if self.level else "edge"
        return f"<Interrupt {form}, {'set' if self.is_set else 'not set'}>"


@lean.define(eq=False)
class Attachment:
    """An interrupt and one listener. Polled by the listener's own thread only."""

    interrupt: Interrupt
    listener: Listener
    memory: Memory

    @property
    def standing(self) -> bool:
        """Whether a later poll may report, so that the execution's word has to stay set."""
        setting = self.interrupt._setting
        return setting is not None and (self.interrupt.level or setting is not self.memory.seen)

    def poll(self) -> bool:
        """Whether to report now. True counts as reported."""
        interrupt, memory = self.interrupt, self.memory
        setting = interrupt._setting
        if setting is None:
            return False
        if interrupt.level:
            # The count advances only while the interrupt is set, and isn't reset when that changes.
            if memory.swallowed < interrupt.delay:
                memory.swallowed += 1
                return False
            memory.swallowed = 0
            return True
        if setting is memory.seen:
            return False
        memory.seen = setting
        return True

    def peek(self) -> bool:
        """Like `poll`, but an edge isn't reported by this: its own listener has still to do it."""
        return self.poll() if self.interrupt.level else self.standing

    def acknowledge(self) -> None:
        """Take the present setting as reported. In the level form, only the count of polls starts anew."""
        self.memory.seen = self.interrupt._setting
        self.memory.swallowed = 0

    def detach(self) -> None:
        """`set` doesn't wake the listener any more. Harmless when repeated."""
        self.interrupt._attached.pop(id(self), None)

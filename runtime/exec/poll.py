"""`check_interrupt`: what an execution is asked to do, and the order in which that is looked at.

Requests come from any thread. Each source sets its own mark first and the word last; the poller clears the word first
and looks at the marks afterwards, so that no request is lost between the two.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, Protocol

from .. import lean
from .clock import Alarm, Clock
from .interrupt import Attachment, Interrupt
from .state import ExitSignal, Injected, Interrupted, OutOfSteps, Preempted, Status, Suspended, TimedOut, make_exit
from .wait import Driver, WaitSet, Waker

if TYPE_CHECKING:
    from .cluster import Member
    from .inject import Injector

_STOPPED: Final = Status.ETOYWASMUSERINTERRUPT
_standing: Final = attrgetter("standing")
#: Value of a cell that asks running code to look for requests.
ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF


class Cell(Protocol):
    """Eight bytes that machine code reads."""

    value: int


@lean.define(eq=False)
class Requests:
    """The inbox of an execution. A nested activation has one of its own, and listens to its parent's too."""

    clock: Clock
    injector: Injector | None = None
    parent: Requests | None = None
    #: The word that running code polls: anything but 0 means that `check` has something to look at.
    word: list[int] = lean.field(factory=lambda: [0])
    #: What machine code polls in place of the word: cells that are set to all ones with it. A tier puts them here for
    #: as long as it runs.
    cells: list[Cell] = lean.field(factory=list)
    waker: Waker = lean.field(factory=Waker)
    attachments: list[Attachment] = lean.field(factory=list)
    #: The next check is the one at which the execution was suspended: it has been answered. It takes place for that,
    #: even if nothing stands any more; else a later one would be passed over for it.
    skip: bool = False
    checks: int = 0
    exit_code: int | None = None
    #: The deadline of this run, once its alarm has come.
    expired: bool = False
    #: Instructions left, in one element that the counting code shares; None where nobody counts.
    steps: list[int] | None = None
    #: The turn is over. For this execution alone: a plain call nested in it can't leave the stack for that.
    preempted: bool = False
    #: Turns by the count of check points instead of by time, where the order has to be the same each time.
    turns: Injector | None = None
    #: Whether signals that come while the main thread runs it make it look.
    signals: bool = False
    #: The thread's place among those that share a memory, while it runs in such an instance.
    member: Member | None = None
    #: Whether what `check` found last was asked of a parent.
    inherited: bool = False
    _alarm: Alarm | None = None
    _deadline: float | None = None

    @classmethod
    def nested(cls, parent: Requests) -> Requests:
        """For an activation on top of `parent`'s."""
        return cls(
            parent.clock, None, parent, parent.word, parent.cells, parent.waker, steps=parent.steps,
            member=parent.member, signals=parent.signals,
        )  # fmt: skip

    def wake(self) -> None:
        """Make whatever the execution does look at its requests: running code by the word, a wait by its waker."""
        self._look()
        self.waker.wake()

    def preempt(self) -> None:
        """Ask the execution to give up its turn at its next check point, if it computes; a wait goes on. From any
        thread."""
        self.preempted = True
        self._look()

    def exit(self, code: int) -> None:
        """Ask the execution to end with `code`. From any thread; the first code wins."""
        if self.exit_code is None:
            self.exit_code = code
        self.wake()

    def arm(self, interrupt: Interrupt | None, deadline: float | None) -> None:
        """Attach what one run listens to."""
        if interrupt is not None:
            self.attachments.append(interrupt.attach(self))
        if deadline is not None:
            self._deadline = deadline
            self._alarm = self.clock.call_at(deadline, self._expire)
        self.refresh()

    def disarm(self) -> None:
        """The run is over: nothing reaches it any more."""
        for attachment in self.attachments:
            attachment.detach()
        self.attachments.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._deadline = None
        self.expired = False

    def chain(self) -> tuple[Requests, ...]:
        """The outermost activation's requests first, down to these."""
        return (self,) if self.parent is None else (*self.parent.chain(), self)

    def refresh(self) -> None:
        """Set the word if a request is standing, or the next check is to be passed over."""
        inbox: Requests | None = self
        if self.preempted or self.turns is not None or self.skip:
            self._look()
            return
        while inbox is not None:
            if (
                inbox.injector is not None
                or inbox.steps is not None
                or inbox.exit_code is not None
                or inbox.expired
                or (inbox.attachments and inbox.urgent)
                or (inbox.member is not None and inbox.member.asked)
            ):
                self._look()
                return
            inbox = inbox.parent

    def _look(self) -> None:
        """Have running code look."""
        self.word[0] = 1
        for cell in self.cells:
            cell.value = ALL_ONES

    @property
    def watched(self) -> bool:
        """Whether a request may come from elsewhere at any time."""
        return bool(self.attachments) or self._alarm is not None or (self.parent is not None and self.parent.watched)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for the execution to look."""
        if self.exit_code is not None or self.expired:
            return True
        return any(map(_standing, self.attachments))

    def sleep(self, driver: Driver, waits: WaitSet) -> None:
        """Have `driver` carry out a wait that a request ends. Injected faults belong to check points and end none."""
        self.word[0] = 0
        try:
            if any(r.urgent for r in self.chain()):
                self.word[0] = 1
            if self.member is None:
                driver.wait(waits, self.waker, self.word)
            else:
                with self.member.away("wait"):
                    driver.wait(waits, self.waker, self.word)
        finally:
            self.refresh()

    def _expire(self) -> None:
        # An alarm that was on its way when the run ended must not end the next one.
        deadline = self._deadline
        if deadline is None or self.clock.timeout_for(deadline) != 0.0:
            return
        self.expired = True
        self.wake()


def check(requests: Requests) -> Suspended | None:
    """The first request that stands, in the order exit, user interrupt, timeout, budget, preemption, injected fault;
    None to go on.

    Between exit and interrupt, the thread parks where those who share its memory are to be held still: that is over
    when this goes on. An exit is raised, since it can't be resumed. The first check after a resume is answered with
    None: that check has been reported, and every resume must make progress. An outer execution's request stays
    standing: it is for that one to report.
    """
    faults: dict[Requests, Suspended | None] = {}
    if requests.injector is not None and _only_injected(requests):
        # The word stays as it is, so nothing that comes meanwhile is missed.
        faults[requests] = fault = _injected(requests)
        if _only_injected(requests):
            requests.inherited = False
            return fault
    requests.word[0] = 0
    try:
        if requests.exit_code is not None or requests.parent is not None:
            _exit_if_asked(requests)
        if requests.member is not None:
            requests.member.park()
            _exit_if_asked(requests)
        if requests.skip:
            requests.skip = False
            return None
        chain = requests.chain()
        # Asked first, so that every check point is counted, and what an injector does there (setting an interrupt,
        # say) is seen at this very check point; reported last.
        for inbox in chain:
            if inbox.injector is not None and inbox not in faults:
                faults[inbox] = _injected(inbox)
        for source in _SOURCES:
            for inbox in chain:
                found = source(inbox, inbox is requests)
                if found is not None:
                    requests.inherited = inbox is not requests
                    return found
        for inbox, found in faults.items():
            if found is not None:
                requests.inherited = inbox is not requests
                return found
        return None
    finally:
        requests.refresh()


def _only_injected(requests: Requests) -> bool:
    """Whether an injector is all that there is to ask: so it is at most check points of a run with faults."""
    return (
        requests.parent is None
        and requests.member is None
        and requests.exit_code is None
        and requests.steps is None
        and requests.turns is None
        and not (requests.attachments or requests.expired or requests.preempted or requests.skip)
    )


def interrupted(requests: Requests) -> Suspended | None:
    """The interrupt or time limit of the execution itself that stands, if an exit doesn't come before it, and no check
    point is to be counted or passed over first. Counts as reported."""
    if requests.exit_code is not None or requests.injector is not None or requests.skip or requests.parent is not None:
        return None
    return _interrupted(requests, True) or _expired(requests, True)


def exit_signal(requests: Requests) -> ExitSignal | None:
    """What is raised where the execution, or one that it is nested in, was asked to exit."""
    if requests.parent is None and requests.exit_code is None:
        return None
    for inbox in requests.chain():
        if inbox.exit_code is not None:
            return make_exit(inbox.exit_code)
    return None


def _exit_if_asked(requests: Requests) -> None:
    signal = exit_signal(requests)
    if signal is not None:
        raise signal


def _interrupted(inbox: Requests, own: bool) -> Suspended | None:
    for attachment in inbox.attachments:
        if attachment.poll() if own else attachment.peek():
            return Suspended(_STOPPED, Interrupted(attachment.interrupt))
    return None


def _expired(inbox: Requests, own: bool) -> Suspended | None:
    if not inbox.expired:
        return None
    if own:
        inbox.expired = False
    return Suspended(_STOPPED, TimedOut())


def _exhausted(inbox: Requests, own: bool) -> Suspended | None:
    if inbox.steps is None or inbox.steps[0] >= 0:
        return None
    return Suspended(Status.ETOYWASMRESTART, OutOfSteps())


def _preempted(inbox: Requests, own: bool) -> Suspended | None:
    if not own:
        return None
    over = inbox.preempted or (inbox.turns is not None and inbox.turns.fires(inbox.checks))
    inbox.preempted = False
    return Suspended(Status.ETOYWASMRESTART, Preempted()) if over else None


def _injected(inbox: Requests) -> Suspended | None:
    inbox.checks += 1
    if inbox.injector is not None and inbox.injector.fires(inbox.checks):
        return Suspended(Status.ETOYWASMRESTART, Injected(inbox.checks))
    return None


#: In the order in which they are reported, for all that an execution is nested in, the outermost first. Faults that are
#: injected come after them.
_SOURCES: Final = (_interrupted, _expired, _exhausted, _preempted)

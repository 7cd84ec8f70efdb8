"""One execution: a call from the embedder and everything beneath it. Nearly no methods; the verbs are in their files
(`poll` looks for requests, `host` is the border, `run` the loop, `drop` and `shadow` the end)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, TypeAlias

from .. import lean
from ..errors import Trap
from ..instances.func import FuncInst
from ..instances.instance import Instance
from ..instances.small import GlobalInst
from ..limits import Limits
from ..values import Value
from .backtrace import TraceLine, line
from .counters import Counters
from .frames import Batch, Frame, Frames
from .poll import Requests
from .state import State, Suspended
from .wait import Driver

if TYPE_CHECKING:
    from .cluster import Cluster, Member
    from .tier import Tier

#: A function that is to be called next, with its arguments.
Call: TypeAlias = "tuple[FuncInst, tuple[Value, ...]]"


class Untold(Protocol):
    """What only machine code knows yet."""

    def settle(self, ctx: ExecContext) -> None:
        """Put depth and counts of `ctx` right."""


@lean.define(eq=False, repr=False)
class ExecContext:
    """The state of one call. While it runs, only its thread touches it; other threads speak to `requests`."""

    tier: Tier
    limits: Limits
    requests: Requests
    driver: Driver
    counters: Counters
    #: Run callbacks nested while depth allows, or always on the run loop ("scheduled").
    callbacks: str = "nested"
    state: State = State.READY
    #: What is suspended, outermost first.
    frames: Frames = lean.field(factory=Frames)
    #: Frames taken off the stack during an unwinding, innermost first.
    spilled: list[Frame | Batch] = lean.field(factory=list)
    #: A call to be made by the run loop: the first one, or one that a host function scheduled.
    next_call: Call | None = None
    #: Results for the innermost frame.
    inbox: tuple[Value, ...] | None = None
    #: What is to be raised in the innermost frame.
    throw: BaseException | None = None
    #: The last suspension was a check's report, which the next run doesn't repeat.
    reported: bool = False
    #: Why the unwinding in progress happens; None while one only makes room for a scheduled callee.
    suspended: Suspended | None = None
    #: An `Unwind` is on its way through the Python stack.
    unwinding: bool = False
    dropping: bool = False
    #: Frames, suspended or live; host functions live on the Python stack among them.
    depth: int = 0
    nesting: int = 0
    cells: int = 0
    #: Executions that were begun on top of this one, in its instances, and have not ended.
    covered: int = 0
    #: Those on top of which this one was begun, once for each group.
    over: list[ExecContext] = lean.field(factory=list)
    #: Host functions that wait for a callee or an event, or are live.
    hosts: int = 0
    #: Where an error has been on its way out, innermost first.
    trace: list[TraceLine] = lean.field(factory=list)
    #: The error that `trace` is about.
    traced: BaseException | None = None
    #: Instances that were entered, with the value of their stack pointer then.
    touched: dict[Instance, tuple[GlobalInst, Value] | None] = lean.field(factory=dict)
    #: Those who share a memory with the instances in `touched`; and this thread among them, while it runs.
    clusters: tuple[Cluster, ...] = ()
    member: Member | None = None
    thread: int = lean.field(factory=threading.get_ident)
    #: The machine code that is running, where it calls host functions without telling: what it has not told yet.
    inside: Untold | None = None
    #: It is kept for the next call straight into machine code, and no store takes it.
    parked: bool = False
    #: Data of the owner: hostsdk keeps its execution and its recorder here.
    owner: object = None

    def allow(self, steps: int) -> None:
        """Let the execution run `steps` instructions from here on. Code that counts is used from the next frame on that
        is entered or gone on with."""
        requests = self.requests
        if requests.steps is None:
            requests.steps = [steps]
            for instance in self.touched:
                instance.steps = requests.steps
        requests.steps[0] = steps
        requests.refresh()

    def reuse(self) -> None:
        """Be fresh again, after an execution that has returned and that nobody holds."""
        self.state = State.READY
        self.depth = self.nesting = self.cells = self.hosts = 0
        if self.traced is not None:
            self.trace.clear()
            self.traced = None
        self.requests.checks = 0
        self.requests.skip = False

    def passed(self, error: BaseException, func: FuncInst, offset: int | None) -> None:
        """Note that `error` has left a frame of `func`."""
        if error is not self.traced:
            # One that came up while the last was dealt with goes on with its trace; any other begins anew.
            if self.traced not in (error.__context__, error.__cause__):
                self.trace.clear()
            self.traced = error
        entry = line(func, offset)
        self.trace.append(entry)
        if isinstance(error, Trap):
            error.backtrace.append(entry)

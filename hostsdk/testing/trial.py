"""A test's body as the thing that is tried: the calls that it makes on its guests are made under faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .._engine import Exited, ExitRequested, Failed, FakeClock, Injector, Limits, Never, State, StateError, Trapped
from .._execution import Execution
from .._loaded import Module
from .._module import HostModule
from .._outcomes import Outcome, Returned
from .._question import Question
from .driving import Drive, Ended, Setting
from .faults import Faults, Kind, Thrown
from .guest import FakeGuest, TestGuest
from .report import Ending, InjectionFailure, describe
from .running import Run, values_of
from .scenario import World


class Abandoned(BaseException):
    """Ends a test's body after a call was dropped: for its embedder, the call never comes back."""


@attrs.define(eq=False)
class Trial:
    """What one run of a test's body happens in: guests, a clock, and the faults. Made for a test, and begun anew for
    each of its runs; whatever the runs shall have in common must not change."""

    clock: FakeClock = attrs.field(factory=FakeClock)
    #: Whether events come from other threads.
    threads: bool = False
    _world: World | None = None
    _faults: Faults = attrs.field(factory=lambda: Faults(Never(), (Kind.RESTART,)))
    _setting: Setting = attrs.field(factory=Setting)
    _drives: list[_GuestDrive] = attrs.field(factory=list)
    _calls: list[tuple[str, str]] = attrs.field(factory=list)
    _abandoned: bool = False
    _observe: Callable[[], object] = lambda: None
    _settled: Callable[[], object] = lambda: None
    _answer: Callable[[Question[Any]], int | float] | None = None

    # For tests -----------------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        """The clock and the engine of this run."""
        if self._world is None:
            self._world = self._make()
        return self._world

    def fake(self, *hosts: HostModule[Any], pages: int = 2) -> FakeGuest:
        """A guest without a program; see `FakeGuest`."""
        guest = FakeGuest(*hosts, pages=pages, world=self.world)
        self._join(guest)
        return guest

    def guest(
        self, module: Module | bytes, hosts: Sequence[HostModule[Any]] = (), *, limits: Limits | None = None
    ) -> TestGuest:
        """A guest program. Raises what making a module and an instance raises."""
        made = Module.from_bytes(module) if isinstance(module, bytes) else module
        guest = TestGuest(made, hosts, world=self.world, limits=limits)
        self._join(guest)
        return guest

    def at(self, seconds: float, fn: Callable[[], object]) -> None:
        """Have `fn` called when so many seconds have passed on the clock: an event from outside."""
        self.world.at(seconds, fn)

    def answer(self, fn: Callable[[Question[Any]], int | float]) -> None:
        """Have `fn` answer what host functions ask."""
        self._answer = fn

    def observe(self, fn: Callable[[], object]) -> None:
        """Have `fn` called at the end of each run: the effects of the calls, plain data that must not differ."""
        self._observe = fn

    def settled(self, fn: Callable[[], object]) -> None:
        """Have `fn` called after a call was dropped or thrown into; it raises AssertionError where something is left
        behind."""
        self._settled = fn

    # For those who run it ------------------------------------------------------------------------------------------

    def begin(self, faults: Faults, setting: Setting) -> None:
        """A new run: the clock stands where it did at first, and there is no guest yet."""
        self.clock.__init__()  # type: ignore[misc]  # the very object that the test has, as new
        self._faults, self._setting = faults, setting
        self._world = None
        self._drives, self._calls, self._abandoned = [], [], False
        self._observe = self._settled = lambda: None
        self._answer = None

    @property
    def calls(self) -> list[tuple[str, str]]:
        """The calls made so far, and what they came to."""
        return self._calls

    @property
    def hits(self) -> tuple[Any, ...]:
        """The check points that were hit, in order."""
        return tuple(hit for drive in self._drives for hit in drive.hits)

    def ending(self) -> Ending:
        """What the run has come to."""
        guests = [values_of(drive.guest.instance._raw) for drive in self._drives]
        moved = any(drive.moved for drive in self._drives)
        return Ending(
            "; ".join(f"{call} {outcome}" for call, outcome in self._calls),
            tuple(memory for memories, _, _ in guests for memory in memories),
            tuple(value for _, values, _ in guests for value in values),
            tuple(table for _, _, tables in guests for table in tables),
            self._observe(),
            self.world.clock.monotonic() - self.world_began,
            self._faults.count,
            None if moved else sum(drive.guest.instance.stats.host_calls for drive in self._drives),
        )

    @property
    def world_began(self) -> float:
        """When the clock began."""
        return FakeClock().monotonic()

    def settle(self) -> None:
        """Call what the test gave for a call that was dropped or thrown into."""
        self._settled()

    def close(self) -> None:
        """Close the guests of this run."""
        drives, self._drives = self._drives, []
        for drive in reversed(drives):
            drive.close()

    def _make(self) -> World:
        setting = self._setting
        return World.make(
            self._faults,
            callbacks=setting.callbacks,
            in_place=setting.in_place,
            threads=self.threads,
            clock=self.clock,
        )

    def _join(self, guest: TestGuest) -> None:
        drive = _GuestDrive(self, guest)
        self._drives.append(drive)
        guest._carry_out = drive.carry_out

    def asked(self, question: Question[Any]) -> int | float:
        """The test's answer."""
        if self._answer is None:
            raise LookupError(f"nobody answers {question!r}; give an answer: trial.answer(lambda question: 1)")
        return self._answer(question)


class _GuestDrive(Drive):
    """The calls of one guest."""

    def __init__(self, trial: Trial, guest: TestGuest) -> None:
        super().__init__("the call", trial._faults, trial._setting, trial.world)
        self.trial = trial
        self.guest = guest

    def carry_out(self, guest: TestGuest, name: str, args: Sequence[Any]) -> Any:
        """Make a call under the trial's faults."""
        trial = self.trial
        if trial._abandoned:
            raise Abandoned
        self.instance, self.faults.act = guest.instance, self._act
        self.execution = guest.instance.start(name, *args)
        self.name = f"{name}({', '.join(map(repr, args))})"
        self.faults.armed = True
        try:
            outcome = self.advance()
        finally:
            self.faults.armed = False
        trial._calls.append((self.name, describe(outcome)))
        thrown = self.hits[-1:] and self.hits[-1].kind is Kind.THROW
        if thrown and isinstance(outcome, Failed) and not isinstance(outcome.error, Thrown):
            raise self.failure(f"what was thrown in came out as something else: {describe(outcome)}")
        return self._value(outcome)

    def _value(self, outcome: Outcome | Ended | bytes) -> Any:
        match outcome:
            case Returned(values):
                return None if not values else values[0] if len(values) == 1 else values
            case Trapped(trap):
                raise trap
            case Failed(error):
                raise error
            case Exited(code):
                raise ExitRequested(code)
            case Ended():
                self.trial._abandoned = True
                raise Abandoned
        raise StateError(f"{self.name} is suspended: {outcome!r}")

    def answer(self, question: Question[Any]) -> int | float:
        """What the test answers."""
        return self.trial.asked(question)

    def load(self, data: bytes) -> None:
        """Go on in a new instance, which is the guest's from now on."""
        self.faults.armed = False
        before = self.instance
        hosts = [binding.module for binding in before._bindings]
        self.execution = Execution.load(
            data, before.module, hosts, trusted=True, limits=before._store.limits, engine=self.world.engine
        )
        self.instance = self.guest.instance = self.execution.instance
        self.moved = self.faults.armed = True

    def close(self) -> None:
        """Drop what was left, and close the instances."""
        for execution in self.left:
            if execution.state is State.SUSPENDED:
                execution.drop()
            execution.instance.close()
        self.guest.close()


@attrs.define(eq=False)
class Body:
    """A test's body, as `Exploration` runs it."""

    fn: Callable[[], object]
    trial: Trial
    name: str
    saves: bool = True
    catches: bool = False
    timed: bool = True
    steady: bool = True
    #: What undisturbed runs' calls came to.
    undisturbed: dict[Setting, list[tuple[str, str]]] = attrs.field(factory=dict)
    #: What the first run gave.
    given: object = None


def run_body(body: Body, schedule: Injector, kinds: Sequence[Kind], setting: Setting) -> Run:
    """One run of the body. Raises what the body raises, with a note of what differed so far."""
    trial = body.trial
    trial.begin(Faults(schedule, tuple(kinds)), setting)
    try:
        cut = _call(body)
        if cut:
            trial.settle()
        ending = trial.ending()
    except Exception as error:
        if trial.hits:
            error.add_note("\n".join(_differences(body.undisturbed.get(setting, []), trial)))
        trial.close()
        raise
    except BaseException:
        trial.close()
        raise
    if isinstance(schedule, Never):
        body.undisturbed[setting] = trial.calls
    hits = trial.hits
    trial.close()
    if any(hit.kind is Kind.THROW for hit in hits) and not (cut or body.catches):
        raise InjectionFailure("what was thrown in didn't come out", hits)
    return Run(ending, hits)


def _call(body: Body) -> bool:
    """Run the body; whether a drop or a throw ended it before its end."""
    try:
        body.given = body.fn()
    except (Abandoned, Thrown):
        return True
    return body.trial._abandoned


def _differences(undisturbed: list[tuple[str, str]], trial: Trial) -> list[str]:
    lines = []
    for number, (call, outcome) in enumerate(trial.calls):
        before = undisturbed[number] if number < len(undisturbed) else ("no call", "")
        if before != (call, outcome):
            was = before[1] if before[0] == call else " ".join(before)
            lines.append(f"{call}: undisturbed {was}, now {outcome}")
    told = ["what differed:", *(f"  {line}" for line in lines)] if lines else []
    return [*told, "where:", *(f"  {line}" for hit in trial.hits for line in str(hit).splitlines())]

"""`Execution`: one call, held by the embedder: run, kept, answered, saved, dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ._engine import (
    Dropped,
    Entry,
    ExecContext,
    Exited,
    Failed,
    HostFrame,
    Interrupt,
    Record,
    SnapshotError,
    State,
    StateError,
    TraceLine,
    Trapped,
    control,
    render,
    run_through,
    snapshot,
    trace_of,
    value_out,
)
from ._engine import Returned as RuntimeReturned
from ._engine import Suspended as RuntimeSuspended
from ._module import HostModule
from ._numbers import NUMBERS
from ._outcomes import Outcome, Returned, Suspended

if TYPE_CHECKING:
    from ._embed import Instance, Module


class Execution:
    """A call and everything beneath it. Not for several threads at once, except `exit`.

    Made by `Instance.start` or `Execution.load`; a plain call makes one, too, and attaches it to what it raises.
    """

    #: Makes an instance around one that was restored; set by `_embed`, which knows the class.
    _adopt: ClassVar[Any] = None

    def __init__(self, instance: Instance, name: str, args: tuple[object, ...], context: ExecContext) -> None:
        self.instance = instance
        self.name = name
        self.args = args
        self._context = context
        self._outcome: Outcome | None = None

    # Running -------------------------------------------------------------------------------------------------------

    def run(self, *, interrupt: Interrupt | None = None, timeout: float | None = None) -> Outcome:
        """Start, or go on, until the next outcome. Waits are waited for; injected restarts are handed back.

        `interrupt` and `timeout` (seconds from now) hold for this run. Raises StateError for an execution that has
        ended, ReentrancyError while the instance is in the middle of another call, and InstanceAbandoned after one
        that ended in the middle.
        """
        self.instance._check_usable()
        self._outcome = self._convert(run_through(self._context, interrupt, timeout, faults=True))
        return self._outcome

    def resume(self, *, interrupt: Interrupt | None = None, timeout: float | None = None) -> Outcome:
        """Like `run`, for a suspended execution only. Raises StateError for any other."""
        if self._context.state is not State.SUSPENDED:
            raise StateError(f"resume: the execution is {self._context.state.value}, not suspended")
        return self.run(interrupt=interrupt, timeout=timeout)

    def _convert(self, outcome: object) -> Outcome:
        match outcome:
            case RuntimeReturned(values):
                return Returned(self._python(values))
            case RuntimeSuspended(code, reason):
                return Suspended(reason, code)
            case Trapped() | Failed() | Exited() | Dropped():
                return outcome
        raise StateError(f"no outcome: {outcome!r}")

    def _python(self, values: tuple[object, ...]) -> tuple[int | float, ...]:
        func = self.instance._function(self.name)
        store = self.instance._store
        return tuple([value_out(t, v, store) for t, v in zip(func.type.results, values, strict=True)])  # type: ignore[misc]

    # Going on in another way ---------------------------------------------------------------------------------------

    def answer(self, value: int | float) -> None:
        """Answer the pending question; the next run goes on with it.

        Raises StateError where nothing was asked, ConversionError for a value that is not of the question's type.
        """
        entry = self._pending("answer")
        if entry is None or entry.kind != "ask":
            raise StateError("answer: no host function has asked anything")
        number = NUMBERS[str(entry.value)]
        number.lower(value, f"the answer to {entry.label}")
        control.answer(self._context, value)

    def resume_with(self, *values: int | float) -> None:
        """Put these values in place of the pending host call's results, after that function's cleanup; the next run
        goes on with them. Raises StateError where the innermost frame is no host function that waits, TypeError or
        OverflowError for values that don't fit."""
        control.resume_with(self._context, values)

    def throw(self, error: BaseException) -> None:
        """The next run raises `error` at the pending operation of the innermost host function."""
        control.throw(self._context, error)

    def drop(self) -> None:
        """Abandon: every waiting host function cleans up, innermost first, once. Raises the first error of a cleanup;
        StateError where the execution has ended or is running."""
        control.drop(self._context)

    def exit(self, code: int) -> None:
        """Ask the execution to end with `Exited(code)`, from any thread. It does at its next check point; one that is
        suspended, when it is run."""
        self._context.requests.exit(code)

    # Looking -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the execution is."""
        return self._context.state

    @property
    def outcome(self) -> Outcome | None:
        """What the last run gave."""
        return self._outcome

    @property
    def backtrace(self) -> list[TraceLine]:
        """Frames, innermost first: of a suspended execution, or where its error went through."""
        return trace_of(self._context.frames) or list(self._context.trace)

    def explain(self) -> str:
        """What the execution is blocked in, and on what, with the backtrace."""
        call = f"{self.name}({', '.join(map(repr, self.args))})"
        if self.state is not State.SUSPENDED:
            return f"{call} is {self.state.value}"
        lines = [f"{call} is suspended{self._blocked_in()}"]
        if isinstance(self._outcome, Suspended):
            lines[0] += f": {self._outcome.reason}"
        return "\n".join([*lines, render(self.backtrace)])

    def _blocked_in(self) -> str:
        top = self._context.frames[-1]
        if not isinstance(top, HostFrame):
            return f" in {top.func.name}"
        entry = top.record.pending if isinstance(top.record, Record) else None
        doing = "" if entry is None else f", in {entry.kind} {entry.label}"
        return f" in {top.func.name}{doing}"

    def _pending(self, verb: str) -> Entry | None:
        if self._context.state is not State.SUSPENDED:
            raise StateError(f"{verb}: the execution is {self._context.state.value}, not suspended")
        top = self._context.frames[-1]
        return top.record.pending if isinstance(top, HostFrame) and top.record is not None else None

    # Saving --------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        """The execution, with its instance and all that is linked to it, as bytes. It can still go on itself.

        Raises SnapshotError naming what can't be saved: a live object that a host function holds, a state without a
        save hook, an open resource.
        """
        extra = {"name": self.name, "args": list(self.args), "hosts": self.instance._save_hosts()}
        return snapshot.save(self._context, self.instance._raw, extra)

    @classmethod
    def load(
        cls,
        data: bytes,
        module: Module | Sequence[Module],
        hosts: Sequence[HostModule[Any]] = (),
        *,
        trusted: bool = False,
        **options: Any,
    ) -> Self:
        """What `save` made, in this process: suspended where it was, in an instance of its own (`.instance`).

        `hosts` must have the host functions that the guest imports; `options` are those of `Instance`. The format is
        not hardened yet against data made to do harm: say `trusted=True` for data of your own. Raises SnapshotError
        and UnlinkableError, naming what is missing; nothing has been entered then.
        """
        if not trusted:
            raise SnapshotError(
                "a snapshot decides what a guest's memory holds: load(…, trusted=True) for your own data"
            )
        modules = [module] if not isinstance(module, Sequence) else module
        instance, restored = cls._adopt(data, modules, hosts, options)
        extra = restored.extra
        return cls(instance, extra["name"], tuple(extra["args"]), restored.ctx)


__all__ = ["Execution"]

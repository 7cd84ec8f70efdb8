"""`Execution`: one call, held by the embedder: run, kept, answered, saved, dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ._engine import (
    V128,
    Dropped,
    Engine,
    Entry,
    ExecContext,
    Exited,
    Failed,
    HostFrame,
    Interrupt,
    Limits,
    Log,
    SnapshotError,
    State,
    StateError,
    TraceLine,
    Trapped,
    control,
    run_through,
    trace_of,
    value_out,
)
from ._engine import Returned as RuntimeReturned
from ._engine import Suspended as RuntimeSuspended
from ._module import HostModule
from ._numbers import NUMBERS
from ._outcomes import Outcome, Returned, Suspended
from ._resource_kinds import save_resources

if TYPE_CHECKING:
    from ._embed import Instance
    from ._loaded import Module
    from ._trace import Trace


#: What executions come to, at DEBUG.
_log = Log("hostsdk.execution")


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
        self._suspensions = 0

    # Running -------------------------------------------------------------------------------------------------------

    def run(
        self, *, interrupt: Interrupt | None = None, timeout: float | None = None, steps: int | None = None
    ) -> Outcome:
        """Start, or go on, until the next outcome. Waits are waited for; injected restarts are handed back.

        `interrupt` and `timeout` (seconds from now) hold for this run. `steps` is a budget of WebAssembly instructions,
        counted from here on, the same on every machine; it suspends with the reason `OutOfSteps` at the first check
        point where it is used up, and stays used up until a run is given more. Raises StateError for one that has
        ended, ReentrancyError while the instance is in the middle of another call, and InstanceAbandoned after one
        that ended in the middle.
        """
        self.instance._check_usable()
        if steps is not None:
            self._context.allow(steps)
        if self.instance._trace is None:
            self._outcome = self._convert(run_through(self._context, interrupt, timeout, faults=True))
            return self._outcome
        with self.instance._noted(f"{self.name}({', '.join(map(repr, self.args))})") as ended:
            self._outcome = self._convert(run_through(self._context, interrupt, timeout, faults=True))
            ended.append(str(self._outcome))
        return self._outcome

    def resume(
        self, *, interrupt: Interrupt | None = None, timeout: float | None = None, steps: int | None = None
    ) -> Outcome:
        """Like `run` (`timeout` in seconds), for a suspended execution only. Raises StateError for any other."""
        if self._context.state is not State.SUSPENDED:
            raise StateError(f"resume: the execution is {self._context.state.value}, not suspended")
        return self.run(interrupt=interrupt, timeout=timeout, steps=steps)

    def _came_to(self, outcome: object) -> Outcome:
        self._outcome = self._convert(outcome)
        return self._outcome

    def _convert(self, outcome: object) -> Outcome:
        if _log.detailed:
            _log.debug("%s(%s): %s", self.name, ", ".join(map(repr, self.args)), outcome)
        if isinstance(outcome, RuntimeReturned):
            return Returned(self._python(outcome.values))
        if isinstance(outcome, RuntimeSuspended):
            return self._note(outcome)
        if isinstance(outcome, (Trapped, Failed, Exited, Dropped)):
            return outcome
        raise StateError(f"no outcome: {outcome!r}")

    def _note(self, outcome: RuntimeSuspended) -> Suspended:
        self._suspensions += 1
        self._outcome = noted = Suspended(outcome.reason, outcome.code)
        return noted

    def _python(self, values: tuple[object, ...]) -> tuple[int | float | V128, ...]:
        if not values:
            return ()
        export = self.instance.exports._find(self.name)
        if export is not None and export._lift is not None:
            return (export._lift(values),)
        func, store = self.instance._function(self.name), self.instance._store
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

    def resume_with(self, *values: int | float | V128) -> None:
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

    @property
    def suspensions(self) -> int:
        """How often this execution has been suspended, by `run`."""
        return self._suspensions

    def explain(self) -> str:
        """What the execution is blocked in, on what and since when; then the backtrace, innermost first: functions of
        WebAssembly with byte offsets, host functions with arguments, source lines and restarts."""
        from ._explain import explain

        return explain(self)

    def _pending(self, verb: str) -> Entry | None:
        if self._context.state is not State.SUSPENDED:
            raise StateError(f"{verb}: the execution is {self._context.state.value}, not suspended")
        top = self._context.frames[-1]
        return top.record.pending if isinstance(top, HostFrame) and top.record is not None else None

    # Saving --------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        """The execution, with its instance and all that is linked to it, as bytes. It can still go on itself.

        Raises SnapshotError naming what can't be saved: a live object that a host function holds, a state without a
        save hook, an open resource of a class that no host module has said how to save.
        """
        inst = self.instance
        extra = {
            "name": self.name, "args": list(map(_plain, self.args)), "hosts": inst._save_hosts(),
            "resources": save_resources(inst.resources, inst._bindings),
        }  # fmt: skip
        from ._engine import snapshot  # few guests are saved

        return snapshot.save(self._context, self.instance._raw, extra)

    @classmethod
    def load(
        cls,
        data: bytes,
        module: Module | Sequence[Module],
        hosts: Sequence[HostModule[Any]] = (),
        *,
        trusted: bool = False,
        limits: Limits | None = None,
        engine: Engine | None = None,
        trace: Trace | None = None,
    ) -> Self:
        """What `save` made, in this process: suspended where it was, in an instance of its own (`.instance`).

        `hosts` must have the host functions that the guest imports; `limits`, `engine` and `trace` are as for
        `Instance`. The format is not hardened yet against data made to do harm: say `trusted=True` for data of your
        own. Raises SnapshotError and UnlinkableError, naming what is missing; nothing has been entered then.
        """
        require_trust(trusted)
        modules = [module] if not isinstance(module, Sequence) else module
        instance, restored = cls._adopt(data, modules, hosts, limits, engine, trace)
        extra = restored.extra
        return cls(instance, extra["name"], tuple(map(_argument, extra["args"])), restored.ctx)


def require_trust(trusted: bool) -> None:
    """Raises SnapshotError unless whoever loads data says that it is its own."""
    if not trusted:
        raise SnapshotError("a snapshot decides what a guest's memory holds: load(…, trusted=True) for your own data")


def _plain(argument: object) -> object:
    """An argument as plain data."""
    return {"v128": argument.raw} if isinstance(argument, V128) else argument


def _argument(plain: Any) -> object:
    return V128(plain["v128"]) if isinstance(plain, dict) else plain


__all__ = ["Execution"]

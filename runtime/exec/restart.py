"""The record of a host frame: what a host function needs to be entered again as if it had never left.

It is a journal: an ordered list of what the function was answered, kept while it happens. Entered again, the function
is answered from the journal up to the operation that was pending, which then goes on. Everything in it is plain data,
checked when stored, so that a record can be saved at any suspension.

Only the last entry can be pending. An entry asked for in a replay must be of the kind and label that was recorded;
anything else is a `DivergenceError` that names the place, before any effect.
"""

from __future__ import annotations

from typing import TypeAlias

from .. import lean
from ..errors import DivergenceError, RecordError, StateError, Trap
from ..instances.objects import REFERENCES
from ..values import Value

#: None, bool, int, float, str, bytes, references to what is the guest's, and lists, tuples, dicts (with plain keys) of
#: plain data.
Plain: TypeAlias = object

_ATOMS = (type(None), bool, int, float, str, bytes, *REFERENCES)


def plain(value: object, what: str) -> Plain:
    """`value`, checked to be plain data; containers are copied, so that later changes don't reach the record.

    Raises RecordError naming `what`.
    """
    if type(value) in _ATOMS:
        return value
    if isinstance(value, tuple):
        return tuple(plain(v, what) for v in value)
    if isinstance(value, list):
        return [plain(v, what) for v in value]
    if isinstance(value, dict):
        return {plain(k, what): plain(v, what) for k, v in value.items()}
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, bool | int):  # enums of int, say; kept as their plain value
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(value)
    raise RecordError(
        f"{what}: {type(value).__name__} is not plain data; keep None, bool, int, float, str, bytes and lists, "
        f"tuples or dicts of them, or hold live objects by ctx.acquire or ctx.resources"
    )


@lean.define(eq=False)
class Entry:
    """One step. `label` tells places apart in messages; `pending` is true while the answer is still awaited.

    The value of a pending "wait" is its deadline: None, or ("monotonic", seconds) or ("wall", seconds).
    """

    kind: str
    label: str
    value: Plain
    pending: bool = False
    #: What the step raised instead of giving an answer. Kept in memory; only a trap can be saved.
    error: BaseException | None = None
    #: What the one who waits keeps for itself while the call stays in memory.
    live: object = None
    #: Since when, in monotonic seconds, and for what it waits: to be told to people.
    since: float | None = None
    waits: object = None


@lean.define
class Record:
    """One call of a host function, as far as it has come. Belongs to that call only."""

    limit: int
    #: The arguments as the function sees them, decoded once: memory may change under a suspended call.
    args: tuple[Plain, ...] | None = None
    entries: list[Entry] = lean.field(factory=list)
    cursor: int = 0
    #: Results of the callee that the pending call waited for.
    inbox: tuple[Value, ...] | None = None
    #: What is to be raised at the pending operation.
    throw: BaseException | None = None
    #: Live objects that the call holds until it ends, newest last: identity and label. A commit forgets none.
    held: list[tuple[int, str]] = lean.field(factory=list)
    #: Numbers that the call has looked up, and what they stood for then; the owner's, never saved.
    pins: dict[int, int] = lean.field(factory=dict)
    #: Objects that the call has closed itself, by identity: a replay that comes by their look-up needs them again.
    gone: dict[int, object] = lean.field(factory=dict)
    #: A callee's trap that the function was not allowed to keep to itself: it ends the call, whatever comes after.
    trapped: Trap | None = None
    #: How often the function has been entered again.
    restarts: int = 0
    #: Why the call can't be saved as it is now; the owner's.
    stays: str | None = None
    #: Where in its source the function left the stack: to be told to people.
    source: str | None = None
    #: What the running function would have to keep alive if it suspended now.
    live: object = None
    _replayed: int = lean.field(default=0, init=False)
    #: Where the operation that the call waits in stands in the journal, or would.
    _standing: int = lean.field(default=0, init=False)

    @property
    def replaying(self) -> bool:
        """Whether the next operation is answered from the journal."""
        return self.cursor < len(self.entries)

    def rewind(self) -> None:
        """Begin a replay."""
        self.cursor = 0
        self._replayed = 0

    def leave(self) -> None:
        """The function has left the stack in the operation that came last."""
        self._standing = len(self.entries) - (self.pending is not None)

    def stand(self) -> None:
        """Go on without a replay, at the operation that the call waits in: for what stayed alive in memory."""
        self.cursor = self._standing

    def thrown(self, entry: Entry | None) -> BaseException | None:
        """What is to be raised, once, at the operation at hand, whose entry is `entry`: it is for the operation that
        the call waits in, and for none before it."""
        if self.throw is None or self.cursor - (entry is not None) < self._standing:
            return None
        error, self.throw = self.throw, None
        return error

    def next(self, kind: str, label: str) -> Entry | None:
        """The entry that answers this operation, or None where it happens for the first time.

        Raises DivergenceError where the record holds another kind of operation at this place.
        """
        if self.cursor >= len(self.entries):
            return None
        entry = self.entries[self.cursor]
        if entry.kind != kind or entry.label != label:
            raise DivergenceError(
                f"step {self.cursor + 1} was {_place(entry.kind, entry.label)} when the record was made and is now "
                f"{_place(kind, label)}; a restartable function must do the same steps again (effects outside ctx go "
                f"through ctx.once), and a changed function needs a new version"
            )
        self.cursor += 1
        return entry

    def append(self, kind: str, label: str, value: object, *, pending: bool = False) -> Entry:
        """Journal a step that happens now. Raises RecordError past the journal's limit or for data not plain."""
        self.require_room()
        entry = Entry(kind, label, plain(value, _place(kind, label)), pending)
        self.entries.append(entry)
        self.cursor = len(self.entries)
        return entry

    def require_room(self) -> None:
        """Raises RecordError where the journal is full: before the effect that it would have to note."""
        if len(self.entries) >= self.limit:
            raise RecordError(
                f"the journal has reached its limit of {self.limit} entries; commit with ctx.progress, or raise "
                f"Limits(journal=…)"
            )

    def settle(self, entry: Entry, value: object) -> None:
        """Give a pending entry its answer."""
        entry.value = plain(value, _place(entry.kind, entry.label))
        entry.pending = False
        entry.live = None

    def fail(self, entry: Entry, error: BaseException) -> None:
        """The step raised `error`, and will again in a replay."""
        entry.value = entry.live = None
        entry.pending = False
        entry.error = error

    def turn(self, error: BaseException) -> None:
        """The step that came last can't be answered in this replay as it was the first time: it raises `error`
        instead, now and in every replay to come, and what was journaled behind it no longer holds."""
        del self.entries[self.cursor :]
        self.inbox = None
        self._standing = self.cursor
        self.fail(self.entries[-1], error)

    def pass_check(self) -> bool:
        """Note that a check point has been passed; whether it had been, in an earlier entry of the function.

        Checks in a row are one entry that counts them: a computation may poll millions of times.
        """
        if self.cursor < len(self.entries):
            entry = self.entries[self.cursor]
            if entry.kind == "check" and entry.error is not None:
                self.cursor += 1
                raise entry.error
            if entry.kind == "check" and isinstance(entry.value, int):
                self._replayed += 1
                if self._replayed >= entry.value:
                    self.cursor += 1
                    self._replayed = 0
                return True
            self.next("check", "")  # says how they differ
        return False

    def count_check(self) -> None:
        """A check point was passed for the first time."""
        last = self.entries[-1] if self.entries else None
        if last is not None and last.kind == "check" and isinstance(last.value, int):
            last.value += 1
        else:
            self.append("check", "", 1)

    def commit(self, entry: Entry, value: object) -> None:
        """Give `entry` a new answer and forget what was journaled behind it. Raises StateError where `entry` has been
        forgotten itself."""
        place = next((i for i, known in enumerate(self.entries) if known is entry), None)
        if place is None:
            raise StateError("this progress was opened behind another one, which has been committed since")
        self.settle(entry, value)
        del self.entries[place + 1 :]
        self.cursor = len(self.entries)

    @property
    def pending(self) -> Entry | None:
        """The operation that the call waits in."""
        return self.entries[-1] if self.entries and self.entries[-1].pending else None


def _place(kind: str, label: str) -> str:
    return f"{kind} {label!r}" if label else kind

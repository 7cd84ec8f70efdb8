"""`ctx.resources`: live objects of the host under numbers that a guest can hold, like file descriptors.

Each object has an identity of its own besides its number. A call that has looked a number up keeps the identity: a
number that was closed and given out again meanwhile is never mistaken for the new object, and an object that moved to
another number is still found.
"""

from __future__ import annotations

import heapq
import itertools
import os
from _thread import RLock
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from ._engine import Record, lean
from ._errors import HandleError

T = TypeVar("T")


@lean.frozen(eq=False)
class Resource:
    """An object in a table. `identity` is never given out twice."""

    identity: int
    value: Any
    close: Callable[[Any], object] | None = None
    #: The host module that added it; None for the embedder's.
    owner: str | None = None


@lean.define(eq=False)
class ResourceTable:
    """The resources of one instance, or of all threads of a process. Numbers are the lowest free ones."""

    _by_handle: dict[int, Resource] = lean.field(factory=dict)
    _handles: dict[int, int] = lean.field(factory=dict)
    _free: list[int] = lean.field(factory=list)
    _next: int = 0
    _lock: RLock = lean.field(factory=RLock, repr=False)
    # No other table of any process gives out the same: a saved call that looked up what is closed by now must not find
    # an object of the table that it is loaded into. There from the first resource on.
    _identities: Iterator[int] | None = None

    def add(self, value: object, *, close: Callable[[Any], object] | None = None, owner: str | None = None) -> int:
        """Keep `value`; its number. `close` is called with it when it is closed, by `close` or with the instance.
        `owner` names the host module that adds it."""
        with self._lock:
            handle = heapq.heappop(self._free) if self._free else self._next
            self._next = max(self._next, handle + 1)
            if self._identities is None:
                self._identities = itertools.count(int.from_bytes(os.urandom(8)) >> 2)
            self._put(handle, Resource(next(self._identities), value, close, owner))
            return handle

    def put(self, handle: int, resource: Resource) -> None:
        """Keep a resource that was saved, under the number that it had. Raises HandleError for one in use, or one that
        can't be a number."""
        if handle in self._by_handle or not 0 <= handle < 1 << 31 or resource.identity in self._handles:
            raise HandleError(f"{handle} can't be a resource's number here")
        self._reserve(handle)
        self._put(handle, resource)

    def _reserve(self, handle: int) -> None:
        for fresh in range(self._next, handle):
            heapq.heappush(self._free, fresh)
        self._next = max(self._next, handle + 1)
        if handle in self._free:
            self._free.remove(handle)
            heapq.heapify(self._free)

    def _put(self, handle: int, resource: Resource) -> None:
        self._by_handle[handle] = resource
        self._handles[resource.identity] = handle

    def find(self, handle: int, kind: type[T]) -> Resource:
        """The resource of a number. Raises HandleError (EBADF) where there is none, or one of another kind."""
        resource = self._by_handle.get(handle)
        if resource is None:
            raise HandleError(f"no resource has the number {handle}")
        if not isinstance(resource.value, kind):
            raise HandleError(f"resource {handle} is a {type(resource.value).__name__}, not a {kind.__name__}")
        return resource

    def get(self, handle: int, kind: type[T]) -> T:
        """The object of a number. Raises HandleError (EBADF) where there is none, or one of another kind."""
        value: T = self.find(handle, kind).value
        return value

    def pinned(self, identity: int) -> Resource:
        """The resource of an identity, whatever its number now. Raises HandleError (EBADF) once it is closed."""
        handle = self._handles.get(identity)
        if handle is None:
            raise HandleError("the resource that this call looked up has been closed")
        return self._by_handle[handle]

    def handle_of(self, identity: int) -> int:
        """The number of an identity now. Raises HandleError (EBADF) once it is closed."""
        handle = self._handles.get(identity)
        if handle is None:
            raise HandleError("the resource has been closed")
        return handle

    def move(self, handle: int, to: int) -> None:
        """Give a resource another number; what had that number before is closed. The same number is no change.

        Raises HandleError where `handle` names nothing, or `to` can't be a number.
        """
        with self._lock:
            resource = self.find(handle, object)
            if to == handle:
                return
            if to < 0 or to > self._next + 1024:
                raise HandleError(f"{to} can't be a resource's number")
            if to in self._by_handle:
                self.close(to)
            del self._by_handle[handle]
            heapq.heappush(self._free, handle)
            self._reserve(to)
            self._put(to, resource)

    def remove(self, handle: int) -> Any:
        """Take an object out without closing it. Raises HandleError."""
        with self._lock:
            resource = self.find(handle, object)
            del self._by_handle[handle]
            del self._handles[resource.identity]
            heapq.heappush(self._free, handle)
            return resource.value

    def close(self, handle: int) -> None:
        """Take an object out and close it. Raises HandleError, and what its `close` raises."""
        close = self.find(handle, object).close
        value = self.remove(handle)
        if close is not None:
            close(value)

    def close_all(self) -> None:
        """Close everything, newest first. The first error is raised when all are closed."""
        errors: list[BaseException] = []
        for resource in sorted(self._by_handle.values(), key=lambda r: -r.identity):
            try:
                self.close(self._handles[resource.identity])
            except BaseException as error:  # the others are to be closed all the same, Ctrl-C or not
                errors.append(error)
        if errors:
            raise errors[0]

    def handles(self) -> list[int]:
        """The numbers in use, ascending."""
        return sorted(self._by_handle)

    def holds(self, identity: int) -> bool:
        """Whether the object of an identity is still here, under whatever number."""
        return identity in self._handles

    def __len__(self) -> int:
        return len(self._by_handle)

    def __contains__(self, handle: object) -> bool:
        return handle in self._by_handle


@lean.frozen(eq=False)
class Resources:
    """A host function's view of the table: look-ups are journaled, so a restarted call goes on with what it had."""

    _table: ResourceTable
    _step: Callable[[str, str, Callable[[], Any]], Any]
    #: Notes that the last step raises, from now on.
    _turn: Callable[[Exception], None]
    #: The record of the call at hand; None for a call that has none.
    _record: Callable[[], Record | None]
    #: The name of the module whose function it is.
    _owner: str

    def get(self, handle: int, kind: type[T]) -> T:
        """The object of a number that the guest passed. Raises HandleError (EBADF) where there is none or one of
        another kind, or where the one that this call looked up before has been closed since: in one call a number is
        one object, whoever else closes it and gives the number to another."""
        identity: int = self._step("resource", kind.__name__, lambda: self._look_up(handle, kind))
        record = self._record()
        if record is not None and identity in record.gone:
            mine: T = record.gone[identity]  # type: ignore[assignment]  # it was of this kind
            return mine
        try:
            value: T = self._table.pinned(identity).value
        except HandleError as error:
            self._turn(error)
            raise
        return value

    def _look_up(self, handle: int, kind: type[Any]) -> int:
        record = self._record()
        identity = None if record is None else record.pins.get(handle)
        if identity is None:
            identity = self._table.find(handle, kind).identity
            if record is not None:
                record.pins[handle] = identity
        elif not isinstance(self._table.pinned(identity).value, kind):
            raise HandleError(f"resource {handle} is not a {kind.__name__}")
        return identity

    def _change(self, kind: str, label: str, change: Callable[[], Any], *handles: int) -> Any:
        """A step after which these numbers, and the one that it gives, mean something else to this call."""

        def perform() -> Any:
            record = self._record()
            if record is None:
                return change()
            before = {handle: self._table.find(handle, object) for handle in handles if handle in self._table}
            given = change()
            for handle in (*handles, given):
                pinned = record.pins.pop(handle, None)
                if pinned is not None and handle in before and not self._table.holds(pinned):
                    record.gone[pinned] = before[handle].value
            return given

        return self._step(kind, label, perform)

    def add(self, obj: object, *, close: Callable[[Any], object] | None = None) -> int:
        """Keep an object; the number for the guest. The function's module is its owner."""
        add = partial(self._table.add, obj, close=close, owner=self._owner)
        handle: int = self._change("add", type(obj).__name__, add)
        return handle

    def close(self, handle: int) -> None:
        """Close an object and free its number. Raises HandleError."""
        self._change("close", "", lambda: self._table.close(handle), handle)

    def move(self, handle: int, to: int) -> None:
        """Give an object another number, closing what had it. Raises HandleError."""
        self._change("move", "", lambda: self._table.move(handle, to), handle, to)

"""Every error that `runtime` raises, in one file.

Four of them are the spec's own and never mix: malformed (the bytes are not a module), invalid (the module breaks a
typing rule), unlinkable (an import does not fit) and trap (a call came to a defined, abnormal end). The others are
about using the engine: they are raised before anything has changed.
"""

from __future__ import annotations

import enum


class WasmError(Exception):
    """Base of every error that the engine raises on its own account."""


class MalformedError(WasmError):
    """The bytes are not a WebAssembly module (spec 5, Binary Format). `offset` counts bytes from the module's start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.message = message
        self.offset = offset


class InvalidError(WasmError):
    """The module breaks a validation rule (spec 3). `offset` is the byte of the instruction or entity, where known;
    `func` the index of the function, where the rule is about one."""

    def __init__(self, message: str, *, offset: int | None = None, func: int | None = None) -> None:
        place = "" if func is None else f" in function {func}"
        place += "" if offset is None else f" at byte {offset}"
        super().__init__(message + (f" ({place.strip()})" if place else ""))
        self.message = message
        self.offset = offset
        self.func = func


class UnsupportedError(InvalidError):
    """The module needs a feature that is off, or that this engine does not have. `feature` names it."""

    def __init__(self, feature: str, message: str, *, offset: int | None = None, func: int | None = None) -> None:
        super().__init__(f"{message}: needs the feature '{feature}'", offset=offset, func=func)
        self.feature = feature


class UnlinkableError(WasmError):
    """An import is missing or of the wrong type (spec 4.5.4). `missing` lists every missing one as (module, name)."""

    def __init__(self, message: str, missing: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.missing = missing


class TrapCode(enum.Enum):
    """Why a call trapped. The values are the messages that WebAssembly's own test scripts expect."""

    UNREACHABLE = "unreachable"
    INTEGER_DIVIDE_BY_ZERO = "integer divide by zero"
    INTEGER_OVERFLOW = "integer overflow"
    INVALID_CONVERSION = "invalid conversion to integer"
    OUT_OF_BOUNDS_MEMORY = "out of bounds memory access"
    OUT_OF_BOUNDS_TABLE = "out of bounds table access"
    UNDEFINED_ELEMENT = "undefined element"
    UNINITIALIZED_ELEMENT = "uninitialized element"
    INDIRECT_CALL_TYPE = "indirect call type mismatch"
    NO_TABLE = "no function table"
    UNALIGNED = "unaligned access"
    UNALIGNED_ATOMIC = "unaligned atomic"
    EXPECTED_SHARED = "expected shared memory"
    STACK_OVERFLOW = "call stack exhausted"
    LIMIT = "limit exceeded"
    NULL_REFERENCE = "null reference"
    HOST = "host function"
    INTERRUPTED = "interrupted"
    OUT_OF_BOUNDS_ARRAY = "out of bounds array access"
    CAST_FAILURE = "cast failure"


class Trap(WasmError):
    """A trap (spec 4.4): ends the call that it happened in, never the process.

    `code` says why; `backtrace` (innermost first) is filled in while the frames are left.
    """

    def __init__(self, code: TrapCode, message: str | None = None) -> None:
        text = code.value if message is None else message
        super().__init__(text)
        self.code = code
        self.message = text
        self.backtrace: list[object] = []


class StateError(WasmError):
    """An illegal move: resuming what has ended, answering what asked nothing. Nothing has changed."""


class ReentrancyError(StateError):
    """The instance (or one linked with it) is in the middle of another call; entering it now would ruin its stack."""


class InstanceAbandoned(StateError):
    """An earlier call ended in the middle and the guest's stack pointer could not be restored."""


class NestedSuspension(WasmError):
    """A plain export call made inside a host function had to suspend and was dropped; use `ctx.call` instead."""


class SnapshotError(WasmError):
    """Something can't be saved or restored; the message names it."""


class RecordError(WasmError):
    """A host function's record holds, or is given, what it must not: data that is not plain, a record of another
    kind, a success with the record still pending."""


class DivergenceError(RecordError):
    """A replayed host function asked for something else than it did the first time; the message names the place."""


class LimitError(WasmError):
    """A limit of the engine was exceeded before anything ran (a module too large, say)."""

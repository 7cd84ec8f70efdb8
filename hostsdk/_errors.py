"""Every error of the SDK, and the mapping of exceptions to the error numbers that a guest knows.

Three things never mix: an error number is a result and goes to the guest; a trap ends the guest's call; any other
exception of a host function reaches the embedder as itself.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ._engine import ErrnoMap, Trap, TrapCode, WasmError, lean
from ._messages import Text


class HostError(Exception):
    """Base of the errors that the SDK raises about host functions and their use."""


class SignatureError(TypeError):
    """A host function can't be registered. Names module, function and, where it is about one, parameter, and says
    what to write. Nothing has been registered."""

    def __init__(self, message: str, module: str, function: str | None = None, parameter: str | None = None) -> None:
        super().__init__(message)
        self.module = module
        self.function = function
        self.parameter = parameter


class ConversionError(HostError, ValueError):
    """A Python value doesn't fit the WebAssembly type that it is meant for. Nothing has been passed or written."""


class ResultError(ConversionError):
    """A host function gave a result that doesn't fit its signature."""


class BufferTooSmall(HostError, OSError):
    """More bytes than the guest's buffer holds; nothing was written. Maps to ERANGE where errors are mapped."""

    def __init__(self, size: int, capacity: int) -> None:
        super().__init__(errno.ERANGE, Text.OUT_BUFFER(size=size, capacity=capacity))
        self.size = size
        self.capacity = capacity


class HandleError(HostError, OSError):
    """A number that the guest passed as a handle names nothing of the kind wanted. Maps to EBADF."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EBADF, message)


class MissingExport(HostError):
    """The guest has no export of the name and type that a host function calls."""


class InvalidText(Trap):
    """The guest passed text that is not UTF-8. A trap, unless the module's `Errors` lists this class."""

    def __init__(self, message: str) -> None:
        super().__init__(TrapCode.HOST, message)


_WASI = """
    SUCCESS 2BIG ACCES ADDRINUSE ADDRNOTAVAIL AFNOSUPPORT AGAIN ALREADY BADF BADMSG BUSY CANCELED CHILD CONNABORTED
    CONNREFUSED CONNRESET DEADLK DESTADDRREQ DOM DQUOT EXIST FAULT FBIG HOSTUNREACH IDRM ILSEQ INPROGRESS INTR INVAL IO
    ISCONN ISDIR LOOP MFILE MLINK MSGSIZE MULTIHOP NAMETOOLONG NETDOWN NETRESET NETUNREACH NFILE NOBUFS NODEV NOENT
    NOEXEC NOLCK NOLINK NOMEM NOMSG NOPROTOOPT NOSPC NOSYS NOTCONN NOTDIR NOTEMPTY NOTRECOVERABLE NOTSOCK NOTSUP NOTTY
    NXIO OVERFLOW OWNERDEAD PERM PIPE PROTO PROTONOSUPPORT PROTOTYPE RANGE ROFS SPIPE SRCH STALE TIMEDOUT TXTBSY XDEV
    NOTCAPABLE
"""

#: WASI's error numbers (the witx enum `errno`), by the name that C gives them.
WASI_ERRNO: Mapping[str, int] = MappingProxyType({f"E{name}": number for number, name in enumerate(_WASI.split())})

#: Names under which a host may know the same error.
_ALIASES = {"EWOULDBLOCK": "EAGAIN", "EOPNOTSUPP": "ENOTSUP", "EDEADLOCK": "EDEADLK", "ECANCELLED": "ECANCELED"}


def _host_errnos() -> dict[int, int]:
    names = {name: number for name, number in WASI_ERRNO.items() if number}
    names |= {alias: WASI_ERRNO[name] for alias, name in _ALIASES.items()}
    return {getattr(errno, name): number for name, number in names.items() if hasattr(errno, name)}


#: This host's error numbers -> WASI's.
HOST_ERRNOS: Mapping[int, int] = MappingProxyType(_host_errnos())

#: What the built-in classes mean when they are raised without a number, as in `raise TimeoutError`.
_BARE: Mapping[type[BaseException], int] = MappingProxyType(
    {
        TimeoutError: WASI_ERRNO["ETIMEDOUT"],
        BlockingIOError: WASI_ERRNO["EAGAIN"],
        FileNotFoundError: WASI_ERRNO["ENOENT"],
        FileExistsError: WASI_ERRNO["EEXIST"],
        PermissionError: WASI_ERRNO["EACCES"],
        IsADirectoryError: WASI_ERRNO["EISDIR"],
        NotADirectoryError: WASI_ERRNO["ENOTDIR"],
        InterruptedError: WASI_ERRNO["EINTR"],
        ChildProcessError: WASI_ERRNO["ECHILD"],
        ProcessLookupError: WASI_ERRNO["ESRCH"],
        BrokenPipeError: WASI_ERRNO["EPIPE"],
        ConnectionAbortedError: WASI_ERRNO["ECONNABORTED"],
        ConnectionRefusedError: WASI_ERRNO["ECONNREFUSED"],
        ConnectionResetError: WASI_ERRNO["ECONNRESET"],
    }
)

#: OSErrors whose `errno` is a number of another table (a resolver's, OpenSSL's), by module and name: naming them so
#: keeps `socket` and `ssl` from being imported for it.
_FOREIGN = {("socket", "gaierror"), ("socket", "herror"), ("ssl", "SSLError")}


def wasi_errno(error: OSError) -> int | None:
    """WASI's number for an OSError; None where it has none."""
    if any((cls.__module__, cls.__qualname__) in _FOREIGN for cls in type(error).__mro__):
        return None
    if error.errno is not None:
        return HOST_ERRNOS.get(error.errno)
    return next((_BARE[cls] for cls in type(error).__mro__ if cls in _BARE), None)


def _check_table(table: Mapping[Any, object]) -> None:
    for cls, number in table.items():
        known = isinstance(cls, type) and issubclass(cls, BaseException)
        if not known or not isinstance(number, int) or not 0 < number < 1 << 15:
            raise ValueError(Text.ERRORS_TABLE(value=f"{cls!r}: {number!r}"))


@lean.frozen
class Errors:
    """How the exceptions of a module's functions become error numbers, which are the function's result.

    An exception is looked up by class first, the most derived that `table` lists; then an OSError by its number,
    translated to WASI's, or `unknown` where WASI has none. What neither knows reaches the embedder as itself. A trap,
    or another error of the engine, is mapped only where `table` lists its own class, never for `Exception`. With
    `negate`, the guest gets minus the number, as a C function that gives a count or `-errno` does.

    Applies to functions whose direct result is one integer.
    """

    table: Mapping[type[BaseException], int] = lean.field(factory=dict)
    negate: bool = False
    unknown: int | None = None

    def __post_init__(self) -> None:
        _check_table(self.table)

    def number(self, error: BaseException) -> int | None:
        """The number for the guest, not negated; None where the exception is not mapped."""
        floor = WasmError if isinstance(error, WasmError) else BaseException
        for cls in type(error).__mro__:
            if cls in self.table and issubclass(cls, floor):
                return self.table[cls]
        if not isinstance(error, OSError):
            return None
        number = wasi_errno(error)
        return self.unknown if number is None else number

    def shape(self) -> ErrnoMap:
        """The same as data for the engine."""
        return ErrnoMap(self.table, HOST_ERRNOS, self.negate, self.unknown)


#: OSErrors become minus WASI's number; everything else reaches the embedder.
ERRNO_NEGATIVE = Errors({}, negate=True)

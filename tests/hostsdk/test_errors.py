"""Exceptions and the error numbers that a guest knows."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from importlib.util import find_spec
from pathlib import Path

import pytest

from hostsdk._engine import Trap, TrapCode
from hostsdk._errors import ERRNO_NEGATIVE, WASI_ERRNO, BufferTooSmall, Errors, HandleError, InvalidText, wasi_errno


def test_numbers_are_those_of_wasi_libc() -> None:
    """The table agrees with the header that C guests are compiled against."""
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        pytest.skip("ziglang is not installed")
    header = Path(spec.origin).parent / "lib/libc/include/wasm-wasi-musl/wasi/api.h"
    found = re.findall(r"#define __WASI_ERRNO_(\w+) \(UINT16_C\((\d+)\)\)", header.read_text())
    assert {f"E{name}": int(number) for name, number in found} == dict(WASI_ERRNO)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (OSError(errno.EAGAIN, "x"), "EAGAIN"), (FileNotFoundError(errno.ENOENT, "x"), "ENOENT"),
        (OSError(errno.EOPNOTSUPP, "x"), "ENOTSUP"), (BlockingIOError(errno.EINPROGRESS, "x"), "EINPROGRESS"),
        (TimeoutError(), "ETIMEDOUT"), (TimeoutError("timed out"), "ETIMEDOUT"), (ConnectionResetError(), "ECONNRESET"),
        (HandleError("no socket 7"), "EBADF"), (BufferTooSmall(5, 4), "ERANGE"),
    ],
)
def test_an_oserror_has_wasis_number_never_the_hosts(error: OSError, name: str) -> None:
    """The number is WASI's, by the host's errno or, for a bare class, by what it means."""
    assert ERRNO_NEGATIVE.number(error) == WASI_ERRNO[name]


@pytest.mark.parametrize(
    "error",
    [
        OSError("no number"), OSError(99999, "unknown"), socket.gaierror(8, "resolver's own"), socket.herror(1, "x"),
        ssl.SSLError(1, "OpenSSL's own"), ssl.SSLWantReadError(2, "x"), ValueError(), KeyboardInterrupt(),
        Trap(TrapCode.UNREACHABLE), InvalidText("x"),
    ],
)
def test_what_has_no_number_reaches_the_embedder(error: BaseException) -> None:
    """An exception without a WASI number is not mapped; a number of another table is not mistaken for an errno."""
    assert ERRNO_NEGATIVE.number(error) is None


def test_classes_come_first_the_most_derived_wins() -> None:
    """The author's table goes by class, most derived first, before an OSError's number."""
    errors = Errors({LookupError: 100, KeyError: 101, OSError: 102, InvalidText: 25})
    assert errors.number(KeyError()) == 101
    assert errors.number(IndexError()) == 100
    assert errors.number(FileNotFoundError(errno.ENOENT, "x")) == 102
    assert errors.number(InvalidText("x")) == 25


def test_a_trap_is_not_mapped_by_a_broad_class() -> None:
    """`Exception` in the table doesn't catch a trap: traps and error numbers never mix unless the trap is listed."""
    errors = Errors({Exception: 29, BaseException: 30})
    assert errors.number(ValueError()) == 29
    assert errors.number(KeyboardInterrupt()) == 30
    assert errors.number(Trap(TrapCode.UNREACHABLE)) is None
    assert Errors({Trap: 9}).number(InvalidText("x")) == 9


@pytest.mark.parametrize(
    "table", [{OSError: 0}, {OSError: -1}, {OSError: "EIO"}, {OSError: 1 << 15}, {"OSError": 5}, {int: 5}]
)
def test_a_table_is_checked(table: dict[object, object]) -> None:
    """A table with a class that is no exception, or a number that no guest knows, is refused."""
    with pytest.raises(ValueError, match="Errors: "):
        Errors(table)  # type: ignore[arg-type]


def test_the_shape_is_plain_data() -> None:
    """The engine gets the mapping as tables."""
    shape = ERRNO_NEGATIVE.shape()
    assert shape.negate
    assert shape.errnos[errno.ENOENT] == WASI_ERRNO["ENOENT"]
    assert wasi_errno(OSError(errno.ENOENT, "x")) == 44

"""The errors of WASI, and how exceptions become their numbers.

Functions raise OSError with the host's number where there is one; the classes here stand for what no host knows. An
OSError that WASI has no name for is EIO to the guest.
"""

from __future__ import annotations

import errno
import os

from hostsdk import WASI_ERRNO, Errors


class NotCapable(OSError):
    """A descriptor lacks the right to be used so: ENOTCAPABLE."""


def fault(number: int, text: str = "") -> OSError:
    """The exception for an error number of the host's."""
    return OSError(number, text or os.strerror(number))


def bad_fd(text: str = "") -> OSError:
    """EBADF: no such descriptor, or one that can't do this at all."""
    return fault(errno.EBADF, text)


def invalid(text: str = "") -> OSError:
    """EINVAL."""
    return fault(errno.EINVAL, text)


def number_of(error: OSError) -> int:
    """WASI's number for an error, for places where it is data (`poll_oneoff`)."""
    number = ERRORS.number(error)
    return WASI_ERRNO["EIO"] if number is None else number


#: How all functions map what they raise. Python goes on by itself where a signal ends a call; a file of the embedder's
#: that doesn't must not show it to a guest either.
ERRORS = Errors(
    {NotCapable: WASI_ERRNO["ENOTCAPABLE"], InterruptedError: WASI_ERRNO["EAGAIN"]}, unknown=WASI_ERRNO["EIO"]
)

"""BLAKE2b without `hashlib`, which loads OpenSSL: that takes longer than reading all the code that is kept of a usual
program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import blake2b
else:
    try:
        from _blake2 import blake2b
    except ImportError:  # a Python whose hashes are all OpenSSL's
        from hashlib import blake2b

#: Bytes of a checksum.
SIZE = 32


def checksum(data: bytes) -> bytes:
    """Tells damaged data."""
    return blake2b(data, digest_size=SIZE).digest()


def name_of(data: bytes, size: int = 10) -> str:
    """A name for data, in hexadecimal, of `size` bytes."""
    return blake2b(data, digest_size=size).hexdigest()

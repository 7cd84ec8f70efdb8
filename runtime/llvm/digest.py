"""Names and checksums. BLAKE2b comes without `hashlib`, which loads OpenSSL: that takes longer than reading all the
code that is kept of a usual program. A checksum is of megabytes, and only has to tell accidents: it is a quick one."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import blake2b
else:
    try:
        from _blake2 import blake2b
    except ImportError:  # a Python whose hashes are all OpenSSL's
        from hashlib import blake2b

#: Bytes of a checksum.
SIZE = 8


def checksum(data: bytes | memoryview) -> bytes:
    """Tells damaged data."""
    return zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFF_FFFF).to_bytes(4, "little")


def name_of(data: bytes, size: int = 10) -> str:
    """A name for data, in hexadecimal, of `size` bytes."""
    return blake2b(data, digest_size=size).hexdigest()

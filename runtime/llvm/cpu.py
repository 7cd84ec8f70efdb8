"""What the processor has, as Linux says it: known without LLVM, which takes longer to ask."""

from __future__ import annotations

import functools


@functools.cache
def _lines() -> tuple[bytes, ...]:
    """What is said of the first processor; nothing where that can't be told."""
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            text = file.read(8192) or b""
    except OSError:
        return ()
    return tuple(text.partition(b"\n\n")[0].splitlines())


def identity() -> bytes:
    """Model and features: code that was made for one is for no other."""
    return b"\n".join([line for line in _lines() if line.startswith((b"flags", b"model", b"cpu family", b"stepping"))])


@functools.cache
def features() -> frozenset[str]:
    """Names of the features."""
    flags = [line.partition(b":")[2] for line in _lines() if line.startswith(b"flags")]
    return frozenset(flags[0].decode("ascii", "replace").split()) if flags else frozenset()

"""What a call comes to, in a form that can be compared to the last bit; and values at which something changes."""

from __future__ import annotations

import fractions
import math
import struct
from collections.abc import Callable
from typing import Any

from hostsdk import V128

#: Every number at which something changes, and things that are no numbers.
VALUES: list[Any] = [
    *[sign * (1 << bits) + by for bits in (0, 7, 8, 15, 16, 31, 32, 52, 63, 64, 70) for sign in (1, -1)
      for by in (-1, 0, 1)],
    True, False, 0.0, -0.0, 1.5, math.pi, math.inf, -math.inf, math.nan, -math.nan, 5e-324, 1e-45, 7e-46, 1e38, 3.5e38,
    3.4028235677973366e38, 3.4028235677973362e38, 1.1754943508222875e-38, 16777217.0, None, "1", b"1", 1j, [], object(),
    (1,), V128(bytes(16)), fractions.Fraction(1, 2), type("Index", (), {"__index__": lambda self: 3})(),
    type("Int", (int,), {})(7), type("Float", (float,), {})(2.5),
    *[struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (
        0x7FF0_0000_0000_0001, 0x7FF8_0000_0000_0001, 0xFFF7_FFFF_FFFF_FFFF, 0x7FF4_0000_0000_0000,
        0xFFF8_0000_2000_0000, 0x7FFF_FFFF_FFFF_FFFF,
    )],
]  # fmt: skip


def told(call: Callable[[], Any]) -> Any:
    """A result with its exact bits, or an error's class and text."""
    try:
        found = call()
    except Exception as error:
        return type(error), str(error)
    return [exact(value) for value in (found if isinstance(found, tuple) else (found,))]


def exact(value: object) -> tuple[type, object]:
    """A value with its class and, if it is a float, its bits."""
    return type(value), struct.pack("<d", value) if isinstance(value, float) else value

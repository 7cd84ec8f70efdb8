"""A v128 as Python has it: 16 bytes with views of the lanes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Literal, Self, TypeAlias

from . import lean

#: How lanes are read: integers signed (`i`) or unsigned (`u`), or floats.
Shape: TypeAlias = Literal[
    "i8x16", "u8x16", "i16x8", "u16x8", "i32x4", "u32x4", "i64x2", "u64x2", "f32x4", "f64x2"
]  # fmt: skip
_LAYOUTS: dict[str, struct.Struct] = {
    "i8x16": struct.Struct("<16b"), "u8x16": struct.Struct("<16B"),
    "i16x8": struct.Struct("<8h"), "u16x8": struct.Struct("<8H"),
    "i32x4": struct.Struct("<4i"), "u32x4": struct.Struct("<4I"),
    "i64x2": struct.Struct("<2q"), "u64x2": struct.Struct("<2Q"),
    "f32x4": struct.Struct("<4f"), "f64x2": struct.Struct("<2d"),
}  # fmt: skip


@lean.frozen(repr=False)
class V128:
    """A vector of 128 bits. Equal if all bits are equal, those of NaNs included.

    A view is a tuple, lane 0 first. As Python floats, lanes of f32 that are NaNs are what the host's conversion makes
    of them; the unsigned views have the exact bits. Raises TypeError or ValueError for anything but 16 bytes.
    """

    #: Lane 0 first, each lane little end first: the bytes as they lie in memory.
    raw: bytes

    def __post_init__(self) -> None:
        value: object = self.raw
        if not isinstance(value, bytes):
            raise TypeError(f"a v128 is made of bytes, not {type(value).__name__}")
        if len(value) != 16:
            raise ValueError(f"a v128 has 16 bytes, not {len(value)}")

    @classmethod
    def from_lanes(cls, shape: Shape, lanes: Iterable[int | float]) -> Self:
        """The vector with these lanes. Integers may be given signed or unsigned, whatever the shape; an f32 is
        rounded.

        Raises ValueError for an unknown shape or a wrong number of lanes, TypeError and OverflowError for a lane that
        does not fit.
        """
        layout = _LAYOUTS.get(shape)
        if layout is None:
            raise ValueError(f"{shape!r} is no shape of a v128: {', '.join(_LAYOUTS)}")
        values = tuple(lanes)
        count = int(shape[shape.index("x") + 1 :])
        if len(values) != count:
            raise ValueError(f"{shape} has {count} lanes, not {len(values)}")
        if shape[0] == "f":
            return cls(_floats(layout, shape, values))
        return cls(_integers(shape, values, 128 // count))

    @classmethod
    def from_int(cls, bits: int) -> Self:
        """The vector that a number of 128 bits, signed or unsigned, is. Raises OverflowError for a larger one."""
        return cls(_integers("v128", (bits,), 128))

    def __bytes__(self) -> bytes:
        return self.raw

    def __int__(self) -> int:
        """All bits as one unsigned number, lane 0 lowest."""
        return int.from_bytes(self.raw, "little")

    @property
    def i8x16(self) -> tuple[int, ...]:
        """16 signed integers of 8 bits."""
        return _LAYOUTS["i8x16"].unpack(self.raw)

    @property
    def u8x16(self) -> tuple[int, ...]:
        """16 unsigned integers of 8 bits."""
        return _LAYOUTS["u8x16"].unpack(self.raw)

    @property
    def i16x8(self) -> tuple[int, ...]:
        """8 signed integers of 16 bits."""
        return _LAYOUTS["i16x8"].unpack(self.raw)

    @property
    def u16x8(self) -> tuple[int, ...]:
        """8 unsigned integers of 16 bits."""
        return _LAYOUTS["u16x8"].unpack(self.raw)

    @property
    def i32x4(self) -> tuple[int, ...]:
        """4 signed integers of 32 bits."""
        return _LAYOUTS["i32x4"].unpack(self.raw)

    @property
    def u32x4(self) -> tuple[int, ...]:
        """4 unsigned integers of 32 bits."""
        return _LAYOUTS["u32x4"].unpack(self.raw)

    @property
    def i64x2(self) -> tuple[int, ...]:
        """2 signed integers of 64 bits."""
        return _LAYOUTS["i64x2"].unpack(self.raw)

    @property
    def u64x2(self) -> tuple[int, ...]:
        """2 unsigned integers of 64 bits."""
        return _LAYOUTS["u64x2"].unpack(self.raw)

    @property
    def f32x4(self) -> tuple[float, ...]:
        """4 floats of 32 bits."""
        return _LAYOUTS["f32x4"].unpack(self.raw)

    @property
    def f64x2(self) -> tuple[float, ...]:
        """2 floats of 64 bits."""
        return _LAYOUTS["f64x2"].unpack(self.raw)

    def __repr__(self) -> str:
        return f"V128(u32x4 {' '.join(f'{lane:#010x}' for lane in self.u32x4)})"


def _integers(shape: str, lanes: tuple[object, ...], bits: int) -> bytes:
    out = bytearray()
    for lane in lanes:
        if not isinstance(lane, int):
            raise TypeError(f"a lane of {shape} is an int, not {type(lane).__name__}")
        if not -(1 << bits - 1) <= lane < 1 << bits:
            raise OverflowError(f"{lane} does not fit a lane of {shape}")
        out += (lane & (1 << bits) - 1).to_bytes(bits // 8, "little")
    return bytes(out)


def _floats(layout: struct.Struct, shape: str, lanes: tuple[object, ...]) -> bytes:
    values: list[float] = []
    for lane in lanes:
        if not isinstance(lane, (int, float)):
            raise TypeError(f"a lane of {shape} is a float, not {type(lane).__name__}")
        values.append(float(lane))
    try:
        return layout.pack(*values)
    except OverflowError:
        return layout.pack(*map(_round, values))


def _round(value: float) -> float:
    """The value, or the infinity that it becomes as an f32."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return math.copysign(math.inf, value)
    return value

"""Integer operations (spec 4.3.2): i32 and i64, on canonical values, which are unsigned.

One function a row of the instruction table, found by its name. Both widths are spelt out, so that each reads like the
spec's line. Division traps; nothing else does.
"""

from __future__ import annotations

from ..errors import Trap, TrapCode
from ..values import M32, M64, signed32, signed64


def i32_clz(a: int) -> int:
    """Leading zeros; 32 for 0."""
    return 32 - a.bit_length()


def i32_ctz(a: int) -> int:
    """Trailing zeros; 32 for 0."""
    return (a & -a).bit_length() - 1 if a else 32


def i32_popcnt(a: int) -> int:
    """Bits that are set."""
    return a.bit_count()


def i32_add(a: int, b: int) -> int:
    return (a + b) & M32


def i32_sub(a: int, b: int) -> int:
    return (a - b) & M32


def i32_mul(a: int, b: int) -> int:
    return (a * b) & M32


def i32_div_s(a: int, b: int) -> int:
    """Rounds towards zero. Traps for 0, and for the one quotient that does not fit."""
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    x, y = signed32(a), signed32(b)
    quotient = abs(x) // abs(y)
    if (x < 0) != (y < 0):
        return -quotient & M32
    if quotient == 0x8000_0000:
        raise Trap(TrapCode.INTEGER_OVERFLOW)
    return quotient


def i32_div_u(a: int, b: int) -> int:
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    return a // b


def i32_rem_s(a: int, b: int) -> int:
    """Has the sign of `a`. Traps for 0 only: the remainder always fits."""
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    x = signed32(a)
    remainder = abs(x) % abs(signed32(b))
    return -remainder & M32 if x < 0 else remainder


def i32_rem_u(a: int, b: int) -> int:
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    return a % b


def i32_and(a: int, b: int) -> int:
    return a & b


def i32_or(a: int, b: int) -> int:
    return a | b


def i32_xor(a: int, b: int) -> int:
    return a ^ b


def i32_shl(a: int, b: int) -> int:
    return (a << b % 32) & M32


def i32_shr_s(a: int, b: int) -> int:
    return (signed32(a) >> b % 32) & M32


def i32_shr_u(a: int, b: int) -> int:
    return a >> b % 32


def i32_rotl(a: int, b: int) -> int:
    k = b % 32
    return (a << k | a >> 32 - k) & M32


def i32_rotr(a: int, b: int) -> int:
    k = b % 32
    return (a >> k | a << 32 - k) & M32


def i32_eqz(a: int) -> int:
    return int(a == 0)


def i32_eq(a: int, b: int) -> int:
    return int(a == b)


def i32_ne(a: int, b: int) -> int:
    return int(a != b)


def i32_lt_s(a: int, b: int) -> int:
    return int(signed32(a) < signed32(b))


def i32_lt_u(a: int, b: int) -> int:
    return int(a < b)


def i32_gt_s(a: int, b: int) -> int:
    return int(signed32(a) > signed32(b))


def i32_gt_u(a: int, b: int) -> int:
    return int(a > b)


def i32_le_s(a: int, b: int) -> int:
    return int(signed32(a) <= signed32(b))


def i32_le_u(a: int, b: int) -> int:
    return int(a <= b)


def i32_ge_s(a: int, b: int) -> int:
    return int(signed32(a) >= signed32(b))


def i32_ge_u(a: int, b: int) -> int:
    return int(a >= b)


def i32_extend8_s(a: int) -> int:
    return ((a & 0x7F) - (a & 0x80)) & M32


def i32_extend16_s(a: int) -> int:
    return ((a & 0x7FFF) - (a & 0x8000)) & M32


# --- i64 ---


def i64_clz(a: int) -> int:
    """Leading zeros; 64 for 0."""
    return 64 - a.bit_length()


def i64_ctz(a: int) -> int:
    """Trailing zeros; 64 for 0."""
    return (a & -a).bit_length() - 1 if a else 64


def i64_popcnt(a: int) -> int:
    """Bits that are set."""
    return a.bit_count()


def i64_add(a: int, b: int) -> int:
    return (a + b) & M64


def i64_sub(a: int, b: int) -> int:
    return (a - b) & M64


def i64_mul(a: int, b: int) -> int:
    return (a * b) & M64


def i64_div_s(a: int, b: int) -> int:
    """Rounds towards zero. Traps for 0, and for the one quotient that does not fit."""
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    x, y = signed64(a), signed64(b)
    quotient = abs(x) // abs(y)
    if (x < 0) != (y < 0):
        return -quotient & M64
    if quotient == 0x8000_0000_0000_0000:
        raise Trap(TrapCode.INTEGER_OVERFLOW)
    return quotient


def i64_div_u(a: int, b: int) -> int:
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    return a // b


def i64_rem_s(a: int, b: int) -> int:
    """Has the sign of `a`. Traps for 0 only: the remainder always fits."""
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    x = signed64(a)
    remainder = abs(x) % abs(signed64(b))
    return -remainder & M64 if x < 0 else remainder


def i64_rem_u(a: int, b: int) -> int:
    if b == 0:
        raise Trap(TrapCode.INTEGER_DIVIDE_BY_ZERO)
    return a % b


def i64_and(a: int, b: int) -> int:
    return a & b


def i64_or(a: int, b: int) -> int:
    return a | b


def i64_xor(a: int, b: int) -> int:
    return a ^ b


def i64_shl(a: int, b: int) -> int:
    return (a << b % 64) & M64


def i64_shr_s(a: int, b: int) -> int:
    return (signed64(a) >> b % 64) & M64


def i64_shr_u(a: int, b: int) -> int:
    return a >> b % 64


def i64_rotl(a: int, b: int) -> int:
    k = b % 64
    return (a << k | a >> 64 - k) & M64


def i64_rotr(a: int, b: int) -> int:
    k = b % 64
    return (a >> k | a << 64 - k) & M64


def i64_eqz(a: int) -> int:
    return int(a == 0)


def i64_eq(a: int, b: int) -> int:
    return int(a == b)


def i64_ne(a: int, b: int) -> int:
    return int(a != b)


def i64_lt_s(a: int, b: int) -> int:
    return int(signed64(a) < signed64(b))


def i64_lt_u(a: int, b: int) -> int:
    return int(a < b)


def i64_gt_s(a: int, b: int) -> int:
    return int(signed64(a) > signed64(b))


def i64_gt_u(a: int, b: int) -> int:
    return int(a > b)


def i64_le_s(a: int, b: int) -> int:
    return int(signed64(a) <= signed64(b))


def i64_le_u(a: int, b: int) -> int:
    return int(a <= b)


def i64_ge_s(a: int, b: int) -> int:
    return int(signed64(a) >= signed64(b))


def i64_ge_u(a: int, b: int) -> int:
    return int(a >= b)


def i64_extend8_s(a: int) -> int:
    return ((a & 0x7F) - (a & 0x80)) & M64


def i64_extend16_s(a: int) -> int:
    return ((a & 0x7FFF) - (a & 0x8000)) & M64


def i64_extend32_s(a: int) -> int:
    return signed32(a & M32) & M64

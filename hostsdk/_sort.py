"""Sorting by a comparison that may suspend."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from ._types import Op, Steps


def sort_with(cmp: Callable[[int, int], Op[int] | Steps[int]], n: int) -> Steps[Sequence[int]]:
    """The order that sorts items 0 … n-1: a stable merge sort whose every comparison is `yield from cmp(i, j)`.

    `cmp` gives less than 0 where item i comes before item j, 0 where they are equal, more than 0 where it comes after.
    One that contradicts itself harms nothing: the answer is some permutation, after at most n·log2(n) comparisons.
    """
    # Arrays, since n is the guest's word: a list would take nine times the room.
    order = array("I", range(n))
    width = 1
    while width < n:
        merged = array("I")
        for start in range(0, n, 2 * width):
            middle, end = min(start + width, n), min(start + 2 * width, n)
            yield from _merge(cmp, order[start:middle], order[middle:end], merged)
        order = merged
        width *= 2
    return order


def _merge(
    cmp: Callable[[int, int], Op[int] | Steps[int]], left: array[int], right: array[int], out: array[int]
) -> Steps[None]:
    i = j = 0
    while i < len(left) and j < len(right):
        if (yield from cmp(left[i], right[j])) <= 0:
            out.append(left[i])
            i += 1
        else:
            out.append(right[j])
            j += 1
    out.extend(left[i:])
    out.extend(right[j:])

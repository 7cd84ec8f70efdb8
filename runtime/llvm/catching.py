"""Exceptions of the guest in machine code: what `throw` and the clauses of a `try_table` have Python do."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from ..errors import Trap, TrapCode
from ..instances.exception import ExnInst, WasmException
from ..types import EXNREF
from . import abi
from .frames import get

if TYPE_CHECKING:
    from .image import Image

_VALUE: Final = abi.ERROR // 8 + 1


def throw(image: Image, tag: int) -> None:
    """`throw`: the values are in the room."""
    made = image.instance.tags[tag]
    values = []
    at = 0
    for type_ in made.type.params:
        values.append(get(image.room, at, type_, image.refs))
        at += type_.slot
    raise WasmException.of(ExnInst(made, tuple(values)))


def throw_ref(image: Image, immediate: int) -> None:
    """`throw_ref`: the reference is in the room."""
    exn = get(image.room, 0, EXNREF, image.refs)
    if not isinstance(exn, ExnInst):
        raise Trap(TrapCode.NULL_REFERENCE)
    raise WasmException.of(exn)


def catch(image: Image, pc: int) -> None:
    """Whether a clause of the `try_table` at the byte `pc`, or of one around it, takes the error that is on its way:
    its number from 1 on is put first, what it hands on behind. The frames that the error has left are forgotten."""
    image.set_slot(0, 0)
    exn = _pending(image)
    if exn is None:
        return
    tags = image.instance.tags
    for number, (tag, ref, row) in enumerate(image.points.clauses(pc), 1):
        if tag is None or tags[tag] is exn.tag:
            image.forget_error()
            values = exn.values if tag is not None else ()
            row.put(image.room[8:], (*values, exn) if ref else values, image.refs)
            image.set_slot(0, number)
            return


def _pending(image: Image) -> ExnInst | None:
    """The exception on its way; None where it is something else that makes the frames leave."""
    address = image.words[_VALUE]
    if not address:
        return None
    error = ctypes.cast(address, ctypes.py_object).value
    return error.exn if isinstance(error, WasmException) else None

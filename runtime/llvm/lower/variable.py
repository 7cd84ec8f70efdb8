"""Lowerings: locals and globals (spec 4.4.4, 4.4.5)."""

from __future__ import annotations

from typing import Any

from ...types import V128
from .. import abi
from ..builder import INVARIANT, OURS
from ..emitter import Emitter
from .registry import lowers


@lowers("local.get")
def _local_get(e: Emitter, index: Any) -> None:
    e.stack.append(e.local(index))


@lowers("local.set")
def _local_set(e: Emitter, index: Any) -> None:
    e.locals[index] = e.pop_loose() if index in e.loose else e.pop()


@lowers("local.tee")
def _local_tee(e: Emitter, index: Any) -> None:
    _local_set(e, index)
    e.stack.append(e.local(index))


def _place(e: Emitter, index: int) -> tuple[str, int]:
    """Where a global's value lies: a pointer, and the bytes behind it."""
    place = e.layout.globals + 8 * index
    return ("%inst", place) if e.layout.inline(index) else (e.fixed(place), 0)


@lowers("global.get")
def _global_get(e: Emitter, index: Any) -> None:
    type_ = e.module.env.globals[index]
    if type_.content.is_ref or type_.content is V128:
        e.request("global.get", index, (), abi.ir_type(type_.content))
        return
    base, offset = _place(e, index)
    name = abi.ir_type(type_.content)
    e.push(name, e.ours(name, base, offset, OURS if type_.mutable else INVARIANT))


@lowers("global.set")
def _global_set(e: Emitter, index: Any) -> None:
    type_ = e.module.env.globals[index]
    if type_.content.is_ref or type_.content is V128:
        e.request("global.set", index, e.take(1))
        return
    value = e.pop()
    base, offset = _place(e, index)
    if type_.content.name in ("i32", "f32"):
        # The cell has eight bytes, the upper half zero, as the interpreter reads it.
        wide, value = e.widened(abi.ir_type(type_.content), value)
        e.keep(wide, value, base, offset, e.seen())
    else:
        e.keep(abi.ir_type(type_.content), value, base, offset, e.seen())

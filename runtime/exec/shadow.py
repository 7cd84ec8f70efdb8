"""The guest's own stack pointer, put right after a call that ended in the middle.

A guest compiled from C keeps a stack in its memory. A call that traps, is dropped or times out never moves the stack
pointer back, and a few such calls use the stack up. Where the pointer can be told (a global exported or named
`__stack_pointer`) it is restored; where there may be one and it can't be told, the instance is marked abandoned.
"""

from __future__ import annotations

from ..instances.func import FuncInst, WasmFunc
from ..instances.instance import Instance
from ..instances.small import GlobalInst
from ..types import I32, I64
from ..values import Value
from .context import ExecContext

NAME = "__stack_pointer"


def note(ctx: ExecContext, instance: Instance) -> None:
    """Remember the stack pointer of an instance that is being entered for the first time."""
    pointer = instance.stack_pointer if instance.stack_pointer_known else pointer_of(instance)
    ctx.touched[instance] = None if pointer is None else (pointer, pointer.value)


def restore(ctx: ExecContext, how: str) -> None:
    """The call ended by `how` ("trap", "drop", …) in the middle of the guest."""
    # The first one entered is restored last: linked instances may share a pointer, and it had its value before.
    for instance, pointer in reversed(ctx.touched.items()):
        if pointer is not None:
            pointer[0].value = pointer[1]
        elif _may_have_one(instance):
            instance.abandon(f"an earlier call ended in the middle ({how})")


def pointer_of(instance: Instance) -> GlobalInst | None:
    """The guest's stack pointer; None where it can't be told."""
    if not instance.stack_pointer_known:
        instance.stack_pointer = _find(instance)
        instance.stack_pointer_known = True
    return instance.stack_pointer


def stack_pointer(func: FuncInst) -> Value:
    """The stack pointer of the guest that `func` belongs to, now; None where it can't be told, or there is none."""
    pointer = pointer_of(func.instance) if isinstance(func, WasmFunc) else None
    return None if pointer is None else pointer.value


def restore_stack_pointer(func: FuncInst, value: Value) -> None:
    """Put it back, after an exception or trap has left frames of the guest in the middle; nothing for None."""
    pointer = pointer_of(func.instance) if isinstance(func, WasmFunc) else None
    if pointer is not None and value is not None:
        pointer.value = value


def _find(instance: Instance) -> GlobalInst | None:
    exported: object = instance.exports.get(NAME)
    if isinstance(exported, GlobalInst):
        return exported
    for index, name in instance.module.decls.names.globals.items():
        if name == NAME and index < len(instance.globals):
            return instance.globals[index]
    return None


def _may_have_one(instance: Instance) -> bool:
    return instance.mem is not None and any(
        g.type.mutable and (g.type.content is I32 or g.type.content is I64) for g in instance.globals
    )

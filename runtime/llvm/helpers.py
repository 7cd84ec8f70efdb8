"""What machine code has Python do: requests by name, each a function of the image and an immediate.

Operands and results go through the image's room. Whatever is raised here leaves the machine code beneath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from ..errors import Trap, TrapCode
from ..exec.atomic import WAITS, notify
from ..exec.context import ExecContext
from ..exec.host import enter, invoke, leave, unwind
from ..exec.poll import check
from ..exec.stack import CALLBACK, near_end
from ..instances.func import FuncInst, TailCall, WasmFunc
from ..types import ValType
from ..values import M32, Value
from . import abi, catching
from .frames import get, put

if TYPE_CHECKING:
    from .image import Image

#: Does the work; None when it is done, anything else where code is to be called that stands at INDIRECT.
Server = Callable[["Image", int], object]


def _poll(image: Image, immediate: int) -> bool | None:
    """A check point: True where the frame is to leave the stack. At a function's entry the room holds where the stack
    stands."""
    ctx, stack = image.running(), image.slot(0)
    found = check(ctx.requests) if ctx.requests.word[0] else None
    if found is None:
        better, image.better = image.better and not ctx.hosts, False
        crowded = image.crowded()
        image.listen()
        # The run loop takes each frame to the best code that there is for it, with the references that it needs. A host
        # function that waits beneath has to be entered again for that, which better code isn't worth. At the end of the
        # stack, though not of the limits, the run loop goes on from here, with the stack empty.
        if not better and not crowded and not 0 < stack < image.limit:
            return None
    leave(ctx, found)
    image.make_room()
    return True


def _flush(image: Image, immediate: int) -> None:
    image.flush()


def _call(image: Image, index: int) -> bool | None:
    """A call that machine code can't make itself: to another instance, to the host, or to what has no code yet."""
    ctx = image.running()
    instance = image.instance
    if index == abi.FROM_TABLE:
        func = cast("FuncInst", instance.tables[image.indirect >> 32].elems[image.indirect & M32])
    else:
        func = instance.funcs[index]
    if isinstance(func, WasmFunc) and func.instance is instance and ctx.requests.steps is None:
        code = image.code.of(func.code.index)
        if code is not None:
            image.indirect = code
            return True
    row = image.rows(func.type)
    args = row[0].get(image.room, image.refs)
    ways = image.ways
    if ways is not None:
        ways.tally(ctx)
    depth, cells = image.used()
    ctx.depth += depth
    ctx.cells += cells
    try:
        results = call_out(ctx, image, func, args)
    finally:
        ctx.depth -= depth
        ctx.cells -= cells
    row[1].put(image.room, results, image.refs)
    if ways is not None:
        ways.rows.meet(index, ctx)
    image.listen()
    return None


def call_out(ctx: ExecContext, image: Image, func: FuncInst, args: tuple[Value, ...]) -> tuple[Value, ...]:
    """Call what is not machine code of this instance: nested on the stack while there is room, else by the run loop.
    May suspend."""
    while not isinstance(func, WasmFunc):
        result = enter(ctx, func, image.instance, args)
        if not isinstance(result, TailCall):
            return result
        func, args = result.func, result.args
    if ctx.nesting >= ctx.limits.nesting or near_end(CALLBACK):
        ctx.next_call = (func, args)
        unwind(ctx, None)
    ctx.nesting += 1
    try:
        return invoke(ctx, func, args)
    finally:
        ctx.nesting -= 1


# Memories -------------------------------------------------------------------------------------------------------------


def _memory_grow(image: Image, index: int) -> None:
    image.set_slot(0, image.instance.memories[index].grown(image.slot(0)))


def _memory_init(image: Image, index: int) -> None:
    to, start, size, segment = map(image.slot, range(4))
    data = image.instance.datas[segment].data
    if start + size > len(data):
        raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY)
    image.instance.memories[index].write(to, data[start : start + size])


def _data_drop(image: Image, index: int) -> None:
    image.instance.datas[index].drop()


# Threads --------------------------------------------------------------------------------------------------------------


def _atomic_wait(image: Image, index: int) -> None:
    ctx = image.running()
    address, expected, timeout, width = map(image.slot, range(4))
    depth, cells = image.used()
    ctx.depth += depth
    ctx.cells += cells
    try:
        results = call_out(ctx, image, WAITS[width], (index, address, expected, timeout))
    finally:
        ctx.depth -= depth
        ctx.cells -= cells
    image.set_slot(0, cast("int", results[0]))
    image.listen()


def _atomic_notify(image: Image, index: int) -> None:
    address, count = image.slot(0), image.slot(1)
    image.set_slot(0, notify(image.instance.memories[index], address, count))


# Tables and references ------------------------------------------------------------------------------------------------


def _ref(image: Image, place: int, type_: ValType) -> Value:
    return get(image.room, 8 * place, type_, image.refs)


def _table_get(image: Image, index: int) -> None:
    table = image.instance.tables[index]
    put(image.room, 0, table.elem, table.get(image.slot(0)), image.refs)


def _table_set(image: Image, index: int) -> None:
    table = image.instance.tables[index]
    table.set(image.slot(0), _ref(image, 1, table.elem))


def _table_size(image: Image, index: int) -> None:
    image.set_slot(0, len(image.instance.tables[index].elems))


def _table_grow(image: Image, index: int) -> None:
    table = image.instance.tables[index]
    image.set_slot(0, table.grown(image.slot(1), _ref(image, 0, table.elem)))


def _table_fill(image: Image, index: int) -> None:
    table = image.instance.tables[index]
    table.fill(image.slot(0), _ref(image, 1, table.elem), image.slot(2))


def _table_copy(image: Image, index: int) -> None:
    to, start, size, source = map(image.slot, range(4))
    tables = image.instance.tables
    tables[index].copy(to, tables[source], start, size)


def _table_init(image: Image, index: int) -> None:
    to, start, size, segment = map(image.slot, range(4))
    image.instance.tables[index].init(to, image.instance.elems[segment].items, start, size)


def _elem_drop(image: Image, index: int) -> None:
    image.instance.elems[index].drop()


def _ref_func(image: Image, index: int) -> None:
    func = image.instance.funcs[index]
    image.refs[id(func)] = func
    image.set_slot(0, id(func))


def _global_get(image: Image, index: int) -> None:
    global_ = image.instance.globals[index]
    put(image.room, 0, global_.type.content, global_.value, image.refs)


def _global_set(image: Image, index: int) -> None:
    global_ = image.instance.globals[index]
    global_.value = _ref(image, 0, global_.type.content)


_BY_NAME: Final[dict[str, Server]] = {
    "poll": _poll,
    "flush": _flush,
    "call": _call,
    "memory.grow": _memory_grow,
    "memory.init": _memory_init,
    "data.drop": _data_drop,
    "table.get": _table_get,
    "table.set": _table_set,
    "table.size": _table_size,
    "table.grow": _table_grow,
    "table.fill": _table_fill,
    "table.copy": _table_copy,
    "table.init": _table_init,
    "elem.drop": _elem_drop,
    "ref.func": _ref_func,
    "global.get": _global_get,
    "global.set": _global_set,
    "throw": catching.throw,
    "throw_ref": catching.throw_ref,
    "catch": catching.catch,
    "atomic.wait": _atomic_wait,
    "atomic.notify": _atomic_notify,
}
#: By number.
SERVERS: Final[tuple[Server, ...]] = tuple([_BY_NAME[name] for name in abi.REQUESTS])

"""What an embedder holds of an instance: functions, memories, tables and globals, with Python values.

`Func.call` is the plain call: default processing of restarts, values or an exception. `Func.start` gives the
execution, to be run step by step.
"""

from __future__ import annotations

from . import lean
from .calls import finish
from .exec import run as running
from .exec.context import ExecContext
from .exec.interrupt import Interrupt
from .instances.budget import Budget
from .instances.exception import ExnInst, WasmException
from .instances.func import FuncHandle, HostFunc, WasmFunc
from .instances.memory import MemInst
from .instances.objects import is_a, taken
from .instances.small import GlobalInst
from .instances.table import TableInst
from .limits import Limits
from .linking.instantiate import make_memory
from .store import Store
from .types import (
    ARRAY,
    EXN,
    EXTERN,
    FUNC,
    I31,
    STRUCT,
    FuncType,
    GlobalType,
    MemoryType,
    TableType,
    ValType,
)
from .values import Value, to_python, to_wasm


@lean.frozen
class Func(FuncHandle):
    """A function and the store whose limits hold for calling it. Two are equal if they are the same function."""

    store: Store = lean.field(eq=False, repr=False)

    @property
    def type(self) -> FuncType:
        """Its parameters and results."""
        return self.inst.type

    @property
    def name(self) -> str:
        """Its name, or its index where the module gives none."""
        return self.inst.name

    def start(self, *args: object) -> ExecContext:
        """An execution of this function, not running yet.

        Raises TypeError or OverflowError for arguments that don't fit.
        """
        return running.prepare(self.store.context(), self.inst, arguments(self.type, args, self.name))

    def __call__(self, *args: object) -> object:
        """`call`, without options. Raises what that raises."""
        return self.call(*args)

    def call(self, *args: object, interrupt: Interrupt | None = None, timeout: float | None = None) -> object:
        """Run to the end, with default processing of restarts: None, the result, or a tuple of several. `timeout` is in
        seconds from now.

        Raises Trap, a host function's own error, TypeError and OverflowError, and what says that it didn't end.
        """
        ctx = self.start(*args)
        return python_results(self.type, finish(ctx, interrupt, timeout), self.store)


def arguments(type_: FuncType, args: tuple[object, ...], name: str) -> tuple[Value, ...]:
    """Python arguments as canonical values. Raises TypeError or OverflowError, naming the function."""
    if len(args) != len(type_.params):
        raise TypeError(f"{name} takes {len(type_.params)} arguments, not {len(args)}")
    try:
        return tuple([value_in(t, v) for t, v in zip(type_.params, args, strict=True)])
    except (TypeError, OverflowError) as error:
        raise type(error)(f"{name}: {error}") from None


def value_in(type_: ValType, value: object) -> Value:
    """One Python value as a canonical one, references included: a function by its `Func`, an exception by its
    `WasmException`, an i31 by an int, what the guest has made by itself, null by None; any object for `externref` and
    `anyref`. Raises TypeError or OverflowError.
    """
    if type_.heap is None:
        return to_wasm(type_, value)
    if isinstance(value, (WasmFunc, HostFunc)):
        raise TypeError(f"{type_} takes no {type(value).__name__}; give the Func")
    found = taken(value, type_)
    if not is_a(found, type_):
        raise TypeError(f"{type_} takes {_taken(type_)}, not {type(value).__name__}")
    return found


def _taken(type_: ValType) -> str:
    """What fits a reference type, in words."""
    names = {FUNC: "a Func", STRUCT: "a Struct", ARRAY: "an Array", I31: "an int", EXN: "a WasmException"}
    what = names.get(type_.kind or EXTERN, "a value")
    return f"{what} of that type{' or None' if type_.nullable else ''}"


def value_out(type_: ValType, value: Value, store: Store) -> object:
    """One canonical value as Python has it. Structs and arrays are themselves."""
    if type_.is_ref:
        if isinstance(value, ExnInst):
            return WasmException.of(value)
        return Func(value, store) if isinstance(value, (WasmFunc, HostFunc)) else value
    return to_python(type_, value)


def python_results(type_: FuncType, values: tuple[Value, ...], store: Store) -> object:
    """Results as a Python function gives them: None, one value, or a tuple."""
    out = tuple([value_out(t, v, store) for t, v in zip(type_.results, values, strict=True)])
    return None if not out else out[0] if len(out) == 1 else out


@lean.frozen
class Memory:
    """A linear memory. Reads and writes copy."""

    inst: MemInst

    @classmethod
    def make(cls, type_: MemoryType, limits: Limits | None = None, prealloc: bool = True) -> Memory:
        """A memory that instances may import, shared where its type says so. It counts towards `limits` as a memory of
        an instance does; `prealloc` as in `EngineConfig`. Raises LimitError."""
        return cls(make_memory(type_, Budget.of_memories(limits or Limits()), prealloc))

    @property
    def type(self) -> MemoryType:
        """Its present size and its maximum, in pages."""
        return self.inst.type

    @property
    def pages(self) -> int:
        """The present size in pages of 64 KiB."""
        return self.inst.pages

    def __len__(self) -> int:
        return len(self.inst.data)

    def read(self, addr: int, size: int) -> bytes:
        """A copy of `size` bytes. Raises Trap out of bounds."""
        return self.inst.read(addr, size)

    def write(self, addr: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data` in. Raises Trap out of bounds, and then nothing is written."""
        self.inst.write(addr, data)

    def grow(self, pages: int) -> int:
        """The old size in pages, or -1 where it can't grow."""
        return self.inst.grow(pages)


@lean.frozen
class Table:
    """A table of references. As Python has them: a function is a `Func`, null is None."""

    inst: TableInst
    store: Store = lean.field(eq=False, repr=False)

    @property
    def type(self) -> TableType:
        """The type of its entries, its present size and its maximum."""
        return self.inst.type

    def __len__(self) -> int:
        return len(self.inst.elems)

    def get(self, index: int) -> object:
        """The entry at an index. Raises Trap out of bounds."""
        return value_out(self.inst.elem, self.inst.get(index), self.store)

    def set(self, index: int, value: object) -> None:
        """Put an entry at an index. Raises Trap out of bounds, TypeError for what is no reference of the table's
        type."""
        self.inst.set(index, value_in(self.inst.elem, value))


@lean.frozen
class Global:
    """A global variable. Integers are signed, as results are."""

    inst: GlobalInst
    store: Store = lean.field(eq=False, repr=False)

    @property
    def type(self) -> GlobalType:
        """The type of its value, and whether it can be set."""
        return self.inst.type

    def get(self) -> object:
        """The value now."""
        return value_out(self.inst.type.content, self.inst.value, self.store)

    def set(self, value: object) -> None:
        """Set it. Raises TypeError for an immutable global or a value that does not fit, OverflowError for a large
        one."""
        if not self.inst.type.mutable:
            raise TypeError("the global is immutable")
        self.inst.value = value_in(self.inst.type.content, value)

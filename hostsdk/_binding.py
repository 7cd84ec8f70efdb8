"""A host module bound to one instance: its state, and how the guest's memory and functions are found.

C's conventions: the memory is the export `memory`, function pointers are indexes into the export
`__indirect_function_table`.
"""

from __future__ import annotations

from typing import Any

from ._engine import (
    I64,
    FuncType,
    HostFunc,
    MemInst,
    RuntimeInstance,
    TableInst,
    TagInst,
    Trap,
    TrapCode,
    WasmFunc,
    lean,
)
from ._errors import MissingExport
from ._messages import Text
from ._references import callable_as
from ._resources import ResourceTable
from ._types import FuncRef, TypedFuncRef

MEMORY = "memory"
TABLE = "__indirect_function_table"


@lean.define(eq=False)
class Binding:
    """One module's share of an instance. `owner` is the embedder's instance; `guest` is known once that is linked."""

    module: Any
    state: Any
    resources: ResourceTable
    owner: object = None
    guest: RuntimeInstance | None = None

    def _instance(self, caller: RuntimeInstance | None) -> RuntimeInstance | None:
        return self.guest if caller is None else caller

    def wide(self, caller: RuntimeInstance | None) -> bool:
        """Whether the memory that the calling instance exports has 64-bit addresses."""
        memory = self.memory(caller)
        return memory is not None and memory.address is I64

    def memory(self, caller: RuntimeInstance | None) -> MemInst | None:
        """The memory that the calling instance exports; None where it exports none."""
        instance = self._instance(caller)
        found = None if instance is None else instance.exports.get(MEMORY)
        return found if isinstance(found, MemInst) else None

    def table_function(self, caller: RuntimeInstance | None, index: int, type_: FuncType) -> WasmFunc | HostFunc:
        """The function at a table index. Four traps: no table, out of range, null, another type."""
        instance = self._instance(caller)
        table = None if instance is None else instance.exports.get(TABLE)
        if not isinstance(table, TableInst):
            raise Trap(TrapCode.NO_TABLE, Text.NO_TABLE(table=TABLE))
        if not 0 <= index < len(table.elems):
            raise Trap(TrapCode.UNDEFINED_ELEMENT, Text.NO_ELEMENT(index=index, count=len(table.elems)))
        func = table.elems[index]
        if not isinstance(func, (WasmFunc, HostFunc)):
            raise Trap(TrapCode.UNINITIALIZED_ELEMENT, Text.NULL_ELEMENT(index=index))
        if not callable_as(func.type, type_):
            raise Trap(TrapCode.INDIRECT_CALL_TYPE, Text.OTHER_TYPE(index=index, have=func.type, want=type_))
        return func

    def tag(self, caller: RuntimeInstance | None, name: str) -> TagInst:
        """The tag that the calling instance exports as `name`. Raises MissingExport."""
        instance = self._instance(caller)
        found = None if instance is None else instance.exports.get(name)
        if not isinstance(found, TagInst):
            raise MissingExport(Text.NO_TAG(name=name))
        return found

    def target(
        self, caller: RuntimeInstance | None, ref: FuncRef[Any, Any], type_: FuncType
    ) -> WasmFunc | HostFunc:
        """What a reference names, a function that can be called as `type_`. Traps as `table_function` does; raises
        MissingExport for a name without a function of this type."""
        if isinstance(ref, TypedFuncRef):
            found: WasmFunc | HostFunc = ref.inst
            return found
        if ref.name is None:
            return self.table_function(caller, ref.index or 0, type_)
        instance = self._instance(caller)
        func = None if instance is None else instance.exports.get(ref.name)
        if not isinstance(func, (WasmFunc, HostFunc)):
            raise MissingExport(Text.NO_EXPORT(name=ref.name))
        if not callable_as(func.type, type_):
            raise MissingExport(Text.EXPORT_TYPE(name=ref.name, have=func.type, want=type_))
        return func

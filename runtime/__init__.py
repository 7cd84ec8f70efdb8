"""The engine of hostsdk: WebAssembly whose every execution can be interrupted, kept, and resumed where it was.

This is its door. Embedders and authors of host functions want `hostsdk`, which is built on it; the engine knows
nothing of that package.
"""

from typing import TYPE_CHECKING

from .doors import door

if TYPE_CHECKING:
    from . import control, doors, lean, snapshot
    from .calls import ExitRequested, Unfinished, conclude, finish, handle_restart, handle_restart_once, run_through
    from .declarations import ExternKind
    from .engine import Engine, EngineConfig, compile_ahead, interpreted, kept_code, without_guard_pages, without_native
    from .errors import (
        DivergenceError,
        InstanceAbandoned,
        InvalidError,
        LimitError,
        MalformedError,
        NestedSuspension,
        RecordError,
        ReentrancyError,
        SnapshotError,
        StateError,
        Trap,
        TrapCode,
        UnlinkableError,
        UnsupportedError,
        WasmError,
    )
    from .exec.backtrace import TraceLine, render
    from .exec.backtrace import of_frames as trace_of
    from .exec.bell import Bell, open_bell
    from .exec.clock import SYSTEM_CLOCK, Agenda, Alarm, Clock, FakeClock, SystemClock
    from .exec.context import ExecContext
    from .exec.counters import Counters
    from .exec.frames import HostFrame, WasmFrame
    from .exec.host import call_back, check_interrupt, suspend, wait
    from .exec.inject import At, Every, Injector, Never, Randomly
    from .exec.interrupt import Attachment, Interrupt
    from .exec.poll import Requests
    from .exec.restart import Entry, Record
    from .exec.shadow import restore_stack_pointer, stack_pointer
    from .exec.state import (
        Dropped,
        Exited,
        Failed,
        Injected,
        Interrupted,
        Outcome,
        OutOfSteps,
        Preempted,
        Returned,
        State,
        Status,
        Suspended,
        TimedOut,
        Trapped,
        Waiting,
        is_restartable,
        make_dropped,
        make_exit,
    )
    from .exec.wait import LONGEST, Driver, Notifier, ThreadDriver, WaitSet, Waker, backoff
    from .externs import Func, Global, Memory, Table, arguments, python_results, value_in, value_out
    from .features import Feature, parse_features
    from .hostabi import (
        CString,
        ErrnoMap,
        FuncIndex,
        OutSpan,
        ParamShape,
        Pointer,
        Ref,
        ResultShape,
        Scalar,
        Shape,
        Span,
        flat,
    )
    from .instances.budget import Budget
    from .instances.door import Terms
    from .instances.exception import ExnInst, TagInst, WasmException
    from .instances.func import FuncHandle, FuncInst, HostFunc, TailCall, Unwind, WasmFunc, make_unwind
    from .instances.instance import Extern, Instance
    from .instances.memory import MemInst
    from .instances.objects import Array, Struct, is_a
    from .instances.small import GlobalInst
    from .instances.table import TableInst
    from .instantiation import Instantiation, begin_instantiation, instantiate
    from .limits import Limits, Total, Totals
    from .linking.imports import ByType
    from .linking.instantiate import unshare
    from .log import Log
    from .module import Module
    from .store import Store
    from .typedefs import defined
    from .types import (
        ANYREF,
        ARRAY,
        ARRAYREF,
        EQREF,
        EXN,
        EXNREF,
        EXTERNREF,
        F32,
        F64,
        FUNC,
        FUNCREF,
        I31,
        I31REF,
        I32,
        I64,
        STRUCT,
        STRUCTREF,
        DefType,
        FuncType,
        GlobalType,
        MemoryType,
        TableType,
        TagType,
        ValType,
        func_matches,
        type_matches,
        types_match,
    )
    from .types import V128 as V128_TYPE
    from .v128 import V128
    from .values import (
        M32,
        M64,
        I31Int,
        Value,
        f32_from_bits,
        f32_from_python,
        f32_to_bits,
        f32_to_python,
        f64_from_bits,
        f64_to_bits,
        to_python,
        to_wasm,
    )

__all__ = [
    "ANYREF",
    "ARRAY",
    "ARRAYREF",
    "EQREF",
    "EXN",
    "EXNREF",
    "EXTERNREF",
    "F32",
    "F64",
    "FUNC",
    "FUNCREF",
    "I31",
    "I31REF",
    "I32",
    "I64",
    "LONGEST",
    "M32",
    "M64",
    "STRUCT",
    "STRUCTREF",
    "SYSTEM_CLOCK",
    "V128",
    "V128_TYPE",
    "Agenda",
    "Alarm",
    "Array",
    "At",
    "Attachment",
    "Bell",
    "Budget",
    "ByType",
    "CString",
    "Clock",
    "Counters",
    "DefType",
    "DivergenceError",
    "Driver",
    "Dropped",
    "Engine",
    "EngineConfig",
    "Entry",
    "ErrnoMap",
    "Every",
    "ExecContext",
    "ExitRequested",
    "Exited",
    "ExnInst",
    "Extern",
    "ExternKind",
    "Failed",
    "FakeClock",
    "Feature",
    "Func",
    "FuncHandle",
    "FuncIndex",
    "FuncInst",
    "FuncType",
    "Global",
    "GlobalInst",
    "GlobalType",
    "HostFrame",
    "HostFunc",
    "I31Int",
    "Injected",
    "Injector",
    "Instance",
    "InstanceAbandoned",
    "Instantiation",
    "Interrupt",
    "Interrupted",
    "InvalidError",
    "LimitError",
    "Limits",
    "Log",
    "MalformedError",
    "MemInst",
    "Memory",
    "MemoryType",
    "Module",
    "NestedSuspension",
    "Never",
    "Notifier",
    "OutOfSteps",
    "OutSpan",
    "Outcome",
    "ParamShape",
    "Pointer",
    "Preempted",
    "Randomly",
    "Record",
    "RecordError",
    "ReentrancyError",
    "Ref",
    "Requests",
    "ResultShape",
    "Returned",
    "Scalar",
    "Shape",
    "SnapshotError",
    "Span",
    "State",
    "StateError",
    "Status",
    "Store",
    "Struct",
    "Suspended",
    "SystemClock",
    "Table",
    "TableInst",
    "TableType",
    "TagInst",
    "TagType",
    "TailCall",
    "Terms",
    "ThreadDriver",
    "TimedOut",
    "Total",
    "Totals",
    "TraceLine",
    "Trap",
    "TrapCode",
    "Trapped",
    "Unfinished",
    "UnlinkableError",
    "UnsupportedError",
    "Unwind",
    "ValType",
    "Value",
    "WaitSet",
    "Waiting",
    "Waker",
    "WasmError",
    "WasmException",
    "WasmFrame",
    "WasmFunc",
    "arguments",
    "backoff",
    "begin_instantiation",
    "call_back",
    "check_interrupt",
    "compile_ahead",
    "conclude",
    "control",
    "defined",
    "doors",
    "f32_from_bits",
    "f32_from_python",
    "f32_to_bits",
    "f32_to_python",
    "f64_from_bits",
    "f64_to_bits",
    "finish",
    "flat",
    "func_matches",
    "handle_restart",
    "handle_restart_once",
    "instantiate",
    "interpreted",
    "is_a",
    "is_restartable",
    "kept_code",
    "lean",
    "make_dropped",
    "make_exit",
    "make_unwind",
    "open_bell",
    "parse_features",
    "python_results",
    "render",
    "restore_stack_pointer",
    "run_through",
    "snapshot",
    "stack_pointer",
    "suspend",
    "to_python",
    "to_wasm",
    "trace_of",
    "type_matches",
    "types_match",
    "unshare",
    "value_in",
    "value_out",
    "wait",
    "without_guard_pages",
    "without_native",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = door(
        __name__,
        {
            "": "control doors lean snapshot",
            ".calls": "ExitRequested Unfinished conclude finish handle_restart handle_restart_once run_through",
            ".declarations": "ExternKind",
            ".engine": "Engine EngineConfig compile_ahead interpreted kept_code without_guard_pages without_native",
            ".errors": (
                "DivergenceError InstanceAbandoned InvalidError LimitError MalformedError NestedSuspension "
                "RecordError ReentrancyError SnapshotError StateError Trap TrapCode UnlinkableError UnsupportedError "
                "WasmError"
            ),
            ".exec.backtrace": "TraceLine of_frames:trace_of render",
            ".exec.bell": "Bell open_bell",
            ".exec.clock": "Agenda Alarm Clock FakeClock SYSTEM_CLOCK SystemClock",
            ".exec.context": "ExecContext",
            ".exec.counters": "Counters",
            ".exec.frames": "HostFrame WasmFrame",
            ".exec.host": "call_back check_interrupt suspend wait",
            ".exec.inject": "At Every Injector Never Randomly",
            ".exec.interrupt": "Attachment Interrupt",
            ".exec.poll": "Requests",
            ".exec.restart": "Entry Record",
            ".exec.shadow": "restore_stack_pointer stack_pointer",
            ".exec.state": (
                "Dropped Exited Failed Injected Interrupted OutOfSteps Outcome Preempted Returned State Status "
                "Suspended TimedOut Trapped Waiting is_restartable make_dropped make_exit"
            ),
            ".exec.wait": "Driver LONGEST Notifier ThreadDriver WaitSet Waker backoff",
            ".externs": "Func Global Memory Table arguments python_results value_in value_out",
            ".features": "Feature parse_features",
            ".hostabi": "CString ErrnoMap FuncIndex OutSpan ParamShape Pointer Ref ResultShape Scalar Shape Span flat",
            ".instances.budget": "Budget",
            ".instances.door": "Terms",
            ".instances.exception": "ExnInst TagInst WasmException",
            ".instances.func": "FuncHandle FuncInst HostFunc TailCall Unwind WasmFunc make_unwind",
            ".instances.instance": "Extern Instance",
            ".instances.memory": "MemInst",
            ".instances.objects": "Array Struct is_a",
            ".instances.small": "GlobalInst",
            ".instances.table": "TableInst",
            ".instantiation": "Instantiation begin_instantiation instantiate",
            ".limits": "Limits Total Totals",
            ".linking.imports": "ByType",
            ".linking.instantiate": "unshare",
            ".log": "Log",
            ".module": "Module",
            ".store": "Store",
            ".typedefs": "defined",
            ".types": (
                "ANYREF ARRAY ARRAYREF DefType EQREF EXN EXNREF EXTERNREF F32 F64 FUNC FUNCREF FuncType GlobalType "
                "I31 I31REF I32 I64 MemoryType STRUCT STRUCTREF TableType TagType V128:V128_TYPE ValType func_matches "
                "type_matches types_match"
            ),
            ".v128": "V128",
            ".values": (
                "I31Int M32 M64 Value f32_from_bits f32_from_python f32_to_bits f32_to_python f64_from_bits "
                "f64_to_bits to_python to_wasm"
            ),
        },
        __all__,
    )

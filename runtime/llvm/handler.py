"""What runs when an access meets a guard page: a handler of SIGSEGV, as IR (Linux on x86-64).

The handler takes a fault for its own only if the instruction is in code of ours and the address in a range that is
reserved for a guest's memory. Then it has the thread go on in `land` instead, on the same stack, which asks Python
(`faults`) where the function at fault returns to, and goes there with the status 1: the trap leaves the stack as any
other does. Every other fault goes to whoever had the signal before, as if nobody had come between.

`STATE` and `RECORD` are blocks of words that the handler finds its way by; nothing is baked into the code.
"""

from __future__ import annotations

from typing import Final

from .builder import PREAMBLE

# State: what there is of ours. Word offsets.
LAND: Final = 0
#: How many entries the two lists have, and where they begin: start and size, two words each.
CODES, CODES_AT = 1, 2
RANGES, RANGES_AT = 3, 4
#: `sigaction` and `raise`.
SIGACTION, RAISE = 5, 6
#: As in `abi`: functions of CPython.
ENSURE, RELEASE, NUMBER, CALL, DROP, FETCH = 7, 8, 9, 10, 11, 12
#: The Python function that finds the way out, and the code that takes it.
FINDER, GO = 13, 14
STATE_SIZE: Final = 16

#: A record: the state, then the action that was in force before, as `struct sigaction` has it: the function, 128 bytes
#: of mask, flags, and a word of the library's.
OLD: Final = 8
MASK: Final = 8
FLAGS: Final = 136
ACTION_SIZE: Final = 152
SIGINFO: Final = 4
ON_STACK: Final = 0x0800_0000
RESTART: Final = 0x1000_0000
NO_DEFER: Final = 0x4000_0000
RESET: Final = 0x8000_0000

#: What the handler leaves for `land`, word by word: registers as they were (see GREGS), where the fault was, the state,
#: an error of Python's on the way (three words); from LEAVE on what `land` is to go on with.
GREGS: Final = (
    (128, "rbx"), (120, "rbp"), (72, "r12"), (80, "r13"), (88, "r14"), (96, "r15"), (160, "rsp"), (168, "rip"),
)  # fmt: skip
ADDRESS: Final = 8
HOME: Final = 9
ERROR: Final = 10
LEAVE: Final = 16
AREA: Final = 24

#: Loads registers from the area that the first parameter points to, and goes on there with status 1:
#: rbx, rbp, r12–r15, then rcx, rsp and eax, and a jump to rcx.
GO_CODE: Final = bytes.fromhex("488b9f80000000488baf880000004c8ba7900000004c8baf980000004c8bb7a00000004c8bbfa8000000"
                               "488b8fb8000000488ba7b0000000b801000000ffe1")  # fmt: skip


def entry(record: int, fault: int) -> bytes:
    """The code that the system calls: it names the record, and goes on to `fault`."""
    return b"\x48\xb9" + record.to_bytes(8, "little") + b"\x48\xb8" + fault.to_bytes(8, "little") + b"\xff\xe0"


def _scan(name: str, count: int, at: int, what: str, found: str) -> str:
    """Blocks that look for the list's entry that `what` lies in."""
    return f"""
{name}:
  %{name}.np = getelementptr i64, ptr %state, i64 {count}
  %{name}.n = load volatile i64, ptr %{name}.np
  %{name}.ap = getelementptr i64, ptr %state, i64 {at}
  %{name}.a = load volatile ptr, ptr %{name}.ap
  br label %{name}.next
{name}.next:
  %{name}.i = phi i64 [0, %{name}], [%{name}.j, %{name}.on]
  %{name}.over = icmp uge i64 %{name}.i, %{name}.n
  br i1 %{name}.over, label %foreign, label %{name}.on
{name}.on:
  %{name}.j = add i64 %{name}.i, 1
  %{name}.e = getelementptr [2 x i64], ptr %{name}.a, i64 %{name}.i
  %{name}.s = load volatile i64, ptr %{name}.e
  %{name}.zp = getelementptr i64, ptr %{name}.e, i64 1
  %{name}.z = load volatile i64, ptr %{name}.zp
  %{name}.d = sub i64 {what}, %{name}.s
  %{name}.in = icmp ult i64 %{name}.d, %{name}.z
  br i1 %{name}.in, label %{found}, label %{name}.next
"""


def _kept() -> str:
    lines = []
    for place, (offset, name) in enumerate(GREGS):
        lines.append(f"""
  %{name}.p = getelementptr i8, ptr %context, i64 {offset}
  %{name}.v = load i64, ptr %{name}.p
  %{name}.k = getelementptr i64, ptr %area, i64 {place}
  store i64 %{name}.v, ptr %{name}.k""")
    return "".join(lines)


def _word(name: str, place: int, kind: str = "ptr") -> str:
    return f"  %{name}.at = getelementptr i64, ptr %state, i64 {place}\n  %{name} = load {kind}, ptr %{name}.at\n"


_FAULT = f"""
define void @fault(i32 %signal, ptr %info, ptr %context, ptr %record) nounwind "no-builtins" {{
start:
  %state = load ptr, ptr %record
  %code.p = getelementptr i8, ptr %info, i64 8
  %code = load i32, ptr %code.p
  %real = icmp sgt i32 %code, 0
  %ip.p = getelementptr i8, ptr %context, i64 168
  %ip = load i64, ptr %ip.p
  %where.p = getelementptr i8, ptr %info, i64 16
  %where = load i64, ptr %where.p
  br i1 %real, label %codes, label %foreign
{_scan("codes", CODES, CODES_AT, "%ip", "ranges")}
{_scan("ranges", RANGES, RANGES_AT, "%where", "ours")}
ours:
  %sp.p = getelementptr i8, ptr %context, i64 160
  %sp = load i64, ptr %sp.p
  %below = sub i64 %sp, {128 + 8 * AREA}
  %place = and i64 %below, -16
  %area = inttoptr i64 %place to ptr
{_kept()}
  %address.k = getelementptr i64, ptr %area, i64 {ADDRESS}
  store i64 %where, ptr %address.k
  %home.k = getelementptr i64, ptr %area, i64 {HOME}
  store ptr %state, ptr %home.k
  %error.k = getelementptr i64, ptr %area, i64 {ERROR}
  store i64 0, ptr %error.k
  %di.p = getelementptr i8, ptr %context, i64 104
  store i64 %place, ptr %di.p
  %return = sub i64 %place, 8
  store i64 %return, ptr %sp.p
  %land = load i64, ptr %state
  store i64 %land, ptr %ip.p
  ret void
foreign:
  %old = getelementptr i8, ptr %record, i64 {OLD}
  %function = load i64, ptr %old
  %handled = icmp ugt i64 %function, 1
  br i1 %handled, label %chain, label %none
none:
  %ignored = icmp eq i64 %function, 1
  %sent = xor i1 %real, true
  %nothing = and i1 %ignored, %sent
  br i1 %nothing, label %done, label %default
default:
{_word("sigaction", SIGACTION)}
  call i32 %sigaction(i32 %signal, ptr %old, ptr null)
  br i1 %real, label %done, label %again
again:
{_word("raise", RAISE)}
  call i32 %raise(i32 %signal)
  br label %done
chain:
  %flags.p = getelementptr i8, ptr %old, i64 {FLAGS}
  %flags = load i32, ptr %flags.p
  %reset.bit = and i32 %flags, {RESET}
  %reset = icmp ne i32 %reset.bit, 0
  br i1 %reset, label %once, label %pass
once:
  store i64 0, ptr %old
  br label %pass
pass:
  %next = inttoptr i64 %function to ptr
  %long.bit = and i32 %flags, {SIGINFO}
  %long = icmp ne i32 %long.bit, 0
  br i1 %long, label %three, label %one
three:
  call void %next(i32 %signal, ptr %info, ptr %context)
  br label %done
one:
  call void %next(i32 %signal)
  br label %done
done:
  ret void
}}
"""

_LAND = f"""
define void @land(ptr %area) nounwind "no-builtins" {{
start:
  %home = getelementptr i64, ptr %area, i64 {HOME}
  %state = load ptr, ptr %home
{_word("ensure", ENSURE)}{_word("release", RELEASE)}{_word("number", NUMBER)}{_word("call", CALL)}{_word("drop", DROP)}
{_word("fetch", FETCH)}{_word("finder", FINDER)}{_word("go", GO)}
  %args = alloca [2 x ptr]
  %first = getelementptr ptr, ptr %args, i64 1
  %lock = call i32 %ensure()
  br label %ask
ask:
  %tries = phi i32 [0, %start], [%count, %failed]
  %count = add i32 %tries, 1
  %place = ptrtoint ptr %area to i64
  %arg = call ptr %number(i64 %place)
  %empty = icmp eq ptr %arg, null
  br i1 %empty, label %failed, label %asked
asked:
  store ptr %arg, ptr %first
  %result = call ptr %call(ptr %finder, ptr %first, i64 {1 - (1 << 63)}, ptr null)
  call void %drop(ptr %arg)
  %raised = icmp eq ptr %result, null
  br i1 %raised, label %failed, label %found
failed:
  %e0 = getelementptr i64, ptr %area, i64 {ERROR}
  %e1 = getelementptr i64, ptr %area, i64 {ERROR + 1}
  %e2 = getelementptr i64, ptr %area, i64 {ERROR + 2}
  call void %fetch(ptr %e0, ptr %e1, ptr %e2)
  %enough = icmp ugt i32 %count, 100
  br i1 %enough, label %stop, label %ask
stop:
  call void @llvm.trap()
  unreachable
found:
  call void %drop(ptr %result)
  call void %release(i32 %lock)
  call void %go(ptr %area)
  unreachable
}}
declare void @llvm.trap()
"""


def handler_ir() -> str:
    """`fault`, which is the handler, and `land`, where a thread goes on that has met a guard page."""
    return PREAMBLE + _FAULT + _LAND

"""Code around tail calls: whoever was called in place of another is entered when that one has left the stack.

A jump would be quicker by some nanoseconds. LLVM makes one for sure only where a call says `musttail`, and ends the
process where it can't: it depends on the machine, on the calling convention and on how many results there are. A return
and a call are the same everywhere, and only functions with tail calls pay for them.
"""

from __future__ import annotations

from . import abi
from .builder import INVARIANT, Builder, return_type


def passing(name: str, key: str) -> str:
    """`name`: takes the arguments of a tail call out of the room, where they lie as the signature `key` says, and calls
    the code."""
    b = Builder()
    types, results = abi.signature_of(key)
    code = b.ours("ptr", "%inst", abi.TAIL_CODE)
    room = b.ours("ptr", "%inst", abi.ARGS, INVARIANT)
    args = []
    offset = 0
    for type_ in types:
        args.append(f", {type_} {b.ours(type_, room, offset)}")
        offset += abi.size_of(type_)
    returned = return_type(results)
    given = "".join(args)
    b.emit(f"ret {returned} {b.value(f'tail call {returned} {code}(ptr %inst, i64 %given{given})')}")
    return _text(f"define internal {returned} {name}(ptr %inst, i64 %given)", b)


def chain(suffix: str, returned: str) -> str:
    """`a<suffix>`: makes the tail call under way, and those that come of it, until one has returned."""
    b = Builder()
    b.jump("again")
    b.start("again")
    way = b.ours("ptr", "%inst", abi.TAIL_WAY)
    made = b.value(f"call {returned} {way}(ptr %inst, i64 %given)")
    b.emit(f"br i1 {_instead(b, returned, made)}, label %again, label %over")
    b.start("over")
    b.emit(f"ret {returned} {made}")
    return _text(f"define internal {returned} @a{suffix}(ptr %inst, i64 %given)", b)


def entry(index: int, returned: str, params: str) -> str:
    """`f<index>`: the function as others call it. `params` as a definition has them."""
    b = Builder()
    made = b.value(f"call {returned} @t{index}(ptr %inst, i64 %given{params})")
    b.emit(f"br i1 {_instead(b, returned, made)}, label %instead, label %over")
    b.start("instead")
    last = b.value(f"call {returned} @a{index}(ptr %inst, i64 %given)")
    b.emit(f"ret {returned} {last}")
    b.start("over")
    b.emit(f"ret {returned} {made}")
    return _text(f"define dso_local {returned} @f{index}(ptr %inst, i64 %given{params})", b)


def _instead(b: Builder, returned: str, made: str) -> str:
    status = made if returned == "i32" else b.value(f"extractvalue {returned} {made}, 0")
    return b.value(f"icmp eq i32 {status}, {abi.INSTEAD}")


def _text(head: str, b: Builder) -> str:
    return "\n".join([head + " #0 {\nstart:", *b.lines, "}\n"])

"""proc_exit, proc_raise."""

from __future__ import annotations

from hostsdk import u8, u16, u32

from ..errno import invalid
from ..module import host
from ..state import Ctx

#: The witx enum `signal`, from number 1.
_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ "
    "VTALRM PROF WINCH POLL PWR SYS"
).split()
#: Signals that a process survives by default.
_HARMLESS = {"CHLD", "CONT", "URG", "WINCH", "STOP", "TSTP", "TTIN", "TTOU"}


@host.function
def proc_exit(ctx: Ctx, code: u32) -> None:
    """End the execution with an exit code."""
    ctx.exit(code)


@host.function
def proc_raise(ctx: Ctx, signal: u8) -> u16:
    """What a signal does by default: end the execution with 128 and the signal's number as a shell reports it, or
    nothing. A guest can't be stopped by itself: nobody could tell it to go on."""
    if signal > len(_SIGNALS):
        raise invalid(f"there is no signal {signal}")
    if signal and _SIGNALS[signal - 1] not in _HARMLESS:
        ctx.exit(128 + signal)
    return 0

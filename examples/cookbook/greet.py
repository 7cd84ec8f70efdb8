"""A string for the guest, in memory that the guest's own malloc gives."""

from __future__ import annotations

from pathlib import Path

from hostsdk import Context, FuncRef, HostModule, Instance, Steps, Str, call, u32

# [functions]
lib = HostModule("lib")
malloc = lib.guest("malloc", FuncRef[[u32], u32])


@lib.restartable
def greet(ctx: Context, name: Str) -> Steps[u32]:
    text = f"hello, {name}".encode() + b"\0"
    addr = yield from call(malloc, len(text))
    if addr:
        ctx.memory.write(addr, text)
    return addr


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [lib]) as inst:
        addr = inst.exports.hello()
        print(hex(addr), inst.memory.read(addr, 13))


if __name__ == "__main__":
    main()

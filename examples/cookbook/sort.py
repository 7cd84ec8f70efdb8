"""C's qsort: a generator that calls the guest's comparator, which may itself wait."""

from __future__ import annotations

from pathlib import Path

from hostsdk import Context, FuncRef, HostModule, Instance, Ptr, Steps, call, i32, sort_with, u8, u32

# [functions]
lib = HostModule("lib")


@lib.restartable
def qsort(ctx: Context, base: Ptr[u8], n: u32, size: u32, cmp: FuncRef[[u32, u32], i32]) -> Steps[None]:
    rows = ctx.memory.rows(base, n, size)
    order = yield from sort_with(lambda i, j: call(cmp, rows.addr(i), rows.addr(j)), n)
    rows.permute(order)


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [lib]) as inst:
        print("comparisons:", inst.exports.sort_numbers())
        print("numbers:", [inst.exports.number(i) for i in range(10)])


if __name__ == "__main__":
    main()

"""Sleep, in the two styles of a restartable function."""

from __future__ import annotations

from pathlib import Path

from hostsdk import BlockingContext, Context, HostModule, Instance, Steps, sleep, u32

# [functions]
bed = HostModule("bed")


@bed.restartable
def nap(ctx: BlockingContext, ms: u32) -> None:
    ctx.sleep(ms / 1000)


@bed.restartable
def doze(ctx: Context, ms: u32) -> Steps[None]:
    yield from sleep(ms / 1000)


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [bed]) as inst:
        print("naps:", inst.exports.night(3, 10))
        try:
            inst.call("night", 1, 3_600_000, timeout=0.05)
        except TimeoutError as error:
            print(error)


if __name__ == "__main__":
    main()

"""A person decides: the embedder saves the execution, and answers days later, in another process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import attrs

from hostsdk import (
    BlockingContext,
    Execution,
    HostModule,
    Instance,
    Module,
    Question,
    Returned,
    Str,
    Suspended,
    Unanswered,
    i32,
)


# [functions]
@attrs.frozen
class Approval(Question[i32]):
    """Whether the guest may go on: 1 for yes, 0 for no."""

    text: str


human = HostModule("human")


@human.restartable
def approve(ctx: BlockingContext, text: Str) -> i32:
    return ctx.ask(Approval(text))


# [monday]


def ask(guest: Path, office: Path) -> None:
    """Run the guest until it asks, and put it aside."""
    with Instance.from_file(guest, [human]) as inst:
        execution = inst.start("pay", 250)
        match execution.run():
            case Suspended(reason=Approval(text)):
                print("asked:", text)
                office.write_bytes(execution.save())
                execution.drop()


# [thursday]


def answer(guest: Path, office: Path) -> None:
    """Go on with what was put aside."""
    execution = Execution.load(office.read_bytes(), Module.from_file(guest), [human], trusted=True)
    with execution.instance:
        execution.answer(1)
        match execution.run():
            case Returned(values):
                print("paid:", *values)


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with tempfile.TemporaryDirectory() as room:
        office = Path(room, "execution")
        ask(guest, office)
        answer(guest, office)
    with Instance.from_file(guest, [human]) as inst:
        try:
            inst.exports.pay(250)
        except Unanswered as error:
            print(error)


if __name__ == "__main__":
    main()

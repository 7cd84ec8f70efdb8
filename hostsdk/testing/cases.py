"""A run under faults as a short text, so that a failed one can be had again: `save@7`, `drop-restart@3-9/scheduled`."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Self

import attrs

from .._engine import At, Every, Injector, Never, Randomly
from .driving import Callbacks, Setting
from .faults import Kind

_FORM = re.compile(r"(?P<kinds>[a-z-]+)@(?P<schedule>none|every\d+|seed\d+x[0-9.]+|\d+(?:-\d+)*)(?P<setting>(?:/\w+)*)")
#: Kinds as a person writes them.
NAMES = {kind.value: kind for kind in Kind} | {"scheduled": Kind.CALLBACKS}
#: Those after which a call goes on, and that need no other process.
LASTING = (Kind.RESTART, Kind.INTERRUPT, Kind.CALLBACKS, Kind.SAVE)


def kinds_of(names: Sequence[str | Kind]) -> tuple[Kind, ...]:
    """Kinds by their names. Raises ValueError with the names that there are."""
    try:
        return tuple(name if isinstance(name, Kind) else NAMES[name] for name in names)
    except KeyError as error:
        raise ValueError(f"no kind of fault {error}; there are {', '.join(sorted(NAMES))}") from None


@attrs.frozen
class Case:
    """What a run is made under: which check points are hit, what is done there, and the setting.

    A run under a case is the same each time. `Case.parse(str(case)) == case`.
    """

    schedule: Injector
    #: What the first hit is, the second, and so on; the last holds for all that follow.
    kinds: tuple[Kind, ...] = (Kind.RESTART,)
    setting: Setting = attrs.field(factory=Setting)

    def __str__(self) -> str:
        parts = [f"{'-'.join(kind.value for kind in self.kinds)}@{_schedule_text(self.schedule)}"]
        if self.setting.callbacks == "scheduled":
            parts.append("scheduled")
        if not self.setting.in_place:
            parts.append("suspended")
        return "/".join(parts)

    def cut(self, hits: int) -> Self:
        """The same for a run with so many hits: without the kinds that it doesn't come to."""
        return attrs.evolve(self, kinds=self.kinds[: max(hits, 1)])

    @classmethod
    def parse(cls, text: str) -> Self:
        """The case that a text stands for. Raises ValueError."""
        found = _FORM.fullmatch(text)
        words = found["setting"].split("/")[1:] if found is not None else []
        if found is None or not {"scheduled", "suspended"} >= set(words):
            raise ValueError(f"{text!r} is no case; write one as it was reported, such as save@7 or drop-restart@3-9")
        schedule = _schedule(found["schedule"])
        kinds = kinds_of(found["kinds"].split("-"))
        callbacks: Callbacks = "scheduled" if "scheduled" in words else "nested"
        return cls(schedule, kinds, Setting(callbacks, "suspended" not in words))


def mixed(seed: int, kinds: Sequence[Kind] = LASTING) -> tuple[Kind, ...]:
    """Kinds at random, those of a seed."""
    return tuple(random.Random(seed).choices(list(kinds), k=50))


def _schedule_text(schedule: Injector) -> str:
    match schedule:
        case Never():
            return "none"
        case Every(k):
            return f"every{k}"
        case At(checks):
            return "-".join(map(str, sorted(checks)))
        case Randomly(seed, share):
            return f"seed{seed}x{share}"
    return repr(schedule)


def _schedule(text: str) -> Injector:
    if text == "none":
        return Never()
    if text.startswith("every"):
        return Every(max(1, int(text.removeprefix("every"))))
    if text.startswith("seed"):
        seed, _, share = text.removeprefix("seed").partition("x")
        return Randomly(int(seed), float(share))
    return At(frozenset(map(int, text.split("-"))))

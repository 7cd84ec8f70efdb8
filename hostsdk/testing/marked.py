"""`@pytest.mark.restart(…)`: a test's body, or the scenario that it returns, under every schedule that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from .._engine import SnapshotError
from .cases import Case, kinds_of
from .driving import Setting
from .explore import KINDS, Exploration, Report
from .faults import Kind
from .report import InjectionFailure
from .running import run
from .scenario import Scenario
from .trial import Body, Trial, run_body

MODES = ("exhaustive", "every", "pairs", "random", "mixed")


class MarkError(Exception):
    """The mark is not used as it is meant to be; the message says how it is."""


@attrs.frozen
class Options:
    """The mark's arguments.

    `modes`: which check points are hit. `kinds`: what is done there. `every`: the k of "every", one or several.
    `most`: pairs at most. `seeds`, `share`: for "random" and "mixed". `scheduled`: also with all callbacks on the run
    loop. `suspended`: also with all waits off the stack. `saves`, `catches`, `timed`, `steady`, `threads`: as for a
    `Scenario`.
    """

    modes: tuple[str, ...] = ("exhaustive",)
    kinds: tuple[Kind, ...] = KINDS
    every: tuple[int, ...] = (1, 2, 3)
    most: int = 200
    seeds: int = 10
    share: float = 0.2
    scheduled: bool = False
    suspended: bool = False
    saves: bool = True
    catches: bool = False
    timed: bool = True
    steady: bool = True
    threads: bool = False

    @classmethod
    def of(cls, args: Sequence[object], kwargs: dict[str, Any]) -> Options:
        """The options of a mark. Raises MarkError."""
        modes = tuple(map(str, args)) or ("exhaustive",)
        wrong = [mode for mode in modes if mode not in MODES]
        if wrong:
            raise MarkError(f"restart: no mode {wrong[0]!r}; there are {', '.join(MODES)}")
        given = dict(kwargs)
        try:
            if "kinds" in given:
                kinds = given["kinds"]
                given["kinds"] = kinds_of([kinds] if isinstance(kinds, (str, Kind)) else list(kinds))
            if isinstance(given.get("every"), int):
                given["every"] = (given["every"],)
            if "every" in given and not args:
                modes = ("every",)
            return cls(modes, **given)
        except (TypeError, ValueError) as error:
            raise MarkError(f"restart: {error}") from None

    @property
    def settings(self) -> list[Setting]:
        """What runs are made under besides their faults."""
        settings = [Setting()]
        if self.scheduled:
            settings.append(Setting("scheduled"))
        if self.suspended:
            settings += [Setting(each.callbacks, in_place=False) for each in settings]
        return settings


def explore_test(
    call: Callable[[], object], trial: Trial, name: str, options: Options, seed: str | None = None
) -> list[Report]:
    """Run a test under the mark's schedules, or under the one that `seed` stands for.

    Raises MarkError, InjectionFailure with a report that can be read without a traceback, and what the test raises.
    """
    trial.threads = options.threads
    body = Body(call, trial, name, options.saves, options.catches, options.timed, options.steady)
    runner: Any = run_body
    try:
        exploration = Exploration(body, options.kinds, options.settings, runner)
        if isinstance(body.given, Scenario):
            scenario = attrs.evolve(body.given, name=name)
            exploration = Exploration(scenario, options.kinds, options.settings, run)
        elif not exploration.checks:
            raise MarkError(
                "restart: no call was made that could be interrupted: make it by `fake_guest` or `guest_program`, or "
                "return a Scenario"
            )
        return _reports(exploration, options, seed)
    except InjectionFailure as failure:
        raise InjectionFailure(_report(failure), failure.hits, failure.case) from None
    except SnapshotError as error:
        error.add_note("it can't be saved here: leave saving out by saves=False")
        raise


def _reports(exploration: Exploration, options: Options, seed: str | None) -> list[Report]:
    if seed is not None:
        return [exploration.under(Case.parse(seed))]
    seeds: Iterable[int] = range(options.seeds)
    run_mode: dict[str, Callable[[], Report]] = {
        "exhaustive": exploration.exhaustive,
        "every": lambda: exploration.every(*options.every),
        "pairs": lambda: exploration.pairs(options.most),
        "random": lambda: exploration.random(seeds, options.share),
        "mixed": lambda: exploration.mixed(seeds, options.share),
    }
    return [run_mode[mode]() for mode in options.modes]


def _report(failure: InjectionFailure) -> str:
    return f"not restart-safe: {failure}"

"""`explore`: a scenario under every schedule of faults."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import attrs

from .._engine import At, Every, Injector, Never, Randomly
from .cases import Case, mixed
from .driving import Callbacks, Setting
from .faults import Kind
from .report import Ending, Hit, InjectionFailure
from .running import Run, run
from .scenario import Scenario


class Subject(Protocol):
    """What is run under faults: a scenario, or a test's body."""

    @property
    def name(self) -> str: ...
    @property
    def saves(self) -> bool: ...
    @property
    def timed(self) -> bool: ...
    @property
    def steady(self) -> bool: ...


#: One run: the subject, the schedule, what is done at each hit, and the setting.
Runner: TypeAlias = Callable[[Any, Injector, Sequence[Kind], Setting], Run]
#: Schedules for a number of check points.
_Schedules: TypeAlias = Callable[[int], Sequence[Injector]]
#: What is done where nothing else is asked for: everything that needs no other process.
KINDS = (Kind.RESTART, Kind.INTERRUPT, Kind.CALLBACKS, Kind.SAVE, Kind.DROP, Kind.THROW)


@attrs.define
class Report:
    """What has been done: `runs` runs, in which `hits` check points were hit."""

    runs: int = 0
    hits: int = 0
    #: Schedules that hit nothing.
    missed: list[str] = attrs.field(factory=list)

    def _add(self, run: Run, schedule: Injector) -> None:
        self.runs += 1
        self.hits += len(run.hits)
        if not run.hits:
            self.missed.append(str(schedule))


class Exploration:
    """A scenario and its undisturbed runs. Each method runs it under a family of schedules, with every kind of fault
    and in every setting, and raises InjectionFailure at the first difference."""

    def __init__(
        self, scenario: Subject, kinds: Sequence[Kind], settings: Sequence[Setting], runner: Runner = run
    ) -> None:
        self.scenario = scenario
        self._run = runner
        self.kinds = tuple(kind for kind in kinds if scenario.saves or not kind.saves)
        self.undisturbed: dict[Setting, Ending] = {}
        for setting in settings:
            self.undisturbed[setting] = runner(scenario, Never(), (Kind.RESTART,), setting).ending
        self._same_everywhere()

    @property
    def checks(self) -> int:
        """Check points of an undisturbed run; the most, where settings differ."""
        return max(ending.checks for ending in self.undisturbed.values())

    def _same_everywhere(self) -> None:
        first, *others = self.undisturbed.items()
        for setting, ending in others:
            lines = first[1].differences(ending, timed=self.scenario.timed)
            if lines:
                raise InjectionFailure(
                    f"{self.scenario.name}: without any fault, {setting} gives something else than {first[0]}\n"
                    + "\n".join(lines)
                )

    # Schedules -----------------------------------------------------------------------------------------------------

    def none(self) -> Report:
        """No fault at all: running it again gives the same."""
        return self._all(lambda checks: [Never()], kinds=[(Kind.RESTART,)])

    def every(self, *steps: int) -> Report:
        """Every k-th check point, for each of `steps`."""
        return self._all(lambda checks: [Every(k) for k in steps])

    def exhaustive(self) -> Report:
        """Each check point in turn, one fault a run. Up to the fault a run is like the undisturbed one: where it
        doesn't come to the check point, the scenario isn't the same each time: a failure, unless it is not `steady`."""
        report = self._all(lambda checks: [At({i}) for i in range(1, checks + 1)])
        if report.missed and self.scenario.steady:
            some = ", ".join(report.missed[:3])
            raise InjectionFailure(
                f"{self.scenario.name} isn't the same each time: {len(report.missed)} of its check points never came "
                f"again, {some} among them"
            )
        return report

    def pairs(self, most: int = 200, seed: int = 0) -> Report:
        """Two faults a run; `most` pairs, chosen by `seed`, where there are more. After a drop or throw the second is
        a restart, in what cleans up."""

        def chosen(checks: int) -> list[Injector]:
            every = list(itertools.combinations(range(1, checks + 1), 2))
            if len(every) > most:
                every = random.Random(seed).sample(every, most)
            return [At(set(pair)) for pair in every]

        return self._all(chosen)

    def random(self, seeds: Iterable[int] = range(10), share: float = 0.2) -> Report:
        """Check points hit at random, each with probability `share`; a run for each seed."""
        return self._all(lambda checks: [Randomly(seed, share) for seed in seeds])

    def mixed(self, seeds: Iterable[int] = range(10), share: float = 0.2) -> Report:
        """As `random`, but each hit is of another kind, among those after which the call goes on."""
        lasting = [kind for kind in self.kinds if not kind.ends]
        report = Report()
        for seed in seeds:
            self._run_all(report, Randomly(seed, share), mixed(seed, lasting))
        return report

    def under(self, case: Case) -> Report:
        """One run, under `case`; in a setting of its own, if need be."""
        if case.setting not in self.undisturbed:
            self.undisturbed[case.setting] = self._run(self.scenario, Never(), (Kind.RESTART,), case.setting).ending
        report = Report()
        self._one(report, case.schedule, case.kinds, case.setting, self.undisturbed[case.setting])
        return report

    # Inside --------------------------------------------------------------------------------------------------------

    def _all(self, schedules: _Schedules, kinds: Sequence[tuple[Kind, ...]] | None = None) -> Report:
        report = Report()
        for kind in kinds or [(kind, Kind.RESTART) if kind.ends else (kind,) for kind in self.kinds]:
            for setting, ending in self.undisturbed.items():
                for schedule in schedules(ending.checks):
                    self._one(report, schedule, kind, setting, ending)
        return report

    def _run_all(self, report: Report, schedule: Injector, kinds: tuple[Kind, ...]) -> None:
        for setting, ending in self.undisturbed.items():
            self._one(report, schedule, kinds, setting, ending)

    def _one(
        self, report: Report, schedule: Injector, kinds: tuple[Kind, ...], setting: Setting, ending: Ending
    ) -> None:
        case = Case(schedule, tuple(kinds), setting)
        try:
            found = self._run(self.scenario, schedule, kinds, setting)
        except InjectionFailure as failure:
            raise self._failure([str(failure)], case, failure.hits) from None
        except Exception as error:
            error.add_note(self._told([], case, ()))
            raise
        report._add(found, schedule)
        if kinds[0].ends and found.hits:
            return
        lines = ending.differences(found.ending, timed=self.scenario.timed)
        if lines:
            raise self._failure(lines, case, found.hits)

    def _failure(self, lines: list[str], case: Case, hits: tuple[Hit, ...]) -> InjectionFailure:
        case = case.cut(len(hits))
        return InjectionFailure(self._told(lines, case, hits), hits, str(case))

    def _told(self, lines: list[str], case: Case, hits: tuple[Hit, ...]) -> str:
        names = ", ".join(dict.fromkeys(kind.value for kind in case.kinds))
        checks = self.undisturbed[case.setting].checks
        told = [f"{self.scenario.name}: {names} under {case}, of {checks} check points ({case.setting})"]
        if lines:
            told += ["what differed:", *_indented(lines)]
        if hits:
            told += ["where:", *_indented(map(str, hits))]
        return "\n".join([*told, f'this run again: --restart-seed={case}, or under(Case.parse("{case}"))'])


def _indented(texts: Iterable[str]) -> list[str]:
    return [f"  {line}" for text in texts for line in text.splitlines()]


def explore(
    scenario: Scenario,
    *,
    kinds: Iterable[Kind] = KINDS,
    callbacks: Iterable[Callbacks] = ("nested", "scheduled"),
    in_place: Iterable[bool] = (True,),
) -> Exploration:
    """Run `scenario` without faults, in each setting, and give what runs it with them:

        explore(scenario).exhaustive()

    Raises InjectionFailure where the settings already differ: nested callbacks and scheduled ones, waits in place and
    waits that leave the stack.
    """
    return Exploration(scenario, tuple(kinds), list(_settings(tuple(callbacks), tuple(in_place))))


def _settings(callbacks: tuple[Callbacks, ...], in_place: tuple[bool, ...]) -> Iterator[Setting]:
    for form in callbacks:
        for place in in_place:
            yield Setting(form, place)

"""Real programs interrupted everywhere, for as long as one likes:

    python -m tests.llvm.soak --minutes 30 --seed 7

C programs (a digest, sorting with callbacks, matrices, recursion, calls through a table, a bytecode machine, floats)
and QuickJS. Each run draws which functions have machine code, how good it is and when it takes over, and a schedule:
each check point once, in turn; every k-th; at random; or an interrupt from another thread, at any moment. On the way a
run is saved and loaded, with other functions in machine code from there on, or it is finished by another process.
Whatever comes, it has to end as it ends when nobody interrupts it: the result, the output, memories and globals.

At the end it says how many of the places where frames can be suspended (see `runtime.validate.layout`) frames were
suspended at, and at how many of them machine code went on. A difference is told with the run that shows it; the exit
status is 1 if there was one. `--first 300` begins with that run, to see it again.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator

import attrs

from hostsdk import Engine, EngineConfig, Execution, Interrupt, Suspended
from runtime import At, Every, FakeClock, Injector, Module, Randomly, WasmFrame
from runtime.llvm.build import build
from runtime.llvm.code import ModuleCode
from runtime.llvm.product import Order, Product
from runtime.llvm.tier import NativeTier, Policy
from tests.llvm.soak_programs import KERNELS, QUICKJS, Program
from tests.support.native import engine
from tests.support.running import Gaps

from .soak_away import Away, Ended


@attrs.frozen
class Run:
    """One run: all that is drawn for it follows from the seed."""

    program: Program
    seed: str
    #: What the program is called with; None for much.
    amount: int | None = None
    #: What is hit, where the seed doesn't decide.
    injector: Injector | None = None
    #: Ends in another process.
    away: bool = False
    #: Interrupted by a thread, at any moment.
    threaded: bool = False

    def __str__(self) -> str:
        how = "finished elsewhere" if self.away else "interrupted by a thread" if self.threaded else "finished here"
        what = f"{self.program.name}({self.amount})"
        return f"{what}, {self.injector or 'on its own schedule'}, {how}, seed {self.seed!r}"


class Points:
    """The places of a program where frames can be suspended, and what has been seen of them."""

    def __init__(self, program: Program) -> None:
        self._program = program
        #: Frames were suspended there; machine code went on from there.
        self.hit: set[int] = set()
        self.machine: set[int] = set()

    @functools.cached_property
    def functions(self) -> list[dict[int, str]]:
        """Of each function, the kinds of its places."""
        raw: Module = self._program.module()._raw
        bodies = [raw.body(code.index) for code in raw.decls.codes]
        return [{pc: layout.kind for pc, layout in body.by_pc.items()} for body in bodies]

    @property
    def count(self) -> int:
        """How many places there are."""
        return sum(map(len, self.functions))

    @property
    def reached(self) -> int:
        """Places in functions in which anything was suspended."""
        return sum([len(points) for points in self.functions if points.keys() & self.hit])

    def __str__(self) -> str:
        def share(part: int, whole: int) -> str:
            return f"{part} of {whole} ({part / whole if whole else 0:.1%})"

        suspended = [points for points in self.functions if points.keys() & self.hit]
        missed = Counter([kind for points in suspended for pc, kind in points.items() if pc not in self.hit])
        left = ", ".join([f"{count} {kind}" for kind, count in sorted(missed.items())])
        return (
            f"resume points hit: {share(len(self.hit), self.count)}, "
            f"{share(len(self.hit), self.reached)} in functions that were suspended; "
            f"gone on with in machine code: {share(len(self.machine), self.count)}"
            + (f"; not hit there: {left}" if left else "")
        )


class Soak:
    """Runs, and what was seen in them."""

    def __init__(self) -> None:
        self.away = Away()
        self.points: dict[str, Points] = {}
        self.seconds: dict[str, float] = {}
        self.runs = self.suspensions = 0
        self._expected: dict[tuple[str, int | None], Ended] = {}

    def play(self, run: Run) -> str | None:
        """One run; None, or what was wrong with it."""
        expected = self.expected(run.program, run.amount)
        group, begun = run.program.group, time.monotonic()
        if group not in self.points:
            self.points[group] = Points(run.program)
        self.runs += 1
        player = Player(random.Random(run.seed), run, self.points[group])
        ended = player.play(self.away if run.away else None)
        self.suspensions += player.suspensions
        self.seconds[group] = self.seconds.get(group, 0) + time.monotonic() - begun
        return None if ended == expected else f"{run}: {ended} instead of {expected}"

    def report(self) -> str:
        """What was seen."""
        lines = [f"{group}, {self.seconds[group]:.0f} s: {points}" for group, points in self.points.items()]
        return "\n".join([*lines, f"{self.runs} runs, {self.suspensions} suspensions"])

    def expected(self, program: Program, amount: int | None) -> Ended:
        """How it ends when nobody interrupts it: on the interpreter, or where it has much to do in machine code."""
        key = (program.name, amount)
        if key not in self._expected:
            much, clock = amount is None and program is not QUICKJS, FakeClock()
            alone = engine(clock=clock) if much else Engine(EngineConfig(tier="interpreter", clock=clock))
            out = bytearray()
            execution = program.start(alone, out, amount)
            outcome = execution.run()
            self._expected[key] = Ended.of(outcome, execution, out)
        return self._expected[key]


@attrs.define
class Player:
    """Takes one execution through a run."""

    draw: random.Random
    run: Run
    points: Points
    suspensions: int = 0
    _seen: set[int] = attrs.field(factory=set)

    def play(self, away: Away | None) -> Ended:
        """From the beginning to the end."""
        draw, program, out = self.draw, self.run.program, bytearray()
        execution = program.start(self.engine(), out, self.run.amount)
        return self.go_on(execution, out, away, draw.choice((0, 0, 1, 2)) if away is None else draw.randint(1, 12))

    def engine(self) -> Engine:
        """An engine with some functions in machine code."""
        return drawn(self.draw, self.run.program is QUICKJS)

    def go_on(self, execution: Execution, out: bytearray, away: Away | None, left: int) -> Ended:
        """To the end, by so many savings and loadings, or after so many suspensions in another process."""
        draw, run = self.draw, self.run
        injector = None if run.threaded else run.injector or schedule(draw, run.program is QUICKJS)
        inject(execution, injector)
        interrupt = Interrupt() if run.threaded else None
        with pester(interrupt, draw.random()):
            while isinstance(outcome := execution.run(interrupt=interrupt), Suspended):
                self.suspensions += 1
                self.note(execution)
                if away is not None:
                    left -= 1
                    if not left:
                        self.look(execution)
                        ended, hit, machine = away.finish(run, execution.save())
                        self.points.hit |= hit
                        self.points.machine |= machine
                        return attrs.evolve(ended, out=bytes(out) + ended.out)
                elif left and draw.random() < 0.2:
                    left -= 1
                    self.look(execution)
                    execution = run.program.load(execution.save(), self.engine(), out)
                    inject(execution, injector)
        self.look(execution)
        return Ended.of(outcome, execution, out)

    def note(self, execution: Execution) -> None:
        """Where the frames are suspended."""
        frames = [frame.pc for frame in execution._context.frames if isinstance(frame, WasmFrame)]
        self.points.hit.update(frames)
        self._seen.update(frames)

    def look(self, execution: Execution) -> None:
        """Where machine code went on."""
        tier = execution.instance._store.engine.tier
        if isinstance(tier, NativeTier):
            made = tier.code_of(execution.instance._raw.module).points
            self.points.machine |= {pc for pc in self._seen if made.get(pc)}
        self._seen.clear()


class Remembering:
    """Makes each function's code once, for all runs: what it is made of doesn't depend on them."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, int | tuple[int, int]], Product] = {}

    def order(self, code: ModuleCode, order: Order) -> None:
        """Carry out an order."""
        layout = code.base().layout
        lacking = code.lacking()
        if lacking:
            code.add(build(layout, Order(order.level, (), (), lacking)))
        parts: list[tuple[int | tuple[int, int], Order]] = []
        parts += [(index, Order(order.level, (index,))) for index in order.functions]
        parts += [(point, Order(order.level, (), (point,))) for point in order.points]
        for part, single in parts:
            key = (code.module.hash, order.level, part)
            if key not in self._made:
                self._made[key] = build(layout, single)
            code.add(self._made[key])


REMEMBERING = Remembering()


def inject(execution: Execution, injector: Injector | None) -> None:
    execution._context.requests.injector = injector


def drawn(draw: random.Random, large: bool) -> Engine:
    """An engine in which each function's tier is drawn, and when code takes over."""
    share = draw.choice((0.1, 0.3, 0.6, 0.9, 1.0))
    salt = draw.random()
    # The better code of the largest functions takes seconds, for each place where it may go on.
    policy = Policy(
        calls=draw.randint(1, 5), turns=draw.randint(1, 9), resumes=draw.choice((1, 5, 50) if large else (1, 2, 5)),
        levels=(0,) if large else draw.choice(((0,), (0,), (2,))), at_once=draw.random() < 0.5,
    )  # fmt: skip
    return engine(
        lambda index: random.Random(f"{salt} {index}").random() < share,
        policy=policy, maker=REMEMBERING, clock=FakeClock(),
    )  # fmt: skip


def schedule(draw: random.Random, large: bool) -> Injector:
    """Where to interrupt."""
    if large:
        choices: list[Injector] = [Every(1), *[Gaps(draw.randrange(1 << 30), mean) for mean in (10, 40, 200, 1000)]]
    else:
        choices = [Every(draw.randint(1, 9)), Randomly(draw.randrange(1 << 30), draw.choice((0.05, 0.3, 0.8)))]
    return draw.choice(choices)


class pester:  # noqa: N801  # used like a function
    """Sets an interrupt again and again, at any moment, while the block runs."""

    def __init__(self, interrupt: Interrupt | None, seed: float) -> None:
        self._interrupt = interrupt
        self._draw = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while self._interrupt is not None and not self._over.wait(self._draw.expovariate(2000)):
            self._interrupt.set()

    def __enter__(self) -> None:
        if self._interrupt is not None:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._interrupt is not None:
            self._thread.join()


def check_points(program: Program, amount: int) -> int:
    """How many check points a program meets in machine code."""
    execution = program.start(engine(clock=FakeClock()), bytearray(), amount)
    inject(execution, At(()))
    execution.run()
    return execution._context.requests.checks


def runs(seed: int) -> Iterator[Run]:
    """Runs without end: each check point of each small program in turn, and between them all the others."""
    counts = {program.name: check_points(program, program.small) for program in KERNELS}
    for turn in itertools.count():
        name = f"{seed} {turn}"
        draw = random.Random(name)
        for program in KERNELS:
            yield Run(program, name, program.small, At({turn % counts[program.name] + 1}))
            yield Run(program, name, draw.randint(1, program.small + 1))
            if turn % 10 == 1:
                yield Run(program, name, program.small, away=True)
            if turn % 4 == 2:
                yield Run(program, name, threaded=True)
        if turn % 8 == 0:
            yield Run(QUICKJS, name, away=draw.random() < 0.3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long")
    parser.add_argument("--first", type=int, default=0, help="the number of the first run")
    parser.add_argument("--seed", type=int, default=0, help="what everything is drawn from")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    soak, bad = Soak(), 0
    say: Callable[[str], object] = sys.stdout.write
    for number, run in enumerate(runs(options.seed)):
        if number < options.first:
            continue
        if time.monotonic() > end:
            break
        try:
            wrong = soak.play(run)
        except Exception:  # told with its run; the next one may show something else
            wrong = f"{run}\n{traceback.format_exc()}"
        if wrong is not None:
            say(f"run {number}: {wrong}\n")
            bad += 1
    soak.away.close()
    say(f"{soak.report()}, {bad} findings\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

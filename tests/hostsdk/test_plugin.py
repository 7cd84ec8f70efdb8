"""The pytest plugin: fixtures, the mark `restart` with its reports, and `--restart-seed`."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings

from hostsdk import BlockingContext, HostModule, i32
from hostsdk.testing import At, Case, Every, InjectionFailure, Kind, Randomly, Scenario, Setting, explore
from hostsdk.testing.build import BuildError, from_wat
from hostsdk.testing.strategies import cases
from tests.support.cache import cache_dir
from tests.support.inject import MEMORY, scene

pytest_plugins = ["pytester"]

HEAD = """
from __future__ import annotations
import asyncio
import pytest
from hostsdk import *
from hostsdk.testing import *

queue: HostModule[list[int]] = HostModule("queue", state=lambda: [3, 4, 5])
queue.save(list)
queue.load(list)

@queue.restartable
def pop(ctx: BlockingContext[list[int]]) -> i32:
    item = ctx.once(lambda: ctx.state.pop(0))
    ctx.sleep(1)
    return item

@queue.restartable
def unsafe(ctx: BlockingContext[list[int]]) -> i32:
    item = ctx.state.pop(0)
    ctx.sleep(1)
    return item

@queue.restartable
def generated(ctx: Context[list[int]], f: FuncRef[[], i32]) -> Steps[i32]:
    return (yield from call(f)) + (yield from call(f))

@queue.restartable
async def awaits(ctx: Context[list[int]], ms: i32) -> i32:
    await asyncio.sleep(ms / 1000)
    return ms

class Sure(Question[i32]):
    pass

@queue.restartable
def asks(ctx: BlockingContext[list[int]]) -> i32:
    return ctx.ask(Sure())

opened = []

@queue.restartable
def leaks(ctx: BlockingContext[list[int]]) -> None:
    opened.append(1)
    try:
        ctx.sleep(1)
        opened.pop()
    except ValueError:
        pass
"""


def run_tests(pytester: pytest.Pytester, text: str, *args: str) -> pytest.RunResult:
    """Run tests with the plugin, in this process."""
    pytester.makepyfile(HEAD + textwrap.dedent(text))
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *args)


def test_the_plugin_imports_nothing_heavy() -> None:
    """pytest imports the plugin at each start, also where no test is about host functions."""
    check = "import sys, pytest_hostsdk; sys.exit(any(n in sys.modules for n in ('hostsdk', 'runtime', 'hypothesis')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_safe_functions_pass(pytester: pytest.Pytester) -> None:
    """BEHAVIOURS 16: a marked test passes where every schedule gives the same, in each mode, with each kind of fault,
    callbacks and questions included."""
    done = run_tests(
        pytester,
        """
        @pytest.mark.restart
        def test_pop(fake_guest):
            guest = fake_guest(queue)
            assert [guest.call("queue.pop"), guest.call("queue.pop")] == [3, 4]

        @pytest.mark.restart("exhaustive", "every", "pairs", "random", "mixed", every=(2, 5), most=9, seeds=3,
                             scheduled=True, suspended=True)
        def test_callbacks(fake_guest):
            guest = fake_guest(queue)
            assert guest.call("queue.generated", guest.index("queue.pop")) == 7

        @pytest.mark.restart(kinds=["restart", "save"])
        def test_answers(fake_guest, trial):
            trial.answer(lambda question: 9)
            assert fake_guest(queue).call("queue.asks") == 9

        @pytest.mark.restart(threads=True, timed=False, steady=False, saves=False)
        def test_coroutines(fake_guest):
            assert fake_guest(queue).call("queue.awaits", 1) == 1

        @pytest.mark.restart("every", every=1, kinds="scheduled")
        def test_a_program(guest_program, wat_guest, fake_clock):
            module = wat_guest('''(module (import "queue" "pop" (func $pop (result i32)))
              (func (export "run") (result i32) (i32.add (call $pop) (call $pop))))''')
            began = fake_clock.monotonic()
            assert guest_program(module, [queue]).call("run") == 7
            assert fake_clock.monotonic() - began == 2
        """,
    )
    done.assert_outcomes(passed=5)


UNSAFE = """
    @pytest.mark.restart
    def test_unsafe(fake_guest, trial):
        guest = fake_guest(queue)
        trial.observe(lambda: guest.state(queue))
        guest.call("queue.unsafe")
"""


def test_an_unsafe_function_is_caught(pytester: pytest.Pytester) -> None:
    """BEHAVIOURS 16: the report names the schedule, the check point with source lines, what differed, and how to have
    that run again; there is no traceback to read."""
    done = run_tests(pytester, UNSAFE)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "not restart-safe: test_unsafe: restart under restart@3, of 3 check points (callbacks nested, waits in *",
            "what differed:",
            "  outcome: undisturbed 'queue.unsafe() returned (3)', now 'queue.unsafe() returned (4)'",
            "  effects: undisturbed [[]4, 5[]], now [[]5[]]",
            "where:",
            "  restart at check point 3, in",
            "      0 host  queue.unsafe()",
            "    at test_an_unsafe*.py:*, in queue.unsafe: ctx.sleep(1)",
            "this run again: --restart-seed=restart@3, or *",
        ]
    )
    done.stdout.no_fnmatch_line("*Traceback*")
    done.stdout.no_fnmatch_line("*exploration*")


@pytest.mark.parametrize(("seed", "passed"), [("restart@3", 0), ("save@3", 0), ("restart@2", 1), ("none@none", None)])
def test_one_run_is_had_again(pytester: pytest.Pytester, seed: str, passed: int | None) -> None:
    """`--restart-seed` makes the run that was reported, and no other."""
    done = run_tests(pytester, UNSAFE, f"--restart-seed={seed}")
    if passed is None:
        done.assert_outcomes(failed=1)
        done.stdout.fnmatch_lines(["*no kind of fault 'none'*"])
    else:
        done.assert_outcomes(passed=passed, failed=1 - passed)


def test_the_tests_own_assertions_are_shown(pytester: pytest.Pytester) -> None:
    """A test that fails by itself under a fault keeps its own error, with the same report as a note."""
    done = run_tests(
        pytester,
        """
        @pytest.mark.restart
        def test_unsafe(fake_guest):
            assert fake_guest(queue).call("queue.unsafe") == 3
        """,
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "E       AssertionError: assert 4 == 3",
            "E         queue.unsafe(): undisturbed returned (3), now returned (4)",
            "E           at *, in queue.unsafe: ctx.sleep(1)",
            "E       this run again: --restart-seed=restart@3*",
        ]
    )


def test_what_is_left_behind_is_found(pytester: pytest.Pytester) -> None:
    """BEHAVIOURS 8: after a drop or a throw, the test's own look at what is left decides."""
    done = run_tests(
        pytester,
        """
        @pytest.mark.restart(kinds=["drop"])
        def test_leaks(fake_guest, trial):
            opened.clear()
            guest = fake_guest(queue)
            def settled():
                assert not opened, "left open"
            trial.settled(settled)
            guest.call("queue.leaks")
            assert guest.call("queue.pop") == 3
        """,
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*AssertionError: left open", "*in queue.leaks: ctx.sleep(1)", "*-seed=drop-restart@3*"])


def test_misuse_says_what_to_do(pytester: pytest.Pytester) -> None:
    """A mark without calls, with an unknown mode, kind or option, and a question without an answer are told."""
    done = run_tests(
        pytester,
        """
        @pytest.mark.restart
        def test_nothing(): pass
        @pytest.mark.restart("sometimes")
        def test_mode(): pass
        @pytest.mark.restart(kinds=["explode"])
        def test_kind(): pass
        @pytest.mark.restart(speed=3)
        def test_option(): pass
        @pytest.mark.restart
        def test_question(fake_guest): fake_guest(queue).call("queue.asks")
        """,
    )
    done.assert_outcomes(failed=5)
    for line in (
        "restart: no call was made that could be interrupted: *",
        "restart: no mode 'sometimes'; there are exhaustive, every, pairs, random, mixed",
        "restart: no kind of fault 'explode'; there are *",
        "restart: *unexpected keyword argument 'speed'",
        "E*LookupError: nobody answers*",
    ):
        done.stdout.fnmatch_lines([line])


def test_a_scenario_may_be_given(pytester: pytest.Pytester) -> None:
    """A marked test that returns a Scenario has that explored."""
    done = run_tests(
        pytester,
        """
        from hostsdk.testing.build import from_wat
        WAT = '(module (import "queue" "{0}" (func $f (result i32))) (func (export "run") (result i32) (call $f)))'

        def make(name, world):
            return Instance(from_wat(WAT.format(name)), [queue], engine=world.engine)

        @pytest.mark.restart
        @pytest.mark.parametrize("name", ["pop", "unsafe"])
        def test_scenario(name):
            return Scenario(lambda world: make(name, world))
        """,
    )
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["not restart-safe: test_scenario[[]unsafe[]]: restart under restart@3, *"])


def test_fixtures_without_the_mark(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contexts wait and call back on the fake clock, memory is guarded, and guests come from text and C."""
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(cache_dir() / "zig"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_dir()))
    done = run_tests(
        pytester,
        """
        def test_context(fake_context, fake_clock):
            began = fake_clock.monotonic()
            assert pop(fake_context(queue)) == 3
            assert fake_clock.monotonic() - began == 1

        def test_context_refuses(fake_context):
            with pytest.raises(BaseException):
                asks(fake_context(queue))

        def test_memory(guest_memory):
            at = guest_memory.put(b"abc")
            assert guest_memory.read(at, 3) == b"abc"
            guest_memory.write(at, b"abcd")
            with pytest.raises(GuardError):
                guest_memory.check()

        def test_c(c_guest, guest_program):
            module = c_guest("__attribute__((export_name(\\"twice\\"))) int twice(int n) { return 2 * n; }",
                             "-mexec-model=reactor")
            assert guest_program(module).call("twice", 21) == 42
        """,
    )
    done.assert_outcomes(passed=4)


@pytest.mark.parametrize(
    "case",
    [
        Case(At({7})),
        Case(At({3, 9}), (Kind.DROP, Kind.RESTART), Setting("scheduled")),
        Case(Every(3), (Kind.INTERRUPT,), Setting("scheduled", in_place=False)),
        Case(Randomly(5, 0.25), (Kind.SAVE, Kind.CALLBACKS), Setting(in_place=False)),
    ],
    ids=str,
)
def test_a_case_is_a_text(case: Case) -> None:
    """What a run is made under can be written down and read again; what stands for none is refused."""
    again = Case.parse(str(case))
    assert str(again) == str(case)
    assert (again.kinds, again.setting) == (case.kinds, case.setting)
    checks = range(1, 30)
    assert [again.schedule.fires(n) for n in checks] == [case.schedule.fires(n) for n in checks]
    for wrong in ("save", "save@", "save@1/often", "@1", "save@x"):
        with pytest.raises(ValueError, match="no case"):
            Case.parse(wrong)


def _scenario(effects: list[int], *, safe: bool) -> Scenario:
    host: HostModule[None] = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext) -> i32:
        for n in range(3):
            if safe:
                ctx.once(lambda n=n: effects.append(n))  # type: ignore[misc]  # its parameter has the default
            else:
                effects.append(n)
            ctx.sleep(1)
        found = len(effects)
        effects.clear()
        return found

    return scene(f'(import "h" "f" (func $f (result i32))) {MEMORY} (func (export "run") (result i32) (call $f))', host)


EXPLORED = explore(_scenario([], safe=True), callbacks=("nested", "scheduled"))


@given(cases(EXPLORED.checks))
@settings(max_examples=30, deadline=None)
def test_hypothesis_draws_cases(case: Case) -> None:
    """BEHAVIOURS 16: the strategy gives schedules that an exploration runs; each is a text, too."""
    assert EXPLORED.under(case).runs == 1
    assert str(Case.parse(str(case))) == str(case)


def test_hypothesis_finds_the_smallest() -> None:
    """An unsafe function is found by it, and the case is one of those that take the fewest choices."""
    unsafe = explore(_scenario([], safe=False))

    @given(cases(unsafe.checks, kinds=["restart"], callbacks=["nested"]))
    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    def find(case: Case) -> None:
        unsafe.under(case)

    with pytest.raises(InjectionFailure) as caught:
        find()
    assert caught.value.case in ("restart@3", "restart@every1")


def test_tools_that_refuse_are_told() -> None:
    """What a tool says of a bad guest is the error's text."""
    with pytest.raises(BuildError, match="wasm-tools: "):
        from_wat("(module (fnc))")

"""The pytest plugin of `hostsdk.testing`: fixtures, and the mark `restart`.

pytest imports this file at each start, so it imports nothing of the SDK until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hostsdk import BlockingContext, FakeClock, HostModule, Module
    from hostsdk.testing import FakeGuest, Trial

_MARK = (
    "restart(*modes, kinds=…, every=…, most=…, seeds=…, share=…, scheduled=…, suspended=…, saves=…, catches=…, "
    "timed=…, steady=…, threads=…): run the test's guest calls under faults at their check points, and compare; modes "
    "are exhaustive, every, pairs, random, mixed"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--restart-seed`."""
    group = parser.getgroup("hostsdk", "restart safety of host functions")
    group.addoption(
        "--restart-seed", metavar="CASE", help="Run marked tests under one schedule only, as a failure reported it."
    )


def pytest_configure(config: pytest.Config) -> None:
    """The mark."""
    config.addinivalue_line("markers", _MARK)


_TRIAL = pytest.StashKey["Trial"]()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test under its schedules."""
    mark = pyfuncitem.get_closest_marker("restart")
    if mark is None:
        return None
    from hostsdk.testing import InjectionFailure, Trial
    from hostsdk.testing.marked import MarkError, Options, explore_test

    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    trial = pyfuncitem.stash.get(_TRIAL, None) or Trial()
    seed: str | None = pyfuncitem.config.getoption("--restart-seed")
    reports, failure = [], ""
    try:
        options = Options.of(mark.args, dict(mark.kwargs))
        reports = explore_test(lambda: pyfuncitem.obj(**arguments), trial, pyfuncitem.name, options, seed)
    except (MarkError, InjectionFailure) as error:
        failure = str(error)
    if failure:  # outside, so that it has no context to be shown
        pytest.fail(failure, pytrace=False)
    runs, hits = sum(report.runs for report in reports), sum(report.hits for report in reports)
    pyfuncitem.user_properties.append(("restarts", f"{runs} runs, {hits} check points hit"))
    return True


# Fixtures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    """What a run of the test happens in: clock, guests, events from outside, and what is to be compared."""
    from hostsdk.testing import Trial

    made = Trial()
    request.node.stash[_TRIAL] = made
    yield made
    made.close()


@pytest.fixture
def fake_clock(trial: Trial) -> FakeClock:
    """The clock of the test's guests. It passes where something waits for it, and by `advance`."""
    return trial.clock


@pytest.fixture
def fake_guest(trial: Trial) -> Callable[..., FakeGuest]:
    """Makes guests without a program, closed at the end: `guest = fake_guest(kv)`. Under the mark `restart` their calls
    are made under faults."""
    return trial.fake


@pytest.fixture
def guest_program(trial: Trial) -> Callable[..., Any]:
    """Makes guests of modules, closed at the end: `guest = guest_program(module, [kv])`. Under the mark `restart` their
    calls are made under faults."""
    return trial.guest


@pytest.fixture
def guest_memory(trial: Trial) -> FakeGuest:
    """Memory with guard bytes around each piece: `alloc`, `put`, `read`, `write`, `check`. For unmarked tests."""
    return trial.fake()


@pytest.fixture
def fake_context(trial: Trial) -> Iterator[Callable[..., BlockingContext[Any]]]:
    """Makes contexts for calling host functions as the Python functions that they are: `ctx = fake_context(kv)`. Waits
    are waited for on the fake clock. For unmarked tests."""
    from contextlib import ExitStack

    with ExitStack() as open_:

        def make(host: HostModule[Any], guest: FakeGuest | None = None) -> BlockingContext[Any]:
            return open_.enter_context((guest or trial.fake(host)).context(host))

        yield make


@pytest.fixture(scope="session")
def wat_guest() -> Callable[[str], Module]:
    """Makes modules of WebAssembly's text format; needs the extra `hostsdk[testing]`."""
    from hostsdk.testing.build import from_wat

    return from_wat


@pytest.fixture(scope="session")
def c_guest() -> Callable[..., Module]:
    """Makes modules of C for WASI, the second time from a cache; needs the extra `hostsdk[testing]`."""
    from hostsdk.testing.build import from_c

    return from_c

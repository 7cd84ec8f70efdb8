"""Settings that hold for every test, and the table of what the spec scripts skipped."""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import settings

from runtime.llvm import choice
from runtime.llvm.tier import IN_PROCESS, Policy
from tests.support.spec import SPEC_COUNTS

# What a test finds on disk must not depend on who ran before.
os.environ["HOSTSDK_CACHE"] = "off"

# No deadline: a slow machine is no defect.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print, for each way of running the spec scripts, the commands passed, failed, and skipped by feature."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == SPEC_COUNTS and report.when == "call":
                    mode, counts = value
                    totals[mode].update(counts)
    if not totals:
        return
    terminalreporter.section("spec commands")
    modes = sorted(totals)
    rows = ["passed", "failed"]
    rows += sorted({row for counts in totals.values() for row in counts} - set(rows))
    width = max(map(len, rows))
    terminalreporter.write_line(" " * width + "".join(f"{mode:>18}" for mode in modes))
    for row in rows:
        terminalreporter.write_line(f"{row:<{width}}" + "".join(f"{totals[mode][row]:>18}" for mode in modes))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, (read, write), without O_NONBLOCK; a test may close them itself."""
    ends = os.pipe()
    number = os.fstat(ends[0]).st_ino
    yield ends
    for end in ends:
        try:  # an end that was closed may be another's by now
            if os.fstat(end).st_ino == number:
                os.close(end)
        except OSError:
            pass


def pytest_configure() -> None:
    """`HOSTSDK_TEST_TIER=eager` has all engines go over to machine code at the first opportunity, at once;
    `background` has them do so while they run on."""
    # Where the tests run in the background, Ctrl-C is ignored, and the programs that they start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    wish = os.environ.get("HOSTSDK_TEST_TIER")
    if wish:
        eager = Policy(calls=1, turns=1, resumes=1, levels=(0,), at_once=False, injected=True)
        choice.HOT = eager  # type: ignore[misc]
        if wish == "eager":
            choice._maker = lambda hot, trusted: IN_PROCESS  # type: ignore[assignment]

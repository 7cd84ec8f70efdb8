"""WebAssembly's own test scripts, straight and with a suspension at every k-th check point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from hostsdk.cli.wast_engine import ScriptEngine, Tier
from hostsdk.cli.wast_script import TEXT_FORMAT, run_script
from runtime import EngineConfig, Feature
from tests.support.native import TIERS, needs_native
from tests.support.spec import NO_SCRIPTS, SPEC_COUNTS, script_id, spec_json, spec_scripts, text_refused

#: From this check point of a call on, fewer are hit: some scripts turn a million times, for all of which there is
#: `hostsdk wast --suspend-every`.
MANY = 20_000
#: What a command may be skipped for.
REASONS = {TEXT_FORMAT} | {feature.text for feature in Feature if feature not in EngineConfig().features}
NO_SCRIPT = pytest.param(None, marks=pytest.mark.skip(reason=NO_SCRIPTS))
MODES = [
    pytest.param(None, id="plain"),
    pytest.param(1, id="suspend-1", marks=pytest.mark.slow),
    pytest.param(7, id="suspend-7", marks=pytest.mark.slow),
]


@attrs.frozen
class Thinning:
    """Hits each `k`-th check point, and of those after `MANY` one in a hundred."""

    k: int

    def fires(self, check: int) -> bool:
        return check % self.k == 0 and (check <= MANY or check % (100 * self.k) == 0)


def expected_failures(tier: Tier) -> set[str]:
    """Commands known to fail on a tier, as `script:line`; each has its reason behind a `#`."""
    text = Path(__file__).with_name("expected").joinpath(f"{tier}.txt").read_text()
    return {line.partition("#")[0].strip() for line in text.splitlines()} - {""}


#: Where memories' ends are: of these, all the others are by `hostsdk wast --guard-pages`.
ENDS = ("address0", "memory_grow", "memory_trap", "memory_redundancy", "simd_address", "simd_load32_lane")


@needs_native
@pytest.mark.spec
@pytest.mark.parametrize("every", [None, 7], ids=["plain", "suspend-7"])
@pytest.mark.parametrize("name", ENDS)
def test_script_with_guard_pages(name: str, every: int | None) -> None:
    """Spec 4.4.7: accesses trap at guard pages where they would trap at a check, suspended on the way or not."""
    script = next((each for each in spec_scripts() if each.stem == name), None)
    if script is None:
        pytest.skip(NO_SCRIPTS)
    made = spec_json(script)
    using = ScriptEngine("native", injector=None if every is None else Thinning(every), signals=True)
    tally = run_script(made, using, text_refused(made))
    assert not tally.failed
    assert tally.passed > 5


@pytest.mark.spec
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("every", MODES)
@pytest.mark.parametrize("script", spec_scripts() or [NO_SCRIPT], ids=script_id)
def test_script(script: Path, every: int | None, tier: Tier, record_property: Callable[[str, object], None]) -> None:
    """Every command of the specification's scripts passes, also when the execution is suspended and resumed on its
    way; one is skipped only for a feature that the engine doesn't have. What is malformed as text, which the engine
    doesn't read, wasm-tools has refused."""
    made = spec_json(script)
    using = ScriptEngine(tier, injector=None if every is None else Thinning(every))
    tally = run_script(made, using, text_refused(made))
    counts = {"passed": tally.passed, "failed": len(tally.failed)}
    counts |= {f"skipped: {reason}": count for reason, count in tally.skipped.items()}
    mode = "plain" if every is None else f"suspend {every}"
    record_property(SPEC_COUNTS, (mode if tier == "interpreter" else f"{tier} {mode}", counts))
    known = {entry for entry in expected_failures(tier) if entry.partition(":")[0] == script_id(script)}
    failed = {f"{script_id(script)}:{line.split(':')[1]}": line for line in tally.failed}
    assert not [line for entry, line in failed.items() if entry not in known], "commands failed"
    assert not known - failed.keys(), "commands are listed as failing but passed"
    assert tally.skipped.keys() <= REASONS, "commands were skipped for something that the engine has"

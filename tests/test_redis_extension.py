"""The example of an extension: installed as a package of its own, its tests pass against a real server."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.cache import ROOT
from tests.support.extension import install, run

FOLDER = ROOT / "examples" / "redis-extension"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package has been installed."""
    pytest.importorskip("hiredis")
    folder = tmp_path_factory.mktemp("redis")
    install(FOLDER, folder / "site", folder / "copy")
    return folder / "site"


@pytest.mark.slow
def test_its_own_tests(site: Path) -> None:
    """COOKBOOK 12, BEHAVIOURS 16, 52: all functions hold against a real server, interrupted, timed out, thrown into and
    dropped at every check point; connections that are lost are made again."""
    shown = run(sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", folder=FOLDER, paths=(site,))
    found = re.search(r"(\d+) passed", shown)
    if found is None or "skipped" in shown:
        pytest.skip(shown.strip().splitlines()[-2])
    assert int(found[1]) >= 20


def test_the_command_finds_it(site: Path) -> None:
    """`hostsdk hosts` lists its functions, without a server."""
    shown = run(sys.executable, "-m", "hostsdk", "hosts", "redis", "--json", folder=FOLDER, paths=(site,))
    (row,) = json.loads(shown)
    assert row["option"] == {"name": "url", "required": False}
    waits = {each["name"] for each in row["functions"] if each["style"] in ("function", "generator")}
    assert waits == {"get", "set", "rpush", "xadd", "publish", "blpop", "xread", "subscribe", "next", "listen"}


@pytest.mark.slow
def test_its_types(site: Path, tmp_path: Path) -> None:
    """It is typed as strictly as the SDK, and its types fit together with the SDK's."""
    assert "Success" in run(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), folder=FOLDER, paths=(site,))

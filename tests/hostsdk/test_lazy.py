"""Modules whose bodies are read when they are first called."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hostsdk import Instance, InvalidError, Module
from hostsdk.cli.main import main
from tests.support.build import wat

TEXT = """(module (memory (export "memory") 1) (func (export "_start"))
    (func (export "good") (result i32) (i32.const 7)) (func (export "bad") (result i32) (i64.const 7)))"""


def test_a_body_is_checked_when_it_is_called() -> None:
    """A module with a body that is wrong loads lazily, and all but that body can be called; eagerly it is refused."""
    data = wat(TEXT)
    with pytest.raises(InvalidError):
        Module.from_bytes(data)
    inst = Instance(Module.from_bytes(data, lazy=True))
    assert inst.call("good") == 7
    for _ in range(2):
        with pytest.raises(InvalidError, match="type mismatch"):
            inst.call("bad")
    assert inst.call("good") == 7


def test_the_command_starts_at_once(tmp_path: Path) -> None:
    """`hostsdk run --lazy` runs what can be run; without it the file is refused."""
    path = tmp_path / "m.wasm"
    path.write_bytes(wat(TEXT))
    assert CliRunner().invoke(main, ["run", str(path)]).exit_code == 126
    assert CliRunner().invoke(main, ["run", "--lazy", str(path)]).exit_code == 0
    done = CliRunner().invoke(main, ["run", "--lazy", "--invoke", "bad", str(path)])
    assert done.exit_code != 0
    assert "type mismatch" in done.stderr

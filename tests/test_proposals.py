"""Features as people write them, and the page that lists them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hostsdk import Feature, Module, UnsupportedError, parse_features
from hostsdk.cli.main import main
from runtime.features import AVAILABLE, MVP, PRESETS, WASM_2_0, WASM_3_0
from tests.support.build import wat
from tests.support.cache import ROOT


def _proposals() -> Any:
    """What makes the page."""
    spec = importlib.util.spec_from_file_location("proposals", ROOT / "docs" / "_ext" / "proposals.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_table_as_it_is() -> None:
    """The table of proposals comes from the instruction table and the tiers' own; `python docs/_ext/proposals.py`
    writes it."""
    proposals = _proposals()
    text = proposals.PAGE.read_text()
    assert text == proposals.page(text), "run `python docs/_ext/proposals.py`"
    assert all(f"`{feature.text}`" in text for feature in Feature)


def test_presets_are_editions() -> None:
    """Each edition has what the one before it has; none has more than the engine."""
    assert MVP in WASM_2_0
    assert WASM_2_0 in WASM_3_0
    assert PRESETS["all"] == AVAILABLE
    assert all(preset in AVAILABLE for preset in PRESETS.values())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("all", AVAILABLE),
        ("mvp", MVP),
        ("2.0", WASM_2_0),
        ("2.0,-simd", WASM_2_0 & ~Feature.SIMD),
        ("mvp, simd ,multi-value", MVP | Feature.SIMD | Feature.MULTI_VALUE),
        ("-exceptions", AVAILABLE & ~Feature.EXCEPTIONS),
        ("2.0,exceptions,-exceptions", WASM_2_0),
        ("simd,-mvp", MVP | Feature.SIMD),
    ],
)
def test_features_are_read(text: str, wanted: Feature) -> None:
    """Presets and names, later ones on top of earlier ones; what 1.0 had can't be left out."""
    assert parse_features(text) == wanted


@pytest.mark.parametrize("text", ["", "4.0", "simd,", "-3.0", "Simd", "-nothing"])
def test_what_is_no_feature_is_refused(text: str) -> None:
    """The error says what there is."""
    with pytest.raises(ValueError, match=r"is no feature; there are mvp, 2\.0"):
        parse_features(text)


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        ("(func (drop (v128.const i64x2 1 2)))", "simd"),
        ("(tag) (func (throw 0))", "exceptions"),
        ("(func (param exnref))", "exceptions"),
        ("(memory i64 1)", "memory64"),
        ("(table i64 1 funcref)", "memory64"),
        ("(memory 1 (pagesize 1))", "custom-page-sizes"),
        ("(memory 1) (memory 1)", "multi-memory"),
        ("(func $f (return_call $f))", "tail-call"),
        ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", "extended-const"),
        ("(func (result i32 i32) unreachable)", "multi-value"),
        ("(func (param f64) (result i32) (i32.trunc_sat_f64_s (local.get 0)))", "saturating-float"),
        ("(func (param i32) (result i32) (i32.extend8_s (local.get 0)))", "sign-extension"),
        ("(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))", "relaxed-simd"),
        ('(global (export "g") (mut i32) (i32.const 0))', "mutable-global"),
        ("(table 1 externref)", "reference-types"),
        ("(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))", "bulk-memory"),
    ],
)
def test_a_feature_that_is_left_out_is_named(body: str, feature: str, tmp_path: Path) -> None:
    """A module that loads with everything on is refused without its feature, by an error that names it; by the command,
    too."""
    data = wat(f"(module {body})")
    Module.from_bytes(data)
    with pytest.raises(UnsupportedError) as caught:
        Module.from_bytes(data, features=parse_features(f"-{feature}"))
    assert caught.value.feature == feature
    path = tmp_path / "m.wasm"
    path.write_bytes(data)
    result = CliRunner().invoke(main, ["run", "--features", f"all,-{feature}", str(path)])
    assert result.exit_code == 126
    assert f"needs the feature '{feature}'" in result.stderr


def test_the_command_refuses_what_is_no_feature(tmp_path: Path) -> None:
    """A wrong name is a wrong command line."""
    result = CliRunner().invoke(main, ["run", "--features", "simdd", str(tmp_path / "m.wasm")])
    assert result.exit_code == 2
    assert "is no feature" in result.stderr

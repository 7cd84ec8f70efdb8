"""Machine code kept on disk: found again without LLVM, refused where it is damaged or somebody else's, and bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

import hostsdk
from runtime import Engine, EngineConfig, Module, lean
from runtime.llvm import cache as caches
from runtime.llvm import cpu
from runtime.llvm.build import build
from runtime.llvm.cache import Cache, usual
from runtime.llvm.choice import EVERYTHING
from runtime.llvm.code import ModuleCode
from runtime.llvm.product import GOOD, QUICK, Order, Product, needed
from runtime.llvm.tier import NativeTier
from tests.support.build import wat
from tests.support.cache import ROOT
from tests.support.native import INTERPRETERS, Native, code_of, needs_native, text

pytestmark = needs_native

DOUBLE = """(func $twice (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))
    (func (export "f") (param i32) (result i32) (call $twice (local.get 0)))"""


def keeping(cache: Cache) -> Engine:
    """An engine that compiles everything at once, in this process, and keeps it."""
    made = Engine(EngineConfig(tier="interpreter"))
    object.__setattr__(made, "tier", NativeTier(INTERPRETERS, EVERYTHING, cache=cache))
    return made


class Refusing:
    """A maker that must not be asked."""

    def order(self, code: ModuleCode, order: Order) -> None:
        raise AssertionError("everything is there")


def from_disk(cache: Cache) -> Engine:
    """An engine that has what was kept, and makes nothing."""
    made = Engine(EngineConfig(tier="interpreter"))
    policy = lean.evolve(EVERYTHING, at_once=False)
    object.__setattr__(made, "tier", NativeTier(INTERPRETERS, policy, Refusing(), cache=cache))
    return made


def fresh(source: str = DOUBLE) -> Module:
    """A module that nobody else has."""
    return Module.load(text(source).data)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "kept")


def files(cache: Cache) -> list[Path]:
    return sorted(cache.root.glob("*/*/*.code"))


def test_what_was_made_is_found_again(cache: Cache) -> None:
    """Code that one engine has made runs in the next, which makes none."""
    assert Native(fresh(), using=keeping(cache)).call("f", 21) == 42
    assert len(files(cache)) == 1
    guest = Native(fresh(), using=from_disk(cache))
    assert guest.call("f", 4) == 8
    assert all(code_of(guest).made.values())


@pytest.mark.slow
def test_another_process_runs_it_without_llvm(tmp_path: Path) -> None:
    """The second run of a program that computes has machine code from the first, and never imports LLVM."""
    script = """
import json, sys
from runtime import Engine, EngineConfig, Func, Module, Store, instantiate
data, kept, tier = open(sys.argv[1], "rb").read(), sys.argv[2], sys.argv[3]
from pathlib import Path
engine = Engine(EngineConfig(tier=tier, trusted=True, cache=Path(kept)))
store = Store(engine)
f = Func(instantiate(store, Module.load(data), {}).exports["f"], store)
found = f.call(21)
codes = engine.tier.code_of(f.inst.instance.module)
print(json.dumps([found, len([1 for code in codes.made.values() if code]), "llvmlite" in sys.modules]))
"""
    path = tmp_path / "m.wasm"
    path.write_bytes(text(DOUBLE).data)
    results = []
    for tier in ("native", "native", "auto"):
        command = [sys.executable, "-c", script, str(path), str(tmp_path / "kept"), tier]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        results.append(json.loads(done.stdout))
    assert results == [[42, 2, True], [42, 2, False], [42, 2, False]]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_a_damaged_file_is_made_again(cache: Cache, damage: str) -> None:
    """A file that is cut off, changed, empty or something else is ignored and replaced."""
    assert Native(fresh(), using=keeping(cache)).call("f", 21) == 42
    (path,) = files(cache)
    data = path.read_bytes()
    changed = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    path.write_bytes({"cut": data[:-7], "changed": changed, "empty": b"", "other": b"#!/bin/sh\n"}[damage])
    assert Native(fresh(), using=keeping(cache)).call("f", 4) == 8
    assert files(cache) == [path]
    assert path.read_bytes() == data


def test_code_of_another_module_is_not_found(cache: Cache) -> None:
    """What is kept belongs to the very bytes of a module."""
    assert Native(fresh(), using=keeping(cache)).call("f", 21) == 42
    other = Native(fresh(DOUBLE.replace("i32.add", "i32.mul")), using=from_disk(cache))
    assert code_of(other).made == {}


def test_another_emitter_finds_nothing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the emitter, of LLVM or of the processor is another folder."""
    assert Native(fresh(), using=keeping(cache)).call("f", 21) == 42
    monkeypatch.setattr(caches, "_maker", [])
    monkeypatch.setattr(cpu, "identity", lambda: b"another")
    assert cache.load(fresh()) == []


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_folder_that_others_may_write_to_is_not_used(
    cache: Cache, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither read nor written, with one line that says so: whoever can write there could have anything run."""
    assert Native(fresh(), using=keeping(cache)).call("f", 21) == 42
    cache.root.chmod(mode)
    wary = Cache(cache.root)
    assert wary.load(fresh()) == []
    wary.save(fresh(), Product(Order(GOOD, (5,))))
    assert len(files(cache)) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_size_is_bounded(tmp_path: Path) -> None:
    """When there is too much, the modules go that have not been used for longest; the new one stays."""
    cache = Cache(tmp_path / "kept", room=3000)
    modules = [fresh(DOUBLE + f"(func (param i64)) (global i32 (i32.const {i}))") for i in range(5)]
    for place, module in enumerate(modules):
        cache.save(module, Product(Order(GOOD, (1,)), code=bytes(1000)))
        for age, (folder, _, _) in enumerate(cache.modules()):
            assert folder.is_dir(), (place, age)
    assert sum(size for _, _, size in cache.modules()) <= 3000
    assert cache.load(modules[-1])


def test_many_at_once(cache: Cache) -> None:
    """Writers and readers of the same file never see half of it."""
    module = fresh()
    product = Product(Order(GOOD, (1,)), code=bytes(range(256)) * 400)

    def work(turn: int) -> bool:
        if turn % 3 == 0:
            cache.save(module, product)
        return all(found == product for found in cache.load(module))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(120)))
    assert len(files(cache)) == 1


def test_an_unwritable_place_is_no_error(tmp_path: Path) -> None:
    """Where nothing can be kept, programs run as they did."""
    (tmp_path / "file").write_text("")
    assert Native(fresh(), using=keeping(Cache(tmp_path / "file" / "kept"))).call("f", 21) == 42


def test_clearing(cache: Cache) -> None:
    """Nothing of ours is left, and other people's files stay."""
    assert Native(fresh(), using=keeping(cache)).call("f", 21) == 42
    (cache.root / "note").write_text("mine")
    cache.clear()
    assert list(cache.modules()) == []
    assert [path.name for path in cache.root.iterdir()] == ["note"]


def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HOSTSDK_CACHE names it or turns it off; else it is a folder of the user's."""
    monkeypatch.setenv("HOSTSDK_CACHE", "off")
    assert usual() is None
    monkeypatch.setenv("HOSTSDK_CACHE", str(tmp_path))
    assert usual() == tmp_path
    monkeypatch.delenv("HOSTSDK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert usual() == (tmp_path / "hostsdk" if sys.platform != "darwin" else usual())
    assert os.path.isabs(usual() or "")


def test_support_code_comes_along(cache: Cache) -> None:
    """The first file of a module has all the support code it needs, though this process may have had it before."""
    module = fresh()
    guest = Native(module, using=keeping(cache))
    guest.call("f", 1)
    (product,) = cache.load(module)
    assert set(code_of(guest).base().support) <= set(product.order.support)
    assert build(code_of(guest).base().layout, product.order).code == product.code


GUEST = """(module (import "h" "add" (func $add (param i32 i32) (result i32)))
  (func (export "once") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func (export "f") (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (call $add (local.get 1) (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1)))"""


def test_all_that_was_called_is_found_again(tmp_path: Path) -> None:
    """What is called once is made when there is nothing better to do; the next engine has it at its first call, and the
    way to a host function, which was an order of its own."""
    engine = hostsdk.Engine(EngineConfig(tier="auto", trusted=True, cache=tmp_path / "kept"))
    host = hostsdk.HostModule("h")

    @host.function
    def add(ctx: hostsdk.Context, a: hostsdk.i32, b: hostsdk.i32) -> hostsdk.i32:
        return a + b

    made, tier = [], cast("Any", engine.tier)
    for _ in range(2):
        module = hostsdk.Module.from_bytes(wat(GUEST))
        with hostsdk.Instance(module, [host], engine=engine) as guest:
            before = code_of_module(engine, module)
            assert [guest.call("once", 2), *{guest.call("f", 100) for _ in range(200)}] == [6, 5050]
            tier.maker.maker.wait()
            made.append((sorted(before), sorted(code_of_module(engine, module))))
    assert made == [([], [1, 2]), ([1, 2], [1, 2])]


def code_of_module(engine: Engine, module: hostsdk.Module) -> dict[int, int | None]:
    """What an engine has of a module by now."""
    tier: Any = engine.tier
    return dict(tier.code_of(module._raw).made)


def test_quick_code_is_left_where_all_of_it_is_there_in_the_better_form() -> None:
    """What is kept twice is loaded once; support code is always needed, and what the better form lacks."""
    orders = (((1, 2), ()), ((3, 4), ()), ((1,), (b"s",)), ((5,), ()))
    quick = [Product(Order(QUICK, functions), b"q", support) for functions, support in orders]
    good = [Product(Order(GOOD, (1, 2)), b"g"), Product(Order(GOOD, (3, 4, 5)), b"g", refused=Order(0, (4,)))]
    assert needed([*quick, *good], GOOD) == [quick[1], quick[2], *good]


@pytest.mark.parametrize("guard", [False, True])
def test_code_with_guard_pages_and_without_is_kept_apart(guard: bool, tmp_path: Path) -> None:
    """Only what can be used is read: of one kind, and of the levels that are asked for."""
    cache, module = Cache(tmp_path / "kept"), fresh()
    made = [Product(Order(level, (1,), guard=each), b"x") for level in (QUICK, GOOD) for each in (False, True)]
    for product in made:
        cache.save(module, product)
    assert cache.load(module) == made
    assert cache.load(module, (QUICK, GOOD), lambda: guard) == made[guard::2]
    assert cache.load(module, (GOOD,), lambda: guard) == made[2 + guard :: 2]

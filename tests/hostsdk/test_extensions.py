"""Host modules of installed packages: found by name, made with an option, and errors that name the package."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from hostsdk import ExtensionError, HostModule, Instance, Module, find_host, installed_hosts, load_host
from hostsdk.cli.main import main
from tests.support.build import wat
from tests.support.dist import install

GREETER = '''
"""Greets."""
from __future__ import annotations
from hostsdk import BlockingContext, Context, HostModule, i32, u32

def _made(word):
    host = HostModule("greeter", state=lambda: word)
    @host.function
    def length(ctx: Context[str], more: u32) -> i32:
        return len(ctx.state) + more
    @host.restartable
    def wait(ctx: BlockingContext[str]) -> None:
        ctx.sleep(1)
    return host

def greeter(word: str = "hello") -> HostModule[str]:
    if not word.isalpha():
        raise ValueError(f"{word!r} is no word")
    return _made(word)

def strict(word: str) -> HostModule[str]:
    return _made(word)

fixed = _made("fixed")
nothing = 3
def wrong():
    return 3
'''
GUEST = """(module (import "greeter" "length" (func $length (param i32) (result i32)))
  (func (export "run") (result i32) (call $length (i32.const 1))))"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an installed package that has host modules of every kind."""
    targets = ("greeter", "strict", "fixed", "nothing", "wrong", "absent")
    entries = {name: f"greets:{name}" for name in targets}
    install(tmp_path, monkeypatch, "hostsdk-greeter", "1.2", entries, greets=GREETER)
    (tmp_path / "guest.wasm").write_bytes(wat(GUEST))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hostsdk(*args: str) -> tuple[int, str, str]:
    """The command's status, and what it writes."""
    done = CliRunner().invoke(main, args)
    return done.exit_code, done.stdout, done.stderr


def test_installed_ones_are_found_without_importing_them(folder: Path) -> None:
    """An installed host module is known by name, package and version; WASI is registered in the same way."""
    found = {host.name: host for host in installed_hosts()}
    greeter = found["greeter"]
    assert (greeter.package, greeter.version, greeter.target) == ("hostsdk-greeter", "1.2", "greets:greeter")
    assert found["wasi_snapshot_preview1"].package == found["wasi_unstable"].package == "hostsdk"
    assert "fd_read" in load_host("wasi_snapshot_preview1").functions


@pytest.mark.parametrize(("option", "result"), [(None, 6), ("hi", 3)])
def test_one_is_made_with_an_option(folder: Path, option: str | None, result: int) -> None:
    """A factory gets the option, from Python and from the command; without one, its own default holds."""
    host: HostModule[str] = load_host("greeter", option)
    with Instance(Module.from_file("guest.wasm"), [host]) as instance:
        assert instance.exports.run() == result
    name = "greeter" if option is None else f"greeter={option}"
    assert hostsdk("run", "--host", name, "--invoke", "run", "guest.wasm") == (0, f"{result}\n", "")


def test_what_takes_an_option_says_so(folder: Path) -> None:
    """An option is known by the name of its parameter, and whether it may be left out."""
    found = {name: find_host(name) for name in ("greeter", "strict", "fixed")}
    assert {name: (host.option, host.required) for name, host in found.items()} == {
        "greeter": ("word", False),
        "strict": ("word", True),
        "fixed": (None, False),
    }


@pytest.mark.parametrize(
    ("name", "option", "says"),
    [
        ("strict", None, "it needs an option: strict=WORD"),
        ("fixed", "x", "it takes no option"),
        ("wasi_unstable", "x", "it takes no option"),
        ("greeter", "1", "ValueError: '1' is no word"),
        ("nothing", None, "it is a int, not a HostModule"),
        ("wrong", None, "it made a int, not a HostModule"),
        ("absent", None, "AttributeError: module 'greets' has no attribute 'absent'"),
    ],
)
def test_errors_name_the_package(folder: Path, name: str, option: str | None, says: str) -> None:
    """Whatever is wrong with a host module, the error names it, its package and the version, in Python and from the
    command."""
    with pytest.raises(ExtensionError) as caught:
        load_host(name, option)
    package = f"hostsdk {version('hostsdk')}" if name.startswith("wasi") else "hostsdk-greeter 1.2"
    assert str(caught.value) == f"host module {name} of {package}: {says}"
    given = name if option is None else f"{name}={option}"
    code, out, err = hostsdk("run", "--host", given, "--invoke", "run", "guest.wasm")
    assert (code, out) == (125, "")
    assert err.startswith(f"guest.wasm: {caught.value}\n")


def test_a_missing_one_says_what_to_install(folder: Path) -> None:
    """Where no package has it, the error has a command for pip, pipx and uv; a name that could be no package's is in
    none of them."""
    with pytest.raises(ExtensionError) as caught:
        load_host("redis_x")
    lines = str(caught.value).splitlines()
    assert "hostsdk-redis-x would be the usual name" in lines[0]
    assert lines[1:] == [
        "  pip install hostsdk-redis-x",
        "  pipx inject hostsdk hostsdk-redis-x",
        "  uv tool install hostsdk --with hostsdk-redis-x",
    ]
    with pytest.raises(ExtensionError, match=r"\n  pip install PACKAGE\n"):
        load_host("a; rm -rf b")
    code, _, err = hostsdk("run", "--host", "redis_x=redis://", "guest.wasm")
    assert (code, "pipx inject hostsdk hostsdk-redis-x" in err) == (2, True)


def test_two_of_one_name_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that several packages claim is nobody's: the error names them all."""
    other = folder / "other"
    other.mkdir()
    install(other, monkeypatch, "greet-again", "3", {"greeter": "again:host"})
    with pytest.raises(ExtensionError, match=r"greet-again 3 \(again:host\) and hostsdk-greeter 1\.2 \(greets"):
        find_host("greeter")


def test_a_guest_whose_import_is_not_given(folder: Path) -> None:
    """A run that lacks a host module says which option would give it, or what to install."""
    code, _, err = hostsdk("run", "--invoke", "run", "guest.wasm")
    assert code == 126
    assert err.endswith("hostsdk-greeter 1.2 has greeter: --host greeter\n")
    Path("other.wasm").write_bytes(wat('(module (import "blob" "get" (func)) (func (export "_start")))'))
    code, _, err = hostsdk("run", "other.wasm")
    assert code == 126
    assert "pip install hostsdk-blob" in err


def test_the_list(folder: Path) -> None:
    """`hostsdk hosts` lists names, packages, options and, asked for one, functions with both signatures; broken ones
    are shown as such."""
    code, out, _ = hostsdk("hosts", "greeter")
    assert code == 0
    assert out.splitlines() == [
        "greeter[=WORD]  (hostsdk-greeter 1.2, 2 functions)",
        "    length(more: u32) -> i32  (i32) -> (i32)",
        "    wait() -> None  () -> (); function, may wait",
    ]
    code, out, _ = hostsdk("hosts")
    assert code == 1
    assert "strict=WORD  (hostsdk-greeter 1.2)\n" in out
    assert "    broken: host module nothing of hostsdk-greeter 1.2: it is a int, not a HostModule\n" in out
    assert f"wasi_snapshot_preview1  (hostsdk {version('hostsdk')}, " in out
    code, out, err = hostsdk("hosts", "nowhere")
    assert (code, out) == (1, "no host modules\n")
    assert "pip install hostsdk-nowhere" in err


def test_the_list_as_data(folder: Path) -> None:
    """`--json` has the same for programs."""
    code, out, _ = hostsdk("hosts", "--json", "greeter", "strict")
    assert code == 0
    greeter, strict = json.loads(out)
    assert greeter["option"] == {"name": "word", "required": False}
    assert strict["option"] == {"name": "word", "required": True}
    assert "functions" not in strict
    assert greeter["functions"][0] == {
        "name": "length",
        "signature": "(more: u32) -> i32",
        "params": ["i32"],
        "results": ["i32"],
        "style": "plain",
        "version": 1,
    }

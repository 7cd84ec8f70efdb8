"""The script runner against an engine whose every answer is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hostsdk.cli.wast_script import Category, Failure, Tally, run_script
from hostsdk.cli.wast_values import Number, ScriptError, Val


class Refusal(Exception):
    """What the engine below raises on demand."""

    def __init__(self, category: Category, text: str = "") -> None:
        self.failure = Failure(category, text)


class Puppet:
    """A module is the text of its file: lines `load CATEGORY [TEXT]` and `start CATEGORY [TEXT]` say what happens,
    `import MODULE` looks one up. A function named like a category fails that way; `give` returns its arguments."""

    def load(self, data: bytes) -> str:
        self._obey("load", data.decode())
        return data.decode()

    def instantiate(self, module: str, lookup: Callable[[str, str], str | None]) -> str:
        for line in module.splitlines():
            if line.startswith("import ") and lookup(line.split()[1], "f") is None:
                raise Refusal(Category.UNLINKABLE)
        self._obey("start", module)
        return module

    def _obey(self, verb: str, module: str) -> None:
        for line in module.splitlines():
            word, _, rest = line.partition(" ")
            if word == verb:
                category, _, text = rest.partition(" ")
                raise Refusal(Category(category), text)

    def spectest(self) -> str:
        return ""

    def export(self, instance: str, name: str) -> str | None:
        return instance

    def invoke(self, instance: str, name: str, args: Sequence[Val]) -> tuple[Val, ...]:
        if name == "crash":
            raise ZeroDivisionError("a defect")
        if name != "give":
            raise Refusal(Category(name), "unreachable")
        return tuple(args)

    def get(self, instance: str, name: str) -> Val:
        return Number("i32", 7)

    def failure(self, error: Exception) -> Failure | None:
        return error.failure if isinstance(error, Refusal) else None


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Tally]:
    """Runs commands. A command's `filename` is the module's text."""

    def run(*commands: dict[str, object]) -> Tally:
        for number, command in enumerate(commands):
            command["line"] = number + 1
            if "filename" in command:
                tmp_path.joinpath(f"{number}.wasm").write_text(str(command["filename"]))
                command["filename"] = f"{number}.wasm"
        path = tmp_path / "script.json"
        path.write_text(json.dumps({"commands": commands}))
        return run_script(path, Puppet())

    return run


def module(source: str = "", /, **more: object) -> dict[str, object]:
    """A `module` command."""
    return {"type": "module", "filename": source, "module_type": "binary", **more}


def call(name: str, *args: int, type: str = "action", **more: object) -> dict[str, object]:  # noqa: A002
    """A command that invokes `name` on the latest instance."""
    values = [{"type": "i32", "value": str(arg)} for arg in args]
    return {"type": type, "action": {"type": "invoke", "field": name, "args": values}, **more}


FAILURES = [category for category in Category if category is not Category.UNSUPPORTED]
ASSERTIONS = {
    "assert_malformed": Category.MALFORMED,
    "assert_invalid": Category.INVALID,
    "assert_unlinkable": Category.UNLINKABLE,
    "assert_uninstantiable": Category.TRAP,
}


@pytest.mark.parametrize("category", FAILURES)
@pytest.mark.parametrize("assertion", ASSERTIONS)
def test_a_module_must_fail_as_it_is_said(play: Callable[..., Tally], assertion: str, category: Category) -> None:
    """No kind of failure passes for another, and success for none."""
    verb = "load" if category in (Category.MALFORMED, Category.INVALID) else "start"
    tally = play(module(f"{verb} {category.value} unreachable", type=assertion, text="unreachable"))
    assert (tally.passed == 1) is (ASSERTIONS[assertion] is category)
    assert play(module(type=assertion, text="unreachable")).failed


@pytest.mark.parametrize("category", FAILURES)
@pytest.mark.parametrize(
    ("assertion", "wanted"),
    [
        ("assert_trap", Category.TRAP),
        ("assert_exhaustion", Category.EXHAUSTION),
        ("assert_exception", Category.EXCEPTION),
    ],
)
def test_a_call_must_fail_as_it_is_said(
    play: Callable[..., Tally], assertion: str, wanted: Category, category: Category
) -> None:
    """Trap, exhaustion and exception are three things."""
    tally = play(module(), call(category.value, type=assertion, text="unreachable"))
    assert (not tally.failed) is (category is wanted)


@pytest.mark.parametrize(
    ("said", "passes"),
    [("unreachable", True), ("unreachable executed", True), ("undefined element", False), ("", False)],
)
def test_a_trap_must_be_the_right_one(play: Callable[..., Tally], said: str, passes: bool) -> None:
    """A trap's message counts; a script may say more than the engine."""
    assert (not play(module(), call("trap", type="assert_trap", text=said)).failed) is passes


def test_results_are_compared(play: Callable[..., Tally]) -> None:
    """assert_return looks at number and values of the results; a global is read like a result."""
    seven = {"type": "i32", "value": "7"}
    get = {"type": "get", "field": "g"}
    tally = play(
        module(),
        call("give", 7, type="assert_return", expected=[seven]),
        {"type": "assert_return", "action": get, "expected": [seven]},
        call("give", 8, type="assert_return", expected=[seven]),
        call("give", type="assert_return", expected=[seven]),
        call("give", 7, type="assert_return"),
        call("trap", type="assert_return"),
    )
    assert tally.passed == 3
    assert tally.failed == [
        "script.json:4: assert_return: expected i32 0x7; got i32 0x8",
        "script.json:5: assert_return: expected i32 0x7; got nothing",
        "script.json:6: assert_return: expected nothing; got i32 0x7",
        "script.json:7: assert_return: unexpectedly trap (unreachable)",
    ]


def test_what_the_engine_lacks_is_skipped_with_all_that_follows_from_it(play: Callable[..., Tally]) -> None:
    """A missing feature skips the module, calls of it, its registration and whoever imports from it; the reason is
    the feature's name. Others go on."""
    tally = play(
        module("load unsupported gc", name="$a"),
        call("give"),
        {"type": "register", "as": "a", "name": "$a"},
        module("import a"),
        call("give"),
        module("import a", type="assert_unlinkable", text=""),
        module("load unsupported gc", type="assert_invalid", text=""),
        module("load unsupported simd", type="module_definition"),
        {"type": "module_instance", "instance": "$i"},
        {"type": "register", "as": "i", "name": "$i"},
        {"type": "assert_malformed", "filename": "x.wat", "module_type": "text", "text": ""},
        module(),
        call("give"),
    )
    assert tally.failed == []
    assert tally.skipped == {"gc": 7, "simd": 3, "text format": 1}
    assert tally.passed == 2


def test_a_failed_module_leaves_nothing_to_act_on(play: Callable[..., Tally]) -> None:
    """Where a module fails, later commands don't pass by hitting the module before it, and the script runs on."""
    tally = play(
        module(name="$m"),
        module("load invalid oops", name="$m"),
        call("give", type="assert_return"),
        {"type": "register", "as": "m", "name": "$m"},
        module("import m"),
        module("import spectest"),
    )
    assert (tally.passed, len(tally.failed), tally.skipped.total()) == (2, 4, 0)


def test_definitions_can_be_instantiated_more_than_once(play: Callable[..., Tally]) -> None:
    """A definition alone runs nothing; instances of it are found by their names."""
    tally = play(
        module("start trap unreachable", type="module_definition"),
        module("", type="module_definition", name="$d"),
        {"type": "module_instance", "instance": "$i", "module": "$d"},
        {"type": "module_instance", "instance": "$j", "module": "$d"},
        {"type": "register", "as": "i", "name": "$i"},
        module("import i"),
        {"type": "module_instance", "module": "$nowhere"},
    )
    assert tally.passed == 6
    assert tally.failed == ["script.json:7: module_instance: there is no module definition '$nowhere'"]


@pytest.mark.parametrize("command", [call("crash"), call("crash", type="assert_trap", text="a"), {"type": "dance"}])
def test_a_defect_is_a_failed_command(play: Callable[..., Tally], command: dict[str, object]) -> None:
    """An error that no guest may cause, or a command that nobody knows, fails the command and ends nothing."""
    tally = play(module(), command, call("give"))
    assert (tally.passed, len(tally.failed)) == (2, 1)


@pytest.mark.parametrize("text", ["", "[]", "{}x", '{"commands": 1}', '{"commands": [1]}'])
def test_what_is_no_script_is_an_error(tmp_path: Path, text: str) -> None:
    """A file of another kind is refused, naming it."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ScriptError, match=r"other\.json"):
        run_script(path, Puppet())

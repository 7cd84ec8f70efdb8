"""Runs a spec script in the JSON form of `wasm-tools json-from-wast`, command by command.

A command passes only if what happens is of the kind that it names: malformed, invalid, unlinkable, trap, exhaustion
and exception never stand for one another. It is skipped only if its module needs something that the engine says it
lacks, or is given in the text format alone; whatever is then done with such a module is skipped for the same reason.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from runtime import lean

from .wast_values import Json, ScriptError, Val, argument, fits, list_of, show, text_of

M = TypeVar("M")
I = TypeVar("I")  # noqa: E741  # instance, between module and extern
X = TypeVar("X")


class Category(enum.Enum):
    """Kinds of failure that a script can ask for, and the one that it never does."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    UNLINKABLE = "unlinkable"
    TRAP = "trap"
    EXHAUSTION = "exhaustion"
    EXCEPTION = "exception"
    UNSUPPORTED = "unsupported"


@lean.frozen
class Failure:
    """What the engine says of an error. `text` is a trap's message or the name of the feature that it lacks."""

    category: Category
    text: str

    def __str__(self) -> str:
        return f"{self.category.value} ({self.text})"


class ScriptHost(Protocol[M, I, X]):
    """What a script needs of an engine. All that a script makes lives in one engine."""

    def load(self, data: bytes) -> M: ...

    def instantiate(self, module: M, lookup: Callable[[str, str], X | None]) -> I: ...

    def spectest(self) -> I:
        """The module that scripts import from under this name."""

    def export(self, instance: I, name: str) -> X | None: ...

    def invoke(self, instance: I, name: str, args: Sequence[Val]) -> tuple[Val, ...]: ...

    def get(self, instance: I, name: str) -> Val:
        """The value of an exported global."""

    def failure(self, error: Exception) -> Failure | None:
        """The kind of `error`; None for one that no guest may cause."""


@lean.frozen
class Lacking:
    """Stands for a module that the engine can't have, and for its instance."""

    feature: str


@lean.define
class Tally:
    """What became of a script's commands. `failed` has a line for each."""

    passed: int = 0
    failed: list[str] = lean.field(factory=list)
    skipped: Counter[str] = lean.field(factory=Counter)


class _Skip(Exception):
    """The command can't be judged; the message is the reason."""


class _Mismatch(Exception):
    """The command failed; the message says how."""


#: The reason for skipping what is given as text only.
TEXT_FORMAT = "text format"


def run_script(
    path: Path, engine: ScriptHost[M, I, X], refused: Callable[[int], bool] = lambda line: False
) -> Tally:
    """Run every command of the script at `path`, its modules beside it. `refused` says of a command's line that a tool
    has found its module, which is text, to be malformed. Raises OSError or ScriptError where the file is not a script
    in JSON."""
    try:
        script = json.loads(path.read_bytes())
        commands = list_of(script, "commands")
    except (ValueError, AttributeError, ScriptError) as error:
        raise ScriptError(f"{path}: not a spec script in JSON: {error}") from error
    run = _Run(path.parent, engine, refused)
    run.registered["spectest"] = engine.spectest()
    tally = Tally()
    for command in commands:
        try:
            run.do(command)
        except _Skip as skip:
            tally.skipped[str(skip)] += 1
        except (_Mismatch, ScriptError) as error:
            tally.failed.append(f"{path.name}:{command.get('line')}: {command.get('type')}: {error}")
        else:
            tally.passed += 1
    return tally


@lean.define
class _Run(Generic[M, I, X]):
    """The state of a running script. Under the name None stand the latest instance and the latest definition."""

    folder: Path
    engine: ScriptHost[M, I, X]
    refused: Callable[[int], bool]
    instances: dict[str | None, I | Lacking] = lean.field(factory=dict)
    definitions: dict[str | None, M | Lacking] = lean.field(factory=dict)
    registered: dict[str, I | Lacking] = lean.field(factory=dict)

    def do(self, command: Json) -> None:
        """Run one command. Raises _Skip or _Mismatch unless it passes."""
        try:
            self._dispatch(text_of(command, "type"), command)
        except (_Skip, _Mismatch, ScriptError):
            raise
        except Exception as error:
            failure = self._judge(error)
            raise _Mismatch(f"unexpectedly {failure}") from error

    def _dispatch(self, kind: str, command: Json) -> None:
        match kind:
            case "module":
                self._keep(self.instances, command.get("name"), lambda: self._instantiate(self._load(command)))
            case "module_definition":
                self._keep(self.definitions, command.get("name"), lambda: self._load(command))
            case "module_instance":
                self._keep(self.instances, command.get("instance"), lambda: self._instantiate(self._defined(command)))
            case "register":
                self._register(text_of(command, "as"), command.get("name"))
            case "action":
                self._act(command)
            case "assert_return":
                self._returns(command)
            case "assert_trap":
                self._fails(command, Category.TRAP, self._act)
            case "assert_exhaustion":
                self._fails(command, Category.EXHAUSTION, self._act)
            case "assert_exception":
                self._fails(command, Category.EXCEPTION, self._act)
            case "assert_malformed":
                self._fails(command, Category.MALFORMED, self._load)
            case "assert_invalid":
                self._fails(command, Category.INVALID, self._load)
            case "assert_unlinkable":
                self._fails(command, Category.UNLINKABLE, lambda c: self._instantiate(self._load(c)))
            case "assert_uninstantiable":
                self._fails(command, Category.TRAP, lambda c: self._instantiate(self._load(c)))
            case _:
                raise ScriptError("a command that is not known")

    # Modules and instances

    def _load(self, command: Json) -> M:
        file = command.get("binary_filename")
        if not isinstance(file, str):
            if command.get("module_type") == "text":
                raise _Skip(TEXT_FORMAT)
            file = text_of(command, "filename")
        return self.engine.load((self.folder / file).read_bytes())

    def _defined(self, command: Json) -> M:
        return self._named(self.definitions, command.get("module"), "module definition")

    def _instantiate(self, module: M) -> I:
        return self.engine.instantiate(module, self._lookup)

    def _lookup(self, module: str, name: str) -> X | None:
        instance = self.registered.get(module)
        if isinstance(instance, Lacking):
            raise _Skip(instance.feature)
        return None if instance is None else self.engine.export(instance, name)

    def _keep(self, space: dict[str | None, _T | Lacking], name: object, make: Callable[[], _T]) -> None:
        """Keep what `make` gives as the latest one, and under `name`. Where it fails, whatever had the name before
        is gone too, so that later commands can't pass by acting on the wrong module."""
        names = {None, name if isinstance(name, str) else None}
        for each in names:
            space.pop(each, None)
        made: _T | Lacking
        try:
            made = make()
        except _Skip as skip:
            space.update(dict.fromkeys(names, Lacking(str(skip))))
            raise
        except Exception as error:
            failure = self.engine.failure(error)
            if failure is not None and failure.category is Category.UNSUPPORTED:
                space.update(dict.fromkeys(names, Lacking(failure.text)))
            raise
        space.update(dict.fromkeys(names, made))

    def _named(self, space: dict[str | None, _T | Lacking], name: object, what: str) -> _T:
        """What `name` (None: the latest) stands for. Raises _Skip where that is a module which the engine lacks."""
        found = space.get(name if isinstance(name, str) else None)
        if isinstance(found, Lacking):
            raise _Skip(found.feature)
        if found is None:
            raise _Mismatch(f"there is no {what} '{name}'" if name else f"there is no {what} to use")
        return found

    def _register(self, under: str, name: object) -> None:
        self.registered.pop(under, None)
        try:
            self.registered[under] = self._named(self.instances, name, "instance")
        except _Skip as skip:
            self.registered[under] = Lacking(str(skip))
            raise

    # Actions and assertions

    def _act(self, command: Json) -> tuple[Val, ...]:
        action = command.get("action")
        if not isinstance(action, dict):
            raise ScriptError("a command without an action")
        instance = self._named(self.instances, action.get("module"), "instance")
        field = text_of(action, "field")
        if action.get("type") == "get":
            return (self.engine.get(instance, field),)
        return self.engine.invoke(instance, field, [argument(each) for each in list_of(action, "args")])

    def _returns(self, command: Json) -> None:
        values, expected = self._act(command), list_of(command, "expected")
        if len(values) != len(expected) or not all(map(fits, expected, values)):
            wanted = ", ".join(map(show, expected)) or "nothing"
            raise _Mismatch(f"expected {wanted}; got {', '.join(map(str, values)) or 'nothing'}")

    def _fails(self, command: Json, category: Category, do: Callable[[Json], object]) -> None:
        line = command.get("line")
        if category is Category.MALFORMED and isinstance(line, int) and self.refused(line):
            return
        try:
            do(command)
        except (_Skip, _Mismatch, ScriptError):
            raise
        except Exception as error:
            failure = self._judge(error)
            if failure.category is not category or not _same_trap(category, command, failure):
                raise _Mismatch(f"expected {category.value} ({command.get('text', '')}); got {failure}") from error
            return
        raise _Mismatch(f"expected {category.value} ({command.get('text', '')}); it succeeded")

    def _judge(self, error: Exception) -> Failure:
        """The engine's verdict. An error that no guest may cause is a defect: the command fails, and the rest of the
        script still runs."""
        failure = self.engine.failure(error)
        if failure is None:
            raise _Mismatch(f"{type(error).__name__}: {error}") from error
        if failure.category is Category.UNSUPPORTED:
            raise _Skip(failure.text)
        return failure


_T = TypeVar("_T")


def _same_trap(category: Category, command: Json, failure: Failure) -> bool:
    """Traps have to be the right ones too. Scripts write some messages longer ("uninitialized element 2"), and name
    the kind of reference that is null."""
    if category is not Category.TRAP:
        return True
    wanted = text_of(command, "text")
    if wanted.startswith("null ") and wanted.endswith(" reference"):
        wanted = "null reference"
    return wanted.startswith(failure.text)

"""The line protocol that harnesses speak with an interpreter: a prompt, a command a line, raw numbers in and out.

`:load FILE`, `:load-hex SIZE` and then the bytes in hexadecimal, `NAME ARGS…`, `:invoke NAME ARGS…` (whose results have
their types), `:get-global NAME`, `:init`, `:version`, `:exit`. Floats go by their bits as unsigned integers. What is
said of a call goes to standard error, and a call that fails to a line `Error: …`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, TextIO

from .wast_engine import Exports, ScriptEngine
from .wast_script import Category, Failure
from .wast_values import Number, ScriptError, Val

PROMPT: Final = "wasm3> "
#: The largest module that a line may announce.
_MOST: Final = 10 << 20
#: Traps whose name is another here.
_TRAPS: Final = {"unreachable": "unreachable executed", "call stack exhausted": "stack overflow"}
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_LETTERS: Final = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t"}


class _Refused(Exception):
    """A command that can't be carried out."""


class Lines:
    """A conversation by lines."""

    def __init__(self, source: TextIO, out: TextIO, errors: TextIO) -> None:
        self.source, self.out, self.errors = source, out, errors
        self.engine = ScriptEngine()
        self.exports: Exports = {}
        self.verbs: dict[str, Callable[..., None]] = {
            ":init": self.init,
            ":version": self.version,
            ":load": self.load,
            ":load-hex": self.load_hex,
            ":invoke": self.invoke,
            ":get-global": self.get_global,
        }

    def run(self, file: str | None) -> None:
        """Speak until the other side has nothing more to say. Loads `file` first, if there is one."""
        if file is not None:
            self.carry_out([":load", file])
        while True:
            self.out.write(PROMPT)
            self.out.flush()
            line = self.source.readline()
            words = line.split()
            if not line or words[:1] == [":exit"]:
                return
            if words:
                self.carry_out(words)

    def carry_out(self, words: list[str]) -> None:
        """One command; what goes wrong is told."""
        verb, args = words[0], words[1:]
        try:
            if verb.startswith(":"):
                if verb not in self.verbs:
                    raise _Refused("no such command")
                self.verbs[verb](*args)
            else:
                self._call(words, typed=False)
        except TypeError as error:
            self.tell(f"Error: {error} ()")
        except (_Refused, ScriptError, OSError, ValueError) as error:
            self.tell(f"Error: {error} ()")
        except Exception as error:
            failure = self.engine.failure(error)
            if failure is None:
                raise
            self.tell(_failed(failure, str(error)))

    def tell(self, text: str) -> None:
        """A line about a call."""
        self.errors.write(text.replace("\n", " ") + "\n")
        self.errors.flush()

    # Commands ------------------------------------------------------------------------------------------------------

    def init(self) -> None:
        """Forget everything."""
        self.engine, self.exports = ScriptEngine(), {}

    def version(self) -> None:
        """Who answers."""
        self.out.write(f"hostsdk {version('hostsdk')}\n")

    def load(self, file: str) -> None:
        """A module from a file."""
        self._instantiate(Path(file).read_bytes())

    def load_hex(self, size: str) -> None:
        """A module whose bytes follow."""
        count = int(size)
        if not 8 <= count <= _MOST:
            raise _Refused("file is too small" if count < 8 else "file too big")
        digits = ""
        while len(digits) < 2 * count:
            line = self.source.readline()
            if not line:
                raise _Refused("cannot read the module")
            digits += re.sub(r"[^0-9a-fA-F]", "", line)
        self._instantiate(bytes.fromhex(digits[: 2 * count]))

    def invoke(self, *words: str) -> None:
        """A call whose results have their types."""
        self._call(list(words), typed=True)

    def get_global(self, name: str) -> None:
        """A global's value."""
        self.tell(f"Result: {_shown(self.engine.get(self.exports, _unescaped(name)))}")

    # Inside --------------------------------------------------------------------------------------------------------

    def _instantiate(self, data: bytes) -> None:
        known = {"spectest": self.engine.spectest()}
        module = self.engine.load(data)
        self.exports = self.engine.instantiate(module, lambda m, name: known.get(m, {}).get(name))

    def _call(self, words: list[str], *, typed: bool) -> None:
        name, texts = _unescaped(words[0]), words[1:]
        func = self.exports.get(name)
        kinds = [str(kind) for kind in getattr(getattr(func, "type", None), "params", ())]
        if func is None or not hasattr(func, "code"):
            raise _Refused("function lookup failed")
        if len(kinds) != len(texts):
            raise _Refused("argument count mismatch")
        args: list[Val] = [_argument(kind, text) for kind, text in zip(kinds, texts, strict=True)]
        values = self.engine.invoke(self.exports, name, args)
        if not values:
            self.tell("Result: <Empty Stack>")
        elif typed or len(values) > 1:
            self.tell("Result: " + ", ".join(map(_shown, values)))
        else:
            self.tell(f"Result: {_raw(values[0])}")


def _argument(kind: str, text: str) -> Number:
    bits = {"i32": 32, "f32": 32, "i64": 64, "f64": 64, "v128": 128}.get(kind)
    if bits is None:
        raise _Refused(f"a parameter of type {kind} can't be given")
    number = int(text, 0)
    if not -(1 << bits - 1) <= number < 1 << bits:
        raise _Refused(f"{text} does not fit {kind}")
    return Number(kind, number & (1 << bits) - 1)


def _raw(value: Val) -> str:
    return str(value.bits) if isinstance(value, Number) else str(value)


def _shown(value: Val) -> str:
    return f"{value.bits}:{value.type}" if isinstance(value, Number) else str(value)


def _failed(failure: Failure, message: str) -> str:
    if failure.category in (Category.TRAP, Category.EXHAUSTION):
        return f"Error: [trap] {_TRAPS.get(failure.text, failure.text)} ({message})"
    return f"Error: {failure.text} ({message})"


def _unescaped(text: str) -> str:
    def letter(match: re.Match[str]) -> str:
        found = match[1]
        return chr(int(found[1:], 16)) if len(found) > 1 else _LETTERS.get(found, found)

    name = _ESCAPE.sub(letter, text)
    return "" if name == "\0" else name

"""Handlers of everything that computes: row and semantics meet here, by name.

A row without a text in `inline` gets the generic one, which calls its function. So a new operator is one row and one
function in `semantics`, and nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
from typing import Any

from ..instr.model import Instr
from ..semantics import convert, integer
from ..semantics import float as floats
from . import inline
from .registry import Branch, Const, Handler, Operand, Term, register, register_condition

_TYPES = ("i32_", "i64_", "f32_", "f64_")


def _functions(room: ModuleType) -> dict[str, FunctionType]:
    """The functions that the room defines, by the names of their rows: `i32_trunc_f32_s` is `i32.trunc_f32_s`."""
    return {
        name.replace("_", ".", 1): value
        for name, value in vars(room).items()
        if name.startswith(_TYPES) and value.__module__ == room.__name__
    }


#: What each row computes, by its name.
FUNCTIONS: dict[str, FunctionType] = {
    name: function for room in (integer, floats, convert) for name, function in _functions(room).items()
}


def _call(name: str, function: FunctionType) -> inline.Text:
    """The generic adaptor: a text that calls the function."""
    operands = "{a}, {b}" if function.__code__.co_argcount == 2 else "{a}"
    return inline.Text(f"{name.replace('.', '_')}({operands})")


#: How each row computes it.
_TEXTS = {name: _call(name, function) for name, function in FUNCTIONS.items()} | inline.TEXTS


def _make(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    return inline.handler(_TEXTS[row.name], dest, operands)


def branch_if(operand: Operand, taken: Any, fall: Any) -> Term:
    """A branch on an i32: goes on with `taken` unless it is 0."""
    if isinstance(operand, Const):
        always = taken if operand.value else fall
        return lambda r: always
    index = operand
    return lambda r: taken if r[index] else fall


def fuse(text: inline.Text) -> Callable[[Sequence[Operand]], Branch]:
    """A text of form `truth` joined with a branch."""
    return lambda operands: inline.branch(text, operands)


for _name, _text in _TEXTS.items():
    register(_name, _make)
    if _text.form == "truth":
        register_condition(_name, fuse(_text))

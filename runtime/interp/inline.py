"""Handlers as generated text, for the instructions that run most.

A call costs CPython more than an addition does, so a handler that called the function in `semantics` would take
twice as long as one that holds the expression itself. `TEXTS` has these expressions. For each text and shape of
operands (which are registers, which constants) one factory is compiled, when first needed; it binds the register
numbers and constants as closure cells, so that it serves every place in every module. A test compares each text with
the function in `semantics` that it stands for.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import lean
from ..semantics import convert, integer
from ..semantics import float as floats
from ..values import NAN32, NAN64, round_f32
from .registry import Branch, Const, Handler, Operand

#: What generated text may name besides its operands.
_SCOPE: dict[str, object] = {"NAN32": NAN32, "NAN64": NAN64, "round_f32": round_f32}
_SCOPE |= {"copysign": math.copysign, "sqrt": math.sqrt}
_SCOPE |= {"pack32": struct.Struct("<f").pack, "unpack32": struct.Struct("<f").unpack}
_SCOPE |= {name: value for room in (integer, floats, convert) for name, value in vars(room).items() if name[0] != "_"}


@lean.frozen(eq=False)
class Text:
    """An expression over the operands `{a}`, `{b}`, `{c}`.

    `views` gives, for some operands, the text (over `{x}`) of the only form in which the expression uses it; of a
    constant the view is computed once. `form` says how the result is stored: `value` as it is, `truth` as 1 or 0,
    `nan64` with any NaN replaced by the canonical one, `nan32` rounded, too.
    """

    expr: str
    form: str = "value"
    views: tuple[tuple[str, str], ...] = ()


#: What is done with an expression: `branch` instead of the form, where it is the condition of one.
_USES = {
    "value": "r[d] = {}",
    "truth": "r[d] = 1 if {} else 0",
    "nan64": "x = {}\nr[d] = x if x == x else NAN64",
    # `round_f32`, with its usual case in place.
    "nan32": "x = {}\n"
    "try: r[d] = unpack32(pack32(x))[0] if x == x else NAN32\n"
    "except OverflowError: r[d] = round_f32(x)",
    "branch": "return taken if {} else fall",
}
#: `d` is the destination.
_LETTERS = "abcefg"
#: Operands that a text can have.
MOST = len(_LETTERS)


@lean.frozen
class _Plan:
    """What a text, use and shape come to: the factory, and the views of the operands that are constants."""

    factory: Callable[..., Any]
    views: tuple[tuple[int, Callable[[object], object]], ...]


_factories: dict[tuple[str, str], Callable[..., Any]] = {}
_plans: dict[tuple[Text, str, int], _Plan] = {}


def offer(names: Mapping[str, object]) -> None:
    """Let generated text name these, too."""
    _SCOPE.update(names)


def factory(params: str, body: str) -> Callable[..., Any]:
    """The factory of functions of `r` with this body and cells `params` (names, separated by commas).

    This is the one place where text becomes code. The text is the engine's own: what a module can choose, numbers and
    constants, is bound, never pasted.
    """
    made = _factories.get((params, body))
    if made is None:
        lines = "\n        ".join(body.splitlines())
        scope: dict[str, Callable[..., Any]] = {}
        exec(f"def factory({params}):\n    def handler(r):\n        {lines}\n    return handler", _SCOPE, scope)
        made = _factories[params, body] = scope["factory"]
    return made


def place(operands: Sequence[Operand]) -> tuple[list[str], list[object]]:
    """For each operand the text that reads it, and what its cell is bound to. The cells are called `a`, `b`, `c`."""
    texts: list[str] = []
    bound: list[object] = []
    for letter, operand in zip(_LETTERS, operands, strict=False):
        if isinstance(operand, Const):
            texts.append(letter)
            bound.append(operand.value)
        else:
            texts.append(f"r[{letter}]")
            bound.append(operand)
    return texts, bound


def cells(operands: Sequence[Operand]) -> str:
    """The names of the cells that `place` speaks of."""
    return ", ".join(_LETTERS[: len(operands)])


def handler(text: Text, dest: int, operands: Sequence[Operand]) -> Handler:
    """The handler that stores the text's result in register `dest`."""
    make, bound = _resolve(text, text.form, operands)
    made: Handler = make(dest, None, *bound)
    return made


def branch(text: Text, operands: Sequence[Operand]) -> Branch:
    """The text of form `truth` as the condition of a branch."""
    make, bound = _resolve(text, "branch", operands)
    return lambda taken, fall: make(taken, fall, *bound)


def _resolve(text: Text, use: str, operands: Sequence[Operand]) -> tuple[Callable[..., Any], list[object]]:
    """The factory for operands of this shape, and what the operands' cells are bound to. This runs once for every
    instruction of a module, hence the look-up by a number."""
    shape = 1
    bound: list[object] = []
    for operand in operands:
        if isinstance(operand, Const):
            shape = shape << 1 | 1
            bound.append(operand.value)
        else:
            shape <<= 1
            bound.append(operand)
    plan = _plans.get((text, use, shape))
    if plan is None:
        plan = _plans[text, use, shape] = _plan(text, use, operands)
    for i, view in plan.views:
        bound[i] = view(bound[i])
    return plan.factory, bound


def _plan(text: Text, use: str, operands: Sequence[Operand]) -> _Plan:
    texts, _ = place(operands)
    views: list[tuple[int, Callable[[object], object]]] = []
    for letter, how in text.views:
        i = _LETTERS.index(letter)
        if isinstance(operands[i], Const):
            views.append((i, _view(how)))
        else:
            texts[i] = how.format(x=texts[i])
    body = _USES[use].format(text.expr.format(**dict(zip(_LETTERS, texts, strict=False))))
    first = "taken, fall" if use == "branch" else "d, _"
    return _Plan(factory(f"{first}, {cells(operands)}", body), tuple(views))


def _view(how: str) -> Callable[[object], object]:
    """A view as a function of the constant."""
    make = factory("a", "return " + how.format(x="a"))
    return lambda value: make(value)(None)


def _int_texts(bits: int) -> dict[str, Text]:
    """i32 or i64. The signed reading of x is x below SIGN and x - SIZE from there on; most values are below, which
    the texts make use of."""
    size, mask, sign = hex(1 << bits), hex((1 << bits) - 1), hex(1 << bits - 1)
    count = (("b", f"({{x}} & {bits - 1})"),)
    texts = {
        "add": Text(f"({{a}} + {{b}}) & {mask}"),
        "sub": Text(f"({{a}} - {{b}}) & {mask}"),
        "mul": Text(f"({{a}} * {{b}}) & {mask}"),
        "and": Text("{a} & {b}"),
        "or": Text("{a} | {b}"),
        "xor": Text("{a} ^ {b}"),
        "shl": Text(f"({{a}} << {{b}}) & {mask}", views=count),
        "shr_u": Text("{a} >> {b}", views=count),
        "shr_s": Text(f"x >> {{b}} if (x := {{a}}) < {sign} else (x - {size} >> {{b}}) & {mask}", views=count),
        "rotl": Text(f"((x := {{a}}) << (n := {{b}}) | x >> {bits} - n) & {mask}", views=count),
        "rotr": Text(f"((x := {{a}}) >> (n := {{b}}) | x << {bits} - n) & {mask}", views=count),
        "clz": Text(f"{bits} - {{a}}.bit_length()"),
        "ctz": Text(f"(x & -x).bit_length() - 1 if (x := {{a}}) else {bits}"),
        "popcnt": Text("{a}.bit_count()"),
        "extend8_s": Text(f"x if (x := {{a}} & 0xFF) < 0x80 else x + {hex((1 << bits) - 0x100)}"),
        "extend16_s": Text(f"x if (x := {{a}} & 0xFFFF) < 0x8000 else x + {hex((1 << bits) - 0x1_0000)}"),
    }
    for kind, op in (("div", "//"), ("rem", "%")):
        # Where both are positive, signed and unsigned are the same; the rest, and the traps, are left to semantics.
        texts[f"{kind}_u"] = Text(f"{{a}} {op} y if (y := {{b}}) else i{bits}_{kind}_u({{a}}, 0)")
        positive = f"(x := {{a}}) < {sign} > (y := {{b}}) > 0"
        texts[f"{kind}_s"] = Text(f"x {op} y if {positive} else i{bits}_{kind}_s({{a}}, {{b}})")
    texts |= _order_texts(sign)
    return {f"i{bits}.{name}": text for name, text in texts.items()}


def _order_texts(sign: str) -> dict[str, Text]:
    """Comparisons of integers."""
    texts = {
        "eqz": Text("not {a}", "truth"),
        "eq": Text("{a} == {b}", "truth"),
        "ne": Text("{a} != {b}", "truth"),
    }
    for name, op in _ORDERS:
        texts[f"{name}_u"] = Text(f"{{a}} {op} {{b}}", "truth")
        # Of two values with different signs the greater unsigned reading is the lesser signed one.
        signed = f"x {op} y if ((x := {{a}}) ^ (y := {{b}})) < {sign} else y {op} x"
        texts[f"{name}_s"] = Text(f"({signed})", "truth")
    return texts


def _float_texts(bits: int) -> dict[str, Text]:
    nan = f"nan{bits}"
    texts = {
        "add": Text("{a} + {b}", nan),
        "sub": Text("{a} - {b}", nan),
        "mul": Text("{a} * {b}", nan),
        "div": Text(f"{{a}} / y if (y := {{b}}) else f{bits}_div({{a}}, y)", nan),
        "sqrt": Text(f"sqrt(x) if (x := {{a}}) >= 0 else f{bits}_sqrt(x)", nan),
        # Left to semantics: equal operands, which may be zeros of either sign, and NaNs.
        "min": Text(f"x if (x := {{a}}) < (y := {{b}}) else y if y < x else f{bits}_min(x, y)"),
        "max": Text(f"x if (x := {{a}}) > (y := {{b}}) else y if y > x else f{bits}_max(x, y)"),
        "neg": Text("-{a}"),
        "abs": Text("abs({a})"),
        "copysign": Text("copysign({a}, {b})"),
        "eq": Text("{a} == {b}", "truth"),
        "ne": Text("{a} != {b}", "truth"),
    }
    texts |= {name: Text(f"{{a}} {op} {{b}}", "truth") for name, op in _ORDERS}
    return {f"f{bits}.{name}": text for name, text in texts.items()}


def _convert_texts() -> dict[str, Text]:
    signed = "x if (x := {a}) < 0x80000000 else x + 0xFFFFFFFF00000000"
    as_float = "float(x if (x := {{a}}) < {} else x - {})"
    texts = {
        "i32.wrap_i64": Text("{a} & 0xFFFFFFFF"),
        "i64.extend_i32_u": Text("{a}"),
        "i64.extend_i32_s": Text(signed),
        "i64.extend32_s": Text(signed.replace("{a}", "{a} & 0xFFFFFFFF")),
        "f64.promote_f32": Text("{a}", "nan64"),
        "f32.demote_f64": Text("{a}", "nan32"),
        "f64.convert_i32_u": Text("float({a})"),
        "f64.convert_i64_u": Text("float({a})"),
        "f64.convert_i32_s": Text(as_float.format(hex(1 << 31), hex(1 << 32))),
        "f64.convert_i64_s": Text(as_float.format(hex(1 << 63), hex(1 << 64))),
    }
    for bits in (32, 64):
        for kind in ("trunc", "trunc_sat"):
            for source in ("f32", "f64"):
                for sign in "su":
                    name = f"i{bits}.{kind}_{source}_{sign}"
                    texts[name] = Text(_truncation(name.replace(".", "_"), bits, sign))
    return texts


def _truncation(slow: str, bits: int, sign: str) -> str:
    """What lies well inside the range is cut in place; the rest, with its traps, is left to the function `slow`."""
    if sign == "u":
        return f"int(x) if -1.0 < (x := {{a}}) < {1 << bits}.0 else {slow}(x)"
    half = f"{1 << bits - 1}.0"
    return f"int(x) & {hex((1 << bits) - 1)} if -{half} < (x := {{a}}) < {half} else {slow}(x)"


_ORDERS = (("lt", "<"), ("gt", ">"), ("le", "<="), ("ge", ">="))
#: By the name of the row.
TEXTS: dict[str, Text] = {
    **_int_texts(32),
    **_int_texts(64),
    **_float_texts(32),
    **_float_texts(64),
    **_convert_texts(),
    "ref.is_null": Text("{a} is None", "truth"),
}

"""References at the border: structs, arrays, i31s, exceptions and functions, each as one value of a reference type.

What the guest has made passes as itself, so that it is the same object each time; a function is something to call, an
exception a Python exception. In a record they stay as the engine has them, which can save them.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from ._access import Access
from ._engine import (
    FUNC,
    DefType,
    FuncHandle,
    FuncType,
    Ref,
    ValType,
    Value,
    defined,
    is_a,
    lean,
    type_matches,
    types_match,
    value_in,
)
from ._errors import ConversionError
from ._messages import Text
from ._types import Callee, TypedFuncRef


@lean.frozen
class RefWord:
    """A reference of a type, passed as one value. It can't lie in memory."""

    type: ValType
    #: As an author writes it.
    text: str

    @property
    def shape(self) -> Ref:
        """For the engine."""
        return Ref(self.type)

    def lift(self, value: Value, access: Access) -> object:
        """What Python has of it."""
        return access.reference(self.type, value)

    def lower(self, value: object, what: str) -> Value:
        """What the engine has of it. Raises ConversionError for what is not of the type."""
        try:
            return value_in(self.type, value)
        except (TypeError, OverflowError) as error:
            raise ConversionError(Text.REFERENCE(what=what, why=error)) from None

    def as_param(self, want: ValType) -> RefWord | None:
        """The same where the guest passes a `want`; None where that may be something else."""
        return lean.evolve(self, type=want) if type_matches(want, self.type) else None

    def as_result(self, want: ValType) -> RefWord | None:
        """The same where the guest asks for a `want`: what is given is looked at where that may be less than this.
        None where nothing would fit."""
        if type_matches(self.type, want):
            return self
        return lean.evolve(self, type=want) if type_matches(want, self.type) else None


@lean.frozen
class FuncRefWord(RefWord):
    """A reference to a function whose parameters and results are known."""

    callee: Callee

    @classmethod
    def of(cls, callee: Callee, nullable: bool) -> FuncRefWord:
        """References to such a function, null or not."""
        text = f"Typed{callee.text}{' | None' if nullable else ''}"
        return cls(defined(callee.type).ref(nullable), text, callee)

    def lift(self, value: Value, access: Access) -> object:
        """The reference, to be called as any FuncRef."""
        return None if value is None else TypedFuncRef[Any, Any](None, None, self.callee, value)

    def lower(self, value: object, what: str) -> Value:
        """The function. Raises ConversionError for one of another type."""
        found = value.inst if isinstance(value, (TypedFuncRef, FuncHandle)) else value
        if (found is None or found is not value) and is_a(found, self.type):
            return found
        want = f"{self.text.partition('[')[0]} of that type"
        raise ConversionError(Text.KIND(what=what, type=self.text, want=want, value=reprlib.repr(value)))

    def as_param(self, want: ValType) -> RefWord | None:
        """The same for a type declared open or in a group, too, if its functions take and give this."""
        heap = want.heap
        if want.nullable > self.type.nullable or not isinstance(heap, DefType) or want.kind is not FUNC:
            return None
        fits = isinstance(heap.comp, FuncType) and callable_as(heap.comp, self.callee.type)
        return lean.evolve(self, type=want) if fits else None

    def as_result(self, want: ValType) -> RefWord | None:
        """As a parameter, and where any function is asked for."""
        return self if type_matches(self.type, want) else self.as_param(want)


def callable_as(have: FuncType, want: FuncType) -> bool:
    """Whether a function may be called by another type, however it is declared: it gives nothing that the type doesn't
    say, and of what it takes and what it is passed one is a subtype of the other. That has to be looked at, then."""
    if not types_match(have.results, want.results):
        return False
    return have.params == want.params or (
        len(have.params) == len(want.params)
        and all(type_matches(h, w) or type_matches(w, h) for h, w in zip(have.params, want.params, strict=True))
    )


def check_references(have: FuncType, want: FuncType, values: Sequence[Value], what: str) -> None:
    """Raises ConversionError where a reference passed as `want` says is not what the function takes."""
    if have is want:
        return
    for place, (type_, asked, value) in enumerate(zip(have.params, want.params, values, strict=True), 1):
        if type_ is not asked and not is_a(value, type_):
            why = f"argument {place} takes a {type_}, not {reprlib.repr(value)}"
            raise ConversionError(Text.REFERENCE(what=what, why=why))


@lean.frozen
class RefParam:
    """A reference: plain data is what the engine has of it. A call that holds an object of the host's which isn't
    plain data can't be saved."""

    word: RefWord

    @property
    def text(self) -> str:
        """As an author writes it."""
        return self.word.text

    @property
    def shape(self) -> Ref:
        """For the engine."""
        return self.word.shape

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> object:
        """The reference."""
        return raw[at]

    def bind(self, plain: object, access: Access) -> object:
        """What Python has of it."""
        return self.word.lift(plain, access)

    def show(self, plain: object) -> str:
        """The object's type: its repr may be anything."""
        return "None" if plain is None else f"<{type(plain).__name__}>"

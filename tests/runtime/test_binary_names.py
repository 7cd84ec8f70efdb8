"""The name section (appendix "Name Section")."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.binary.sections import decode
from runtime.declarations import Names
from runtime.features import AVAILABLE

from ..support.build import wat
from ..support.raw import custom, leb, module, sized, vec

_FUNCS = b"\x01" + sized(vec(b"\0" + sized(b"run")))


def _names(contents: bytes) -> Names:
    return decode(module(custom("name", contents)), AVAILABLE).names


def test_names_of_a_module_are_read() -> None:
    """Module, functions (imports included), locals and globals."""
    names = decode(
        wat(
            '(module $m (import "a" "b" (func $imported)) (func $run (param $x i32) (local $y f32))'
            " (func (local i32) (local $z i32)) (global $g i32 (i32.const 0)))"
        ),
        AVAILABLE,
    ).names
    assert names.module == "m"
    assert names.funcs == {0: "imported", 1: "run"}
    assert names.locals == {1: {0: "x", 1: "y"}, 2: {1: "z"}}
    assert names.globals == {0: "g"}


def test_a_subsection_that_is_wrong_does_not_hide_the_next() -> None:
    """What can't be read is left out, and no more than that."""
    assert _names(b"\0" + sized(b"\x05ab") + _FUNCS).funcs == {0: "run"}
    assert _names(b"\0" + sized(b"\x02\xc3(") + _FUNCS) == Names(None, {0: "run"})
    assert _names(b"\x63" + sized(b"what is this") + _FUNCS).funcs == {0: "run"}
    half = b"\x01" + sized(b"\x02" + b"\0" + sized(b"run") + b"\x01" + leb(99))
    assert _names(half).funcs == {0: "run"}


def test_the_first_name_section_counts() -> None:
    """A second one is a mistake of some tool, and is kept as a custom section like any other."""
    data = module(custom("name", _FUNCS), custom("name", b"\0" + sized(sized(b"late"))))
    decls = decode(data, AVAILABLE)
    assert decls.names == Names(None, {0: "run"})
    assert [name for name, _, _ in decls.customs] == ["name", "name"]


@given(st.binary(max_size=60))
def test_no_name_section_makes_a_module_malformed(contents: bytes) -> None:
    """Whatever stands in it."""
    _names(contents)
    _names(_FUNCS + contents)

"""Classes of data: `runtime.lean`, and that what knows attrs' classes knows them."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import ClassVar

import attrs
import pytest

from runtime import lean


@lean.frozen
class Point:
    """Two numbers, and what is left out of comparisons."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 0
    note: str = lean.field(default="", eq=False, repr=False)


@lean.frozen
class Solid(Point):
    """More fields, and one of them again."""

    z: int = 0
    y: int = 7


@lean.define
class Tally:
    """May change."""

    names: list[str] = lean.field(factory=list)
    longest: int = lean.field(factory=lean.of_self(lambda self: max(map(len, self.names), default=0)))
    calls: int = lean.field(default=0, init=False)

    def __post_init__(self) -> None:
        self.calls += 1

    def __repr__(self) -> str:
        """By the class that it is written in."""
        return super().__repr__()[:5]


@lean.define(eq=False, kw_only=True)
class Thing:
    """Compared by identity."""

    name: str


def test_fields_become_parameters_and_slots() -> None:
    """Positions and names as with attrs, inherited fields first; nothing else can be set."""
    assert Point(1, note="n").note == "n"
    assert repr(Solid(1, z=2)) == "Solid(x=1, y=7, z=2)"
    assert not hasattr(Point(1), "__dict__")
    assert list(inspect.signature(Solid).parameters) == ["x", "y", "note", "z"]
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]  # that is the test
    with pytest.raises(TypeError):
        Thing("a")  # type: ignore[call-arg]  # that is the test


def test_equality_goes_by_class_and_fields() -> None:
    """Equal objects of one class have one hash; what may change has none; identity where asked for."""
    assert Point(1, note="a") == Point(1, note="b") != Point(2)
    assert hash(Point(1)) == hash(Point(1))
    assert Point(1, 7) != Solid(1)
    assert Tally() == Tally() != Tally(["a"])
    assert Thing(name="a") != Thing(name="a")
    with pytest.raises(TypeError):
        hash(Tally())


def test_what_is_frozen_stays() -> None:
    """Setting and deleting raise AttributeError."""
    point = Point(1)
    with pytest.raises(AttributeError, match="x"):
        point.x = 2  # type: ignore[misc]  # that is the test
    with pytest.raises(AttributeError, match="x"):
        del point.x
    assert point == Point(1)


def test_factories_run_for_each_object() -> None:
    """A default that is made, one made of the object, and what runs at the end."""
    assert Tally().names is not Tally().names
    assert (Tally(["abc"]).longest, Tally(["abc"], 9).longest, Tally().calls) == (3, 9, 1)
    assert repr(Tally(["a"])) == "<test"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_objects_are_copied(again: object) -> None:
    """Copies and pickles of both kinds."""
    for each in (Solid(1, 2, "n"), Tally(["a"])):
        assert again(each) == each  # type: ignore[operator]  # callables, all of them


def test_attrs_knows_them() -> None:
    """`attrs.evolve`, `asdict` and `fields`, as users have them."""
    assert lean.is_record(Point)
    assert lean.evolve(Solid(1), z=5) == attrs.evolve(Solid(1), z=5) == Solid(1, z=5)  # type: ignore[misc]  # at run time
    assert attrs.asdict(Point(1)) == {"x": 1, "y": 0, "note": ""}  # type: ignore[arg-type]  # at run time
    assert [each.name for each in attrs.fields(Point)] == ["x", "y", "note"]  # type: ignore[arg-type]  # at run time

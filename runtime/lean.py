"""Classes of data that cost nothing to define: what `attrs.frozen` and `attrs.define` make, without their start-up.

`attrs` and `dataclasses` write and compile the methods of a class when it is defined. There are two hundred classes
here, of which a short program uses a quarter, and the compiling was half of the time that `import hostsdk` took. Here a
class shares its methods with all others but for `__init__`, which is compiled when some objects have been made.

Fields are described as `attrs` does it, so that `attrs.evolve`, `attrs.asdict` and `attrs.fields` work. Unlike there,
the parameter for a field has the field's name, underscore and all.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from types import CellType, FunctionType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from inspect import Signature

T = TypeVar("T")
C = TypeVar("C", bound=type)


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


#: Stands for "no default" and "not given".
NOTHING: Final = _Nothing()
#: Objects of a class that are made without an `__init__` of its own.
_FEW: Final = 16
#: How these factories are written.
_EMPTY: Final[dict[object, str]] = {list: "[]", dict: "{}"}
#: Names that a class with slots gets anew.
_OF_THE_DICT: Final = ("__dict__", "__weakref__")


class OfSelf:
    """Marks a factory that takes the object, of which the fields above are set."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[Any], object]) -> None:
        self.make = make


def of_self(make: Callable[[Any], T]) -> Callable[[], T]:
    """A factory that takes the object, whose fields above are set: `field(factory=of_self(lambda self: ...))`."""
    return OfSelf(make)  # type: ignore[return-value]  # where it lands, both are known


class Field:
    """One field of a class."""

    __slots__ = (
        "alias", "default", "eq", "factory", "init", "kw_only", "metadata", "name", "repr",
        "type",
    )  # fmt: skip

    def __init__(self, default: object = NOTHING, **options: Any) -> None:
        self.name = self.alias = ""
        self.type: object = None
        self.default = default
        self.factory: Callable[[], object] | OfSelf | None = options.get("factory")
        self.init: bool = options.get("init", True)
        self.repr: bool = options.get("repr", True)
        self.eq: bool = options.get("eq", True)
        self.kw_only = False
        self.metadata: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"Field({self.name!r})"


@overload
def field(*, default: T, init: bool = True, repr: bool = True, eq: bool = True) -> T: ...
@overload
def field(*, factory: Callable[[], T], init: bool = True, repr: bool = True, eq: bool = True) -> T: ...
@overload
def field(*, init: bool = True, repr: bool = True, eq: bool = True) -> Any: ...
def field(default: Any = NOTHING, **options: Any) -> Any:
    """Say more about a field than its type: its default, or what makes one for each object; whether it is a parameter,
    is shown, and counts when objects are compared."""
    return Field(default, **options)


@overload
def define(cls: C, /) -> C: ...
@overload
def define(*, eq: bool = True, repr: bool = True, slots: bool = True, kw_only: bool = False) -> Callable[[C], C]: ...
@dataclass_transform(field_specifiers=(field,))
def define(
    cls: C | None = None, /, *, eq: bool = True, repr: bool = True, slots: bool = True, kw_only: bool = False
) -> C | Callable[[C], C]:
    """A class of objects with fields, from its annotations. `__post_init__`, where there is one, is called last."""

    def make(cls: C) -> C:
        return _made(cls, False, eq, repr, slots, kw_only)

    return make if cls is None else make(cls)


@overload
def frozen(cls: C, /) -> C: ...
@overload
def frozen(*, eq: bool = True, repr: bool = True, slots: bool = True, kw_only: bool = False) -> Callable[[C], C]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(
    cls: C | None = None, /, *, eq: bool = True, repr: bool = True, slots: bool = True, kw_only: bool = False
) -> C | Callable[[C], C]:
    """The same of objects that don't change, which have a hash where they are compared."""

    def make(cls: C) -> C:
        return _made(cls, True, eq, repr, slots, kw_only)

    return make if cls is None else make(cls)


class Record:
    """A base for those that are given to the guest, or taken from it: tells type checkers what `define` and `frozen`
    add, by the name that attrs has for it."""

    __slots__ = ()
    if TYPE_CHECKING:
        __attrs_attrs__: ClassVar[Any]


def is_record(cls: type) -> bool:
    """Whether a class was made here, or by attrs."""
    return hasattr(cls, "__attrs_attrs__")


def evolve(of: T, /, **changes: Any) -> T:
    """A copy with other values for some fields."""
    for each in type(of).__attrs_attrs__:  # type: ignore[attr-defined]  # made by `define` or `frozen`
        if each.init and each.name not in changes:
            changes[each.name] = getattr(of, each.name)
    return type(of)(**changes)


def _made(cls: C, unchanging: bool, eq: bool, shown: bool, slots: bool, kw_only: bool) -> C:
    own = _own_fields(cls, kw_only)
    fields = tuple((_inherited(cls) | {mine.name: mine for mine in own}).values())
    added = _methods(cls, fields, unchanging, eq, shown)
    if slots:
        cls = _with_slots(cls, own, added)
    else:
        for mine in own:
            if mine.name in cls.__dict__:
                delattr(cls, mine.name)
        for name, value in added.items():
            setattr(cls, name, value)
    if "__init__" not in cls.__dict__:
        cls.__init__ = _first_init(cls, fields, unchanging)  # type: ignore[misc]  # of a class that isn't known here
        cls.__signature__ = _LazySignature(cls, fields)  # type: ignore[attr-defined]  # what inspect looks for
    return cls


def _own_fields(cls: type, kw_only: bool) -> list[Field]:
    """What the class's own annotations say."""
    fields = []
    for name, hint in cls.__annotations__.items():
        if str(hint).startswith(("ClassVar", "typing.ClassVar")):
            continue
        given = cls.__dict__.get(name, NOTHING)
        made = given if isinstance(given, Field) else Field(given)
        made.name = made.alias = name
        made.type = hint
        made.kw_only = kw_only
        fields.append(made)
    return fields


def _inherited(cls: type) -> dict[str, Field]:
    """What the bases' fields are, the eldest's first; one that is said again keeps its place."""
    bases = reversed(cls.__mro__[1:])
    return {each.name: each for base in bases for each in base.__dict__.get("__attrs_attrs__", ())}


def _methods(cls: type, fields: tuple[Field, ...], unchanging: bool, eq: bool, shown: bool) -> dict[str, object]:
    """The methods to add: those that the class has no own of."""
    added: dict[str, object] = {
        "__attrs_attrs__": fields,
        "__match_args__": tuple(each.name for each in fields if each.init and not each.kw_only),
        "__replace__": evolve,
    }
    if shown:
        added["__repr__"] = _repr
    if eq and "__eq__" not in cls.__dict__:
        key = attrgetter(*names) if (names := [each.name for each in fields if each.eq]) else type
        added["__eq__"], added["__hash__"] = _comparing(key, unchanging)
    if unchanging:
        added["__setattr__"] = added["__delattr__"] = _refuse
        added["__setstate__"] = _set_state
    return {name: value for name, value in added.items() if name not in cls.__dict__}


def _comparing(key: Callable[[object], object], unchanging: bool) -> tuple[object, object]:
    """How objects are compared, and what their hash is: None where they may change."""

    def equal(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return key(self) == key(other)

    def hashed(self: object) -> int:
        return hash(key(self))

    return equal, hashed if unchanging else None


@recursive_repr("...")
def _repr(self: Any) -> str:
    shown = ", ".join(
        f"{each.name}={getattr(self, each.name, NOTHING)!r}" for each in self.__attrs_attrs__ if each.repr
    )
    return f"{type(self).__qualname__.rpartition('>.')[2]}({shown})"


def _refuse(self: object, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} objects don't change: {name}")


def _set_state(self: object, state: Any) -> None:
    """What pickle and copy put back."""
    for part in state if isinstance(state, tuple) else (state,):
        for name, value in (part or {}).items():
            object.__setattr__(self, name, value)


def _with_slots(cls: C, own: list[Field], added: dict[str, object]) -> C:
    """The same class with slots for its fields: they can't be added to one that exists."""
    taken = {name for base in cls.__mro__[1:-1] for name in base.__dict__.get("__slots__", ())}
    names = [each.name for each in own if each.name not in taken]
    if not any("__weakref__" in base.__dict__ for base in cls.__mro__[1:]) and "__weakref__" not in names:
        names.append("__weakref__")
    left_out = {*_OF_THE_DICT, *(each.name for each in own)}
    body = {name: value for name, value in cls.__dict__.items() if name not in left_out}
    body |= added
    body |= {"__slots__": tuple(names), "__qualname__": cls.__qualname__}
    new: C = type(cls)(cls.__name__, cls.__bases__, body)
    for value in cls.__dict__.values():
        function = value
        if not isinstance(value, FunctionType):
            function = getattr(value, "__func__", getattr(value, "fget", None))
        if isinstance(function, FunctionType) and function.__closure__ is not None:
            # A method with `super()` holds the class that it was written in: let it be the new one.
            for cell in function.__closure__:
                _replace_in(cell, cls, new)
    return new


def _replace_in(cell: CellType, old: type, new: type) -> None:
    try:
        if cell.cell_contents is old:
            cell.cell_contents = new
    except ValueError:  # an empty cell
        return


def _first_init(cls: type, fields: tuple[Field, ...], unchanging: bool) -> Callable[..., None]:
    """An `__init__` that serves for the first objects, and then puts the real one into its place: compiling that takes
    as long as filling twenty objects without."""
    begun: list[None] = []
    fill = object.__setattr__ if unchanging else setattr

    def first(self: object, *args: Any, **kwargs: Any) -> None:
        begun.append(None)
        if len(begun) <= _FEW and _filled(self, fields, fill, args, kwargs):
            return
        made = _compiled(cls, fields, unchanging)
        cls.__init__ = made  # type: ignore[misc]  # that's what it is for
        made(self, *args, **kwargs)

    return first


def _filled(
    self: Any,
    fields: tuple[Field, ...],
    fill: Callable[[Any, str, object], None],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> bool:
    """Do what the real `__init__` does; False where that is to say what is wrong with the arguments."""
    places = [each.name for each in fields if each.init and not each.kw_only]
    given = dict(zip(places, args, strict=False))
    if len(args) > len(places) or given.keys() & kwargs.keys():
        return False
    given |= kwargs
    for each in fields:
        value = given.pop(each.name, NOTHING) if each.init else NOTHING
        if value is NOTHING:
            factory = each.factory
            if factory is not None:
                value = factory.make(self) if isinstance(factory, OfSelf) else factory()
            elif each.default is not NOTHING:
                value = each.default
            elif each.init:
                return False
            else:
                continue
        fill(self, each.name, value)
    if given:
        return False
    if hasattr(self, "__post_init__"):
        self.__post_init__()
    return True


def _compiled(cls: type, fields: tuple[Field, ...], unchanging: bool) -> Callable[..., None]:
    names: dict[str, object] = {"NOTHING": NOTHING, "set_": object.__setattr__}
    parameters, body = ["self"], []
    for i, each in enumerate(fields):
        factory = each.factory
        names[f"_{i}"] = factory.make if isinstance(factory, OfSelf) else factory or each.default
        call = f"_{i}(self)" if isinstance(factory, OfSelf) else _EMPTY.get(factory, f"_{i}()")
        value = each.name
        if each.init:
            if each.kw_only and "*" not in parameters:
                parameters.append("*")
            default = "=NOTHING" if each.factory else "" if each.default is NOTHING else f"=_{i}"
            parameters.append(each.name + default)
            if each.factory:
                value = f"{call} if {value} is NOTHING else {value}"
        elif each.factory or each.default is not NOTHING:
            value = call if each.factory else f"_{i}"
        else:
            continue
        slot = getattr(cls, each.name, None)
        if not unchanging:
            body.append(f"self.{each.name} = {value}")
        elif isinstance(slot, MemberDescriptorType):
            names[f"set_{i}"] = slot.__set__
            body.append(f"set_{i}(self, {value})")
        else:
            body.append(f"set_(self, {each.name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body or ["pass"])
    exec(compile(text, f"<{cls.__module__}.{cls.__qualname__}>", "exec"), names)
    made = names["__init__"]
    if not isinstance(made, FunctionType):
        raise TypeError(f"no __init__ for {cls.__qualname__}")
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


class _LazySignature:
    """What `inspect.signature` and `help` show, made when they ask."""

    def __init__(self, cls: type, fields: tuple[Field, ...]) -> None:
        self.cls = cls
        self.fields = fields

    def __get__(self, instance: object, owner: type) -> Signature:
        if instance is not None or owner is not self.cls:
            raise AttributeError("__signature__")
        from inspect import Parameter, Signature

        parameters = []
        for each in self.fields:
            if each.init:
                kind = Parameter.KEYWORD_ONLY if each.kw_only else Parameter.POSITIONAL_OR_KEYWORD
                default = NOTHING if each.factory else Parameter.empty if each.default is NOTHING else each.default
                parameters.append(Parameter(each.name, kind, default=default, annotation=each.type))
        return Signature(parameters, return_annotation=None)

"""Classes whose objects may have machine code for being called.

An object of such a class has, behind what its class has, a word for a C function that is called in its place (a
vectorcall) and one for that function's own data. While the first is 0, a call goes to `__call__` as usual.
"""

from __future__ import annotations

import ctypes
from typing import Final, TypeVar

from . import desk
from .api import supported

T = TypeVar("T")

#: Numbers of CPython's: flags and slots of a class, the type of a member.
_BASE, _VECTORCALL = 1 << 10, 1 << 11
_MEMBERS: Final = 72
_SSIZE, _READONLY = 19, 1


class _Member(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("type", ctypes.c_int), ("offset", ctypes.c_ssize_t), ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]  # fmt: skip


class _Slot(ctypes.Structure):
    _fields_ = [("slot", ctypes.c_int), ("function", ctypes.c_void_p)]


class _Spec(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("basicsize", ctypes.c_int), ("itemsize", ctypes.c_int), ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    ]  # fmt: skip


def quick(kind: type[T]) -> type[T]:
    """A class like `kind`, whose objects can be opened; `kind` itself where that can't be. `kind` has slots only."""
    found = _classes.get(kind)
    if found is None:
        found = _classes[kind] = _quick(kind)
    made: type[T] = found
    return made


def _quick(kind: type[T]) -> type[T]:
    if not supported() or kind.__basicsize__ > desk.VECTORCALL or kind.__dictoffset__:
        return kind
    members = (_Member * 2)(_Member(b"__vectorcalloffset__", _SSIZE, desk.VECTORCALL, _READONLY, None))
    slots = (_Slot * 2)(_Slot(_MEMBERS, ctypes.cast(members, ctypes.c_void_p)))
    name = f"{kind.__module__}.{kind.__qualname__}".encode()
    spec = _Spec(name, desk.ENTRY + 8, 0, _BASE | _VECTORCALL, slots)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_Spec), ctypes.py_object)(
        ("PyType_FromSpecWithBases", ctypes.pythonapi)
    )
    made: type[T] = make(ctypes.byref(spec), (kind,))
    _kept.append((members, slots, spec, name))
    made.__doc__ = kind.__doc__
    _made.add(made)
    return made


_kept: list[object] = []
_classes: dict[type, type] = {}
_made: set[type] = set()


def is_quick(thing: object) -> bool:
    """Whether an object can be opened."""
    return type(thing) in _made


def set_call(thing: object, function: int, entry: int) -> None:
    """Have calls of the object go to a C function from now on; 0 for `__call__`."""
    # In this order: whoever calls by the function looks at the entry.
    ctypes.c_uint64.from_address(id(thing) + desk.ENTRY).value = entry
    ctypes.c_uint64.from_address(id(thing) + desk.VECTORCALL).value = function

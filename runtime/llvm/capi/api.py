"""Functions and types of CPython that compiled wrappers use, by their place in a table.

Only what is the same in all versions that `supported` names is used: exported functions, and the three facts that an
object's class stands in its second word, that slots of a class without a dictionary are words of the object, and that
None is one object.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Final

#: Functions, then types and other objects.
FUNCTIONS: Final = (
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyErr_Clear",
    "PyErr_Fetch",
    "PyErr_Occurred",
    "PyFloat_AsDouble",
    "PyFloat_FromDouble",
    "PyLong_AsLongLong",
    "PyLong_AsUnsignedLongLong",
    "PyLong_FromLongLong",
    "PyLong_FromUnsignedLongLong",
    "PyObject_Vectorcall",
    "PyBytes_FromStringAndSize",
    "PyThreadState_Get",
    "PyThreadState_GetID",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyUnicode_DecodeUTF8",
    "Py_DecRef",
    "Py_IncRef",
)
OBJECTS: Final[dict[str, object]] = {"int": int, "float": float, "None": None, "True": True, "False": False}
NAMES: Final = (*FUNCTIONS, *OBJECTS)
#: Versions of CPython whose objects have been tried with this.
_VERSIONS: Final = ((3, 11), (3, 14))


def place(name: str) -> int:
    """The offset in the table."""
    return 8 * NAMES.index(name)


@functools.cache
def supported() -> bool:
    """Whether wrappers may run on this Python: CPython of a known version with its global lock, on 64 bits."""
    if sys.implementation.name != "cpython" or not _VERSIONS[0] <= sys.version_info[:2] < _VERSIONS[1]:
        return False
    # Built without the lock, or with two more words in front of each object. (`sysconfig` takes long to ask.)
    if "t" in sys.abiflags or hasattr(sys, "getobjects"):
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or not all(hasattr(ctypes.pythonapi, name) for name in FUNCTIONS):
        return False
    return ctypes.c_void_p.from_address(id(1.5) + 8).value == id(float)


def table() -> ctypes.Array[ctypes.c_void_p]:
    """The table, one and the same for whichever threads come first, as desks know it by its address alone. Only where
    `supported`."""
    return _tables.get("") or _tables.setdefault("", _table())


_tables: dict[str, ctypes.Array[ctypes.c_void_p]] = {}


def _table() -> ctypes.Array[ctypes.c_void_p]:
    functions = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in FUNCTIONS]
    return (ctypes.c_void_p * len(NAMES))(*functions, *map(id, OBJECTS.values()))


_offsets: dict[tuple[type, str], int] = {}


def _offset(kind: type, name: str) -> int:
    owner: object = object.__new__(kind)
    mark = object()
    setattr(owner, name, mark)
    for offset in range(16, kind.__basicsize__, 8):
        if ctypes.c_void_p.from_address(id(owner) + offset).value == id(mark):
            return offset
    raise LookupError(name)


def slot(owner: object, name: str) -> int:
    """Where an attribute that is a slot lies in its object: the address of the word. Raises LookupError."""
    key = type(owner), name
    if key not in _offsets:
        _offsets[key] = _offset(*key)
    return id(owner) + _offsets[key]

"""The form of saved data: CBOR (RFC 8949), compressed by zlib, and nothing in it but plain values.

No class and no address of ours is in the data.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import cbor2

from ..errors import SnapshotError
from ..instances.objects import REFERENCES
from ..values import M64, Value, f64_from_bits, f64_to_bits

FORMAT = "hostsdk snapshot"
VERSION = 2
_ATOMS = (type(None), bool, int, float, str, bytes)


def corrupt(why: object) -> SnapshotError:
    """The error that data deserves which `save` didn't make."""
    return SnapshotError(f"the snapshot is corrupt: {why}")


def packed(value: object, ref: Callable[[Value], object] | None = None) -> object:
    """Plain data in a form that CBOR gives back as it was: it has no tuples, makes the containers in keys immutable,
    and may change the bits of a NaN. `ref` turns a reference into data."""
    if isinstance(value, tuple):
        return ["t", *[packed(item, ref) for item in value]]
    if isinstance(value, list):
        return ["l", *[packed(item, ref) for item in value]]
    if isinstance(value, dict):
        return ["d", *([packed(k, ref), packed(v, ref)] for k, v in value.items())]
    if isinstance(value, float) and value != value:
        return ["n", f64_to_bits(value)]
    if ref is not None and isinstance(value, REFERENCES):
        return ["r", ref(value)]
    return value


def unpacked(data: Any, ref: Callable[[Any], Value] | None = None) -> Any:
    """What `packed` was given; `ref` turns data into a reference. Raises SnapshotError for what it never made."""
    if type(data) in _ATOMS:
        return data
    match data:
        case ["t", *items]:
            return tuple([unpacked(item, ref) for item in items])
        case ["l", *items]:
            return [unpacked(item, ref) for item in items]
        case ["d", *pairs]:
            try:
                return {unpacked(key, ref): unpacked(value, ref) for key, value in pairs}
            except (TypeError, ValueError) as error:
                raise corrupt(error) from None
        case ["n", int(bits)]:
            return f64_from_bits(bits & M64)
        case ["r", reference] if ref is not None:
            return ref(reference)
    raise corrupt("plain data of an unknown kind")


def dumps(body: dict[str, object]) -> bytes:
    """`body` as bytes. Raises SnapshotError for what is no plain data."""
    try:
        return zlib.compress(cbor2.dumps(body, default=_refuse), 1)
    except SnapshotError:
        raise
    except RecursionError:
        raise SnapshotError("data nested so deeply can't be saved") from None
    except Exception as error:  # the encoder's own, for half a surrogate pair, say
        raise SnapshotError(f"something can't be saved: {error}") from error


def _refuse(encoder: Any, value: object) -> None:
    raise SnapshotError(f"a {type(value).__name__} can't be saved")


def loads(data: bytes | bytearray | memoryview, room: int) -> dict[str, Any]:
    """What `dumps` was given, if it has at most `room` bytes. Raises SnapshotError for anything else."""
    try:
        body = cbor2.loads(_inflate(data, room), tag_hook=_untag)
    except SnapshotError:
        raise
    except RecursionError:
        raise corrupt("nested too deeply") from None
    except Exception as error:  # whatever the decoders make of arbitrary bytes
        raise corrupt(error) from error
    _check(body)
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise SnapshotError("this is not a snapshot of hostsdk")
    if body.get("version") != VERSION:
        raise SnapshotError(f"this snapshot has version {body.get('version')!r}; this is for version {VERSION}")
    return body


def _inflate(data: bytes | bytearray | memoryview, room: int) -> bytes:
    inflater = zlib.decompressobj()
    out = inflater.decompress(data, room)
    if not inflater.eof:
        raise SnapshotError("the snapshot is incomplete, or larger than the limits allow")
    if inflater.unused_data:
        raise corrupt("bytes follow its end")
    return out


def _untag(tag: cbor2.CBORTag, immutable: bool) -> object:
    raise corrupt(f"a tag {tag.tag}")


def _check(body: object) -> None:
    """Nothing but plain values, each in one place: the decoder knows dates, patterns and circles, too."""
    todo = [body]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if type(value) in _ATOMS:
            continue
        if id(value) in seen:
            raise corrupt("something is in it twice")
        seen.add(id(value))
        if type(value) is dict:
            todo += value.keys()
            todo += value.values()
        elif type(value) is list:
            todo += value
        else:
            raise corrupt(f"a {type(value).__name__} in it")

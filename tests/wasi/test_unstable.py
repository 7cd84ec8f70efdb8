"""wasi_unstable: what it does otherwise, and that it has everything else."""

from __future__ import annotations

import struct

import pytest

import hostsdk.wasi
from hostsdk import WASI_ERRNO
from hostsdk.wasi import MemoryTree, WasiConfig, preview1, unstable
from tests.support.wasi import FUNCTIONS, Box


def old(**options: object) -> Box:
    """A guest of the older interface."""
    return Box(host=unstable(WasiConfig(**options)))  # type: ignore[arg-type]  # options of each test's own


def test_its_name_stays_a_function() -> None:
    """What is loaded for the older interface when it is first wanted does not take the place of its name."""
    unstable()
    assert hostsdk.wasi.unstable is unstable


def test_both_have_every_function() -> None:
    """All 45 functions of preview1 and proc_raise are registered, in both modules, with the same types."""
    assert preview1().functions.keys() == unstable().functions.keys() == FUNCTIONS.keys()
    for name, spec in unstable().functions.items():
        assert spec.signature.type == preview1().functions[name].signature.type


@pytest.mark.parametrize(("whence", "place"), [(0, 7), (1, 12), (2, 2)])
def test_whence_is_numbered_otherwise(whence: int, place: int) -> None:
    """fd_seek: 0 is from here, 1 from the end, 2 from the beginning."""
    with old(preopens={"/": MemoryTree({"f": b"0123456789"}).root}) as box:
        assert box.open("f") == (0, 4)
        assert box.read(4, 5) == (0, b"01234")
        out = box.out()
        assert box.fd_seek(4, 2, whence, out) == 0
        assert box.u64(out) == place
        assert box.fd_seek(4, 0, 3, out) == WASI_ERRNO["EINVAL"]


def test_links_are_counted_in_32_bits() -> None:
    """fd_filestat_get and path_filestat_get give 56 bytes, and touch no more."""
    with old(preopens={"/": MemoryTree({"f": b"0123456789"}).root}) as box:
        assert box.open("f") == (0, 4)
        first, second = box.room(56), box.room(56)
        assert box.fd_filestat_get(4, first) == 0
        assert box.path_filestat_get(3, 0, *box.text("f"), second) == 0
        assert box.get(first, 32) == box.get(second, 32)
        assert struct.unpack("<16xB3xIQ", box.get(first, 32)) == (4, 1, 10)
        assert box.untouched()


def test_a_clock_has_one_field_more() -> None:
    """poll_oneoff: subscriptions take 56 bytes, a clock's begins with an identifier."""
    with old(stdin=b"abc") as box:
        clock = struct.pack("<QB7xQI4xQQH6x", 7, 0, 99, 1, 0, 0, 0)
        stdin = struct.pack("<QB7xI36x", 8, 1, 0)
        assert len(clock) == len(stdin) == 56
        events, count = box.room(64), box.out()
        assert box.poll_oneoff(box.put(clock + stdin), events, 2, count) == 0
        found = list(struct.iter_unpack("<QHB5xQH6x", box.get(events, 64)))
        assert found == [(7, 0, 0, 0, 0), (8, 0, 1, 3, 0)]

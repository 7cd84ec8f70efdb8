"""A program with threads out of a package: what it does in them is done by the guest's own threads."""

from __future__ import annotations

import pytest

from tests.support.napi import Addon, JsError
from tests.support.registry import argon2

#: Little memory and one pass, so that it is quick.
QUICK = {"memoryCost": 32, "timeCost": 1}


def test_argon2_hashes_in_threads_of_its_own() -> None:
    """Behaviours 57 and 65: npm's @node-rs/argon2 (Rust, wasi-threads) begins three threads, which take hashes from a
    queue by atomic waits, and are waiting there when the process ends; none is left."""
    with Addon(argon2()) as addon:
        promised = [addon.call("hash", f"secret {n}", QUICK) for n in range(5)]
        assert addon.process.threads == 3
        found = addon.settled(*promised)
        assert len(set(found)) == 5
        assert all(str(each).startswith("$argon2id$v=19$m=32,t=1,p=1$") for each in found)
        assert [addon.call("verifySync", each, f"secret {n}") for n, each in enumerate(found)] == [True] * 5
        known = addon.call("verify", found[0], "another")
        assert addon.settled(known) == [False]
        bad = addon.call("verify", "no hash", "another")
        addon.settled(bad)
        assert isinstance(bad.broken, JsError)
        with pytest.raises(JsError):
            addon.call("verifySync", "no hash", "another")
        assert addon.process.threads == 3
    assert addon.process.threads == 0

"""The example of ten thousand waiting guests, with fewer of them."""

from __future__ import annotations

import contextlib
import io

from examples.waiting import main as example


def test_every_guest_gets_what_it_waits_for() -> None:
    """BEHAVIOURS 73: sleepers, readers of sockets, takers of a queue and coroutines wait on one thread beside one that
    computes, and all return."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert example.main(40, 0.2) == 40
    assert "40 of 40 guests have returned" in printed.getvalue()
    assert "waits for" in printed.getvalue()

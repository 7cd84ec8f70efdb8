"""Loggers: silent unless asked."""

from __future__ import annotations

import logging

import pytest

from hostsdk import Instance, Interrupt, Module
from tests.support.build import wat

SPIN = '(module (func (export "spin") loop br 0 end))'


def test_what_executions_come_to_is_logged_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, `hostsdk.execution` tells each outcome with the call; the package's logger has a handler that drops."""
    execution = Instance(Module.from_bytes(wat(SPIN))).start("spin")
    stop = Interrupt()
    stop.set()
    with caplog.at_level(logging.DEBUG, logger="hostsdk"):
        execution.run(interrupt=stop)
    [record] = caplog.records
    assert record.name == "hostsdk.execution"
    assert record.getMessage().startswith("spin(): Suspended(")
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("hostsdk").handlers)

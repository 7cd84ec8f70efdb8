"""`python -m hostsdk` is the command `hostsdk`."""

from __future__ import annotations

from .cli.main import start

start()

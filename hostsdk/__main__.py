"""`python -m hostsdk` is the command `hostsdk`."""

from __future__ import annotations

from .cli.start import start

start()

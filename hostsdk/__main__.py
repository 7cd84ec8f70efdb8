"""`python -m hostsdk` is the command `hostsdk`."""

from __future__ import annotations

from .cli.main import main

main(prog_name="hostsdk")

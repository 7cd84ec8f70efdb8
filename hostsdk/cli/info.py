"""`hostsdk info`: what is installed and available, for a report of a defect."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from runtime import EngineConfig, without_guard_pages, without_native

_PACKAGES: Final = ("attrs", "cbor2", "click", "llvmlite", "rich", "typing_extensions")


@click.command("info")
def command() -> None:
    """Show versions, tiers, and the WebAssembly features that modules may use."""
    rows = [
        ("hostsdk", _version("hostsdk")),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("tiers", _tiers()),
        ("guard pages", _guard_pages()),
        ("features", ", ".join(feature.text for feature in EngineConfig().features)),
        *((name, _version(name)) for name in _PACKAGES),
    ]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name:{width}}  {text}")


def _tiers() -> str:
    reason = without_native()
    return f"interpreter ({reason})" if reason else "interpreter, native"


def _guard_pages() -> str:
    """Whether `hostsdk run`, and whoever says `EngineConfig(signals=True)`, has them."""
    reason = without_guard_pages()
    return f"off, bounds are checked ({reason})" if reason else "on with signals=True, as in hostsdk run"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

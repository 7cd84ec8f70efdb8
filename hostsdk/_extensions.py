"""Host modules that installed packages advertise, under the entry-point group `hostsdk.modules`.

What an entry point names is a `HostModule`, or a function that makes one. A function whose first parameter is a `str`
takes an option, which `hostsdk run --host NAME=OPTION` and `load_host(NAME, OPTION)` give it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self

from ._engine import lean
from ._errors import HostError
from ._module import HostModule

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from inspect import Parameter

GROUP: Final = "hostsdk.modules"


class ExtensionError(HostError):
    """A host module of an installed package can't be had. The message names the package, or says what to install."""


@lean.frozen
class InstalledHost:
    """A host module that an installed package advertises. Nothing of the package has been imported yet."""

    #: What guests import, and what `--host` takes.
    name: str
    #: The distribution, and its version.
    package: str
    version: str
    #: Where it is: `python.module:attribute`.
    target: str

    def __str__(self) -> str:
        return f"{self.name} of {self.package} {self.version}"

    @property
    def option(self) -> str | None:
        """The name of the option that it takes, None where it takes none. Imports the package. Raises
        ExtensionError."""
        return option_name(self._import())

    @property
    def required(self) -> bool:
        """Whether it can't be had without its option. Imports the package. Raises ExtensionError."""
        found = self._import()
        return option_name(found) is not None and _needed(found)

    def load(self, option: str | None = None) -> HostModule[Any]:
        """The host module, made with `option`. Imports the package. Raises ExtensionError, which names the package and
        has what the package raised as its cause."""
        try:
            return make_host(self._import(), option, self.name)
        except Refused as refused:
            raise ExtensionError(f"host module {self}: {refused}") from refused.__cause__

    def _import(self) -> object:
        from importlib.metadata import EntryPoint

        try:
            found: object = EntryPoint(self.name, self.target, GROUP).load()
        except Exception as error:  # a module may raise anything while it is imported
            raise ExtensionError(f"host module {self}: {type(error).__name__}: {error}") from error
        return found

    @classmethod
    def _of(cls, entry: EntryPoint) -> Self:
        dist = entry.dist
        package, version = ("an unnamed package", "?") if dist is None else (dist.name, dist.version)
        return cls(entry.name, package, version, entry.value)


def installed_hosts() -> list[InstalledHost]:
    """The host modules that installed packages advertise, by name. Imports none of them."""
    import importlib.metadata

    found = {InstalledHost._of(entry) for entry in importlib.metadata.entry_points(group=GROUP)}
    return sorted(found, key=lambda host: (host.name, host.package, host.version))


def find_host(name: str) -> InstalledHost:
    """The one that is called `name`. Raises ExtensionError where none is, saying what to install, or several are,
    naming their packages."""
    found = [host for host in installed_hosts() if host.name == name]
    if not found:
        raise ExtensionError(_missing(name))
    if len(found) > 1:
        packages = " and ".join(f"{host.package} {host.version} ({host.target})" for host in found)
        raise ExtensionError(f"several packages have a host module {name!r}: {packages}; uninstall all but one")
    return found[0]


def load_host(name: str, option: str | None = None) -> HostModule[Any]:
    """The host module `name` of whatever installed package advertises it, made with `option`:
    `load_host("redis", "redis://localhost")`. Raises ExtensionError, which names the package or says what to
    install."""
    return find_host(name).load(option)


def _missing(name: str) -> str:
    """What is said where no installed package has this host module: what to install, in each way."""
    # The name may be the guest's word: only what can be a package's name is put into a command.
    import re

    good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None
    package = "hostsdk-" + name.lower().replace("_", "-") if good else "PACKAGE"
    usual = f" ({package} would be the usual name)" if good else ""
    return "\n".join(
        [
            f"no installed package has a host module {name!r}; install one that does{usual} beside hostsdk:",
            f"  pip install {package}",
            f"  pipx inject hostsdk {package}",
            f"  uv tool install hostsdk --with {package}",
        ]
    )


class Refused(Exception):
    """What can't be made into a host module, and why."""


def make_host(found: object, option: str | None, name: str) -> HostModule[Any]:
    """A host module of what an entry point or `--host module:attribute` names. Raises Refused, with what the factory
    raised as its cause."""
    if isinstance(found, HostModule):
        if option is not None:
            raise Refused("it takes no option")
        return found
    if isinstance(found, type) or not callable(found):
        raise Refused(f"it is a {type(found).__name__}, not a HostModule")
    takes = option_name(found)
    if option is not None and takes is None:
        raise Refused("it takes no option")
    if option is None and takes is not None and _needed(found):
        raise Refused(f"it needs an option: {name}={takes.upper()}")
    try:
        made: object = found() if option is None else found(option)
    except Exception as error:  # the package's own, or a value that it refuses
        raise Refused(f"{type(error).__name__}: {error}") from error
    if not isinstance(made, HostModule):
        raise Refused(f"it made a {type(made).__name__}, not a HostModule")
    return made


def option_name(found: object) -> str | None:
    """The name of the `str` that a factory takes first; None where there is none."""
    if isinstance(found, (HostModule, type)) or not callable(found):
        return None
    first = _first(found)
    if first is None:
        return None
    return first.name if first.annotation in (str, "str", str | None, "str | None") else None


def _needed(found: object) -> bool:
    """Whether the factory's first parameter has no default value."""
    first = _first(found)
    return first is not None and first.default is first.empty


def _first(found: Any) -> Parameter | None:
    import inspect

    factory: Callable[..., object] = found
    return next(iter(inspect.signature(factory).parameters.values()), None)

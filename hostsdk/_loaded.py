"""`Module`: a guest program, decoded and valid, before it has an instance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from ._engine import Feature, RuntimeModule, lean


@lean.frozen(eq=False)
class Module:
    """A valid module. May be shared by threads and instances."""

    _raw: RuntimeModule

    @classmethod
    def from_bytes(cls, data: bytes, *, features: Feature | None = None, lazy: bool = False) -> Self:
        """Decode and validate. `lazy` leaves each function's body unread until it is first called: a program of many
        megabytes is there in a moment, and what is wrong with a body is raised by the call.

        Raises MalformedError, InvalidError (UnsupportedError for an absent feature) or LimitError.
        """
        if features is None:
            return cls(RuntimeModule.load(data, lazy=lazy))
        return cls(RuntimeModule.load(data, features, lazy=lazy))

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, features: Feature | None = None, lazy: bool = False
    ) -> Self:
        """The same for a file. Raises OSError, too."""
        return cls.from_bytes(Path(path).read_bytes(), features=features, lazy=lazy)

    @property
    def name(self) -> str | None:
        """The name in the name section, if there is one."""
        return self._raw.name

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        return self._raw.hash

    @property
    def imports(self) -> list[tuple[str, str, object]]:
        """Module, name and type of each import."""
        return list(self._raw.import_types())

    @property
    def exports(self) -> list[tuple[str, object]]:
        """Name and type of each export."""
        return list(self._raw.export_types())

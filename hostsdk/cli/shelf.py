"""What a run of the command imports, kept in one file beside what Python keeps of each module.

A run imports two hundred small files of ours, and finding, opening and reading them takes as long as half of what they
do. So the first run puts the compiled code of all it has imported into one file, in the folder where Python keeps
compiled code and under the same rules: none is written where Python writes none, and code is taken only of a source
that has the time and the size that it had. Whatever is wrong with the file, modules are imported as always.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Final, TypeAlias

#: What the file begins with, and the Python that reads the code.
_MAGIC: Final = f"hostsdk modules 1 {sys.version}\n".encode()
#: Bytes before the code in a file of Python's: magic number, flags, time and size of the source.
_HEAD: Final = 16
#: Modules that were imported past it before the file is written again.
_MANY: Final = 10

#: Folder that the module was found in, its source with time (ns) and size, Python's file, whether it is a package, and
#: the code, marshalled.
_Entry: TypeAlias = "tuple[str, str, int, int, str, bool, bytes]"


class Shelf:
    """A finder and loader of modules, for `sys.meta_path`, before all others."""

    def __init__(self, file: str, packages: Sequence[str] = ("hostsdk", "runtime")) -> None:
        self.file = file
        self._packages = tuple(f"{package}." for package in packages)
        self._entries: dict[str, _Entry] = {}
        try:
            with open(file, "rb", buffering=0) as opened:
                data = opened.readall()
            found = marshal.loads(memoryview(data)[len(_MAGIC) :]) if data.startswith(_MAGIC) else None
            if isinstance(found, dict):
                self._entries = found
        except (OSError, EOFError, ValueError, TypeError):
            pass  # there is none yet, or none that is of use

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where the module is, if it is here and its source is what it was."""
        entry = self._entries.get(name)
        if entry is None or not path or path[0] != entry[0] or not _current(entry):
            return None
        spec = ModuleSpec(name, self, origin=entry[1], is_package=entry[5])  # type: ignore[arg-type]  # it is a loader
        spec.has_location, spec.cached = True, entry[4]
        if entry[5]:
            spec.submodule_search_locations = [os.path.dirname(entry[1])]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary one."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        code: CodeType = marshal.loads(self._entries[module.__name__][6])
        exec(code, module.__dict__)

    def keep(self) -> None:
        """Write the file anew if many modules were imported that it doesn't have. Where that fails, there is none."""
        if sys.dont_write_bytecode or not os.access(os.path.dirname(self.file), os.W_OK):
            return
        new = {}
        for name, module in list(sys.modules.items()):
            if name.startswith(self._packages) and getattr(module, "__loader__", None) is not self:
                entry = _entry(name, module)
                if entry is not None:
                    new[name] = entry
        if len(new) < _MANY:
            return
        kept = {name: each for name, each in self._entries.items() if _current(each)}
        written = f"{self.file}.{os.getpid()}"
        try:
            with open(written, "xb") as file:
                file.write(_MAGIC + marshal.dumps(kept | new))
            os.replace(written, self.file)
        except OSError:
            try:
                os.unlink(written)
            except OSError:
                pass  # it is not there, or not ours


def _current(entry: _Entry) -> bool:
    """Whether the source is what it was."""
    try:
        found = os.stat(entry[1])
    except OSError:
        return False
    return found.st_mtime_ns == entry[2] and found.st_size == entry[3]


def _entry(name: str, module: ModuleType) -> _Entry | None:
    """A module that was imported from Python's file; None for another."""
    spec = module.__spec__
    parent = sys.modules.get(name.rpartition(".")[0])
    folders = getattr(parent, "__path__", None)
    if spec is None or spec.origin is None or spec.cached is None or not folders:
        return None
    try:
        found = os.stat(spec.origin)
        with open(spec.cached, "rb") as file:
            data = file.read()
    except OSError:
        return None
    head = (0).to_bytes(4, "little") + (int(found.st_mtime) & 0xFFFF_FFFF).to_bytes(4, "little")
    if data[4:_HEAD] != head + (found.st_size & 0xFFFF_FFFF).to_bytes(4, "little"):
        return None
    package = spec.submodule_search_locations is not None
    return folders[0], spec.origin, found.st_mtime_ns, found.st_size, spec.cached, package, data[_HEAD:]

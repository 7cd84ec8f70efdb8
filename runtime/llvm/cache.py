"""Machine code on disk, so that the next process has it at once and without LLVM.

A folder for each emitter, LLVM and processor, in it one for each module, in it a file for each product. Files are
written under another name and then renamed, so that nobody ever reads half of one; a file that is damaged or of another
making is removed and made again. Code is run as it is: a folder that somebody else could write to is not used.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..log import Log
from . import cpu
from .digest import SIZE, checksum, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..module import Module
    from .product import Product

log = Log(__name__)

#: Bytes of all files together; beyond that, the modules that have not been used for longest are forgotten.
ROOM: Final = 512 << 20
_SUFFIX: Final = ".code"
#: Behind the level in a name, where guard pages stand for bounds checks.
_GUARDED: Final = "g"
#: The folder of what belongs to no module.
_EXTRAS: Final = "extras"
#: Folders of this package whose sources decide what is in an object and in a record.
_SOURCES: Final = ("llvm", "llvm/capi", "llvm/lower", "validate", "instr", "binary", "exec")


def usual() -> Path | None:
    """Where machine code is kept: what HOSTSDK_CACHE says, or a folder of the user's; None where that is `off`."""
    said = os.environ.get("HOSTSDK_CACHE")
    if said is not None:
        return None if said in ("", "off") else Path(said).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hostsdk"
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "hostsdk"
    except RuntimeError:
        return None  # nobody's home


class Cache:
    """Machine code below one folder. Any thread and any number of processes may use it at once."""

    def __init__(self, root: Path, room: int = ROOM) -> None:
        self.root = root
        self._room = room
        self._usable: bool | None = None

    def load(
        self, module: Module, levels: Sequence[int] | None = None, guard: Callable[[], bool] | None = None
    ) -> list[Product]:
        """What there is for a module, the quick before the good: of these levels, and with guard pages or without,
        where that is said. `guard` is asked if there is anything at all."""
        if not self._any(module):
            return []
        folder = self._folder(module)
        try:
            names = sorted([entry.name for entry in os.scandir(folder) if entry.name.endswith(_SUFFIX)])
        except OSError:
            return []
        if levels is not None:
            names = [name for name in names if name.startswith(tuple(map(str, levels)))]
        if not names or not self._trusted(folder):
            return []
        if guard is not None:
            guards = guard()
            names = [name for name in names if (name[1:2] == _GUARDED) is guards]
        from .product import Damaged, unpack

        found = []
        for name in names:
            path = folder / name
            try:
                found.append(unpack(path.read_bytes()))
            except (OSError, Damaged) as error:
                log.info("%s is made again: %s", path, error)
                _remove(path)
        try:
            os.utime(folder)
        except OSError:
            pass  # somebody cleared it
        return found

    def save(self, module: Module, product: Product) -> None:
        """Keep a product. Where that fails, the next process makes it again."""
        folder = self._folder(module)
        order = product.order
        parts = repr((order.functions, order.points) if order.parts else order.support)
        name = name_of(parts.encode())
        try:
            new = not folder.is_dir()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._trusted(folder):
                return
            data = product.pack()
            if len(data) > self._room:
                return
            _write(folder, f"{order.level}{_GUARDED if order.guard else '-'}{name}{_SUFFIX}", data)
            if new:
                self._make_room(folder)
        except OSError as error:
            log.info("machine code can't be kept: %s", error)

    def extra(self, name: str) -> bytes | None:
        """What `keep_extra` has kept by this name; None where there is nothing."""
        folder = self.root / maker() / _EXTRAS
        try:
            data = (folder / name).read_bytes()
        except OSError:
            return None
        if not self._trusted(folder) or checksum(data[SIZE:]) != data[:SIZE]:
            return None
        return data[SIZE:]

    def keep_extra(self, name: str, data: bytes) -> None:
        """Keep what belongs to no module. Where that fails, the next process makes it again."""
        folder = self.root / maker() / _EXTRAS
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._trusted(folder):
                _write(folder, name, checksum(data) + data)
        except OSError as error:
            log.info("%s can't be kept: %s", name, error)

    def modules(self) -> Iterator[tuple[Path, int, int]]:
        """Of each module that something is kept of: its folder, files and bytes."""
        for folder in self.root.glob("*/*/"):
            if folder.name == _EXTRAS:
                continue
            sizes = [path.stat().st_size for path in folder.glob("*" + _SUFFIX)]
            yield folder, len(sizes), sum(sizes)

    def size(self, module: Module) -> int:
        """Bytes that are kept of a module."""
        return sum([path.stat().st_size for path in self._folder(module).glob("*" + _SUFFIX)])

    def clear(self) -> None:
        """Forget everything."""
        for folder in list(self.root.glob("*/*/")):
            _forget(folder)
        for folder in self.root.glob("*/"):
            try:
                folder.rmdir()
            except OSError:
                pass  # what is in there is not ours

    def _any(self, module: Module) -> bool:
        """Whether anybody has kept something of a module: finding out who we are takes longer."""
        name = name_of(module.data, 20)
        try:
            return any(os.path.isdir(os.path.join(self.root, made, name)) for made in os.listdir(self.root))
        except OSError:
            return False

    def _folder(self, module: Module) -> Path:
        return self.root / maker() / name_of(module.data, 20)

    def _trusted(self, folder: Path) -> bool:
        """Whether nobody but this user, or root, can have put anything there."""
        if self._usable is not False:
            self._usable = all(map(_own, (self.root, folder.parent, folder)))
            if not self._usable:
                log.warning("%s can be written to by others, or is not yours: no machine code is kept", self.root)
        return self._usable

    def _make_room(self, kept: Path) -> None:
        ages = []
        for folder, _, size in self.modules():
            try:
                ages.append((folder != kept and folder.stat().st_mtime, size, folder))
            except OSError:
                continue
        total = sum([size for _, size, _ in ages])
        for _, size, folder in sorted(ages):
            if total <= self._room or folder == kept:
                continue
            _forget(folder)
            total -= size


def _own(folder: Path) -> bool:
    if not hasattr(os, "getuid"):
        return True
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write a file as a whole or not at all. Raises OSError."""
    import tempfile

    handle, path = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(path, folder / name)
    except BaseException:
        _remove(Path(path))
        raise


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        pass  # another process was faster, or the folder is read-only


def _forget(folder: Path) -> None:
    for path in folder.glob("*"):
        _remove(path)
    try:
        folder.rmdir()
    except OSError:
        pass  # somebody has just put something in


_maker: list[str] = []


def maker() -> str:
    """A name for what makes code here: the emitter, LLVM, and the processor. Found without asking LLVM."""
    if not _maker:
        parts = [cpu.identity()]
        here = Path(__file__).parent.parent
        folders = [str(here / name) for name in _SOURCES]
        llvm = importlib.util.find_spec("llvmlite")
        if llvm is not None and llvm.origin is not None:
            folders.append(os.path.join(os.path.dirname(llvm.origin), "binding"))
        for folder in folders:
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
                if entry.name.endswith((".py", ".so")):
                    found = entry.stat()
                    parts.append(f"{entry.name} {found.st_size} {found.st_mtime_ns}".encode())
        _maker.append(name_of(b"\n".join(parts), 12))
    return _maker[0]

"""Objects for systems on which nothing runs yet: they are emitted, and have what a loader there would need."""

from __future__ import annotations

import re
import struct
import sys
import tomllib
from pathlib import Path

import pytest

from runtime.llvm.abi import BlockLayout
from runtime.llvm.builder import PREAMBLE
from runtime.llvm.function import emit
from runtime.llvm.here import OLDEST, unavailable
from runtime.llvm.support import COMMON, support_ir
from tests.llvm.kernels import SOURCE
from tests.support.native import c, needs_native

pytestmark = needs_native

#: Relocations of aarch64 within an object: calls and jumps, addresses by page and rest.
AARCH64 = {261, 274, 275, 277, 278, 282, 283, 284, 285, 286, 299}


def _object(triple: str) -> bytes:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = c(SOURCE)
    layout = BlockLayout(module)
    texts = [emit(layout, code.index).text for code in module.decls.codes]
    texts += [emit(layout, code.index, pc).text for code in module.decls.codes for pc in module.body(code.index).by_pc]
    target = llvm.Target.from_triple(triple).create_target_machine(opt=1, reloc="pic", codemodel="small")
    objects: list[bytes] = []
    for text in (support_ir([COMMON, "ilfd_l"]), PREAMBLE + "".join(texts)):
        checked = llvm.parse_assembly(text, llvm.create_context())
        checked.verify()
        objects.append(target.emit_object(checked))
        assert len(objects[-1]) > 1000
    return objects[-1]


def test_aarch64_linux() -> None:
    """An ELF object whose relocations all lie within it and are of the few kinds that branches and constants need."""
    data = _object("aarch64-unknown-linux-gnu")
    assert data[:5] == b"\x7fELF\x02"
    assert struct.unpack_from("<H", data, 18)[0] == 183
    table, count = struct.unpack_from("<Q", data, 0x28)[0], struct.unpack_from("<H", data, 0x3C)[0]
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i) for i in range(count)]
    kinds = set()
    for _, kind, _, _, offset, size, _, info, _, _ in sections:
        # Unwinding tables are not loaded.
        if kind == 4 and sections[info][2] & 4:
            kinds |= {struct.unpack_from("<QQq", data, at)[1] & 0xFFFF_FFFF for at in range(offset, offset + size, 24)}
    assert kinds <= AARCH64


@pytest.mark.parametrize("triple", ["arm64-apple-macosx14.0.0", "x86_64-apple-macosx14.0.0"])
def test_macos(triple: str) -> None:
    """A Mach-O object of 64 bits."""
    data = _object(triple)
    assert struct.unpack_from("<I", data)[0] == 0xFEEDFACF


def test_a_library_that_is_too_old_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an LLVM that doesn't read our IR there is no native tier, and the reason is said; the oldest that does is
    the one that the package asks for."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    wanted = [each for each in project["dependencies"] if each.startswith("llvmlite")]
    assert re.findall(r">=([\d.]+)", wanted[0]) == [".".join(map(str, OLDEST))]
    monkeypatch.delitem(sys.modules, "llvmlite", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "llvmlite"
    package.mkdir()
    (package / "__init__.py").touch()
    assert unavailable() is None
    for text, expected in [
        ("version_version = '0.44.0'", "llvmlite 0.44 is too old: 0.45 is needed"),
        ("version_version = '0.45.0'", None),
        ('__version__ = "1.2"', None),
        ("nothing of the kind", None),
    ]:
        (package / "_version.py").write_text(text)
        assert unavailable() == expected

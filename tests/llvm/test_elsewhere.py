"""Objects for systems on which nothing runs yet: they are emitted, and have what a loader there would need."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from runtime.llvm import cpu
from runtime.llvm.abi import BlockLayout
from runtime.llvm.builder import PREAMBLE
from runtime.llvm.function import emit
from runtime.llvm.here import OLDEST, unavailable
from runtime.llvm.loader import link
from runtime.llvm.support import COMMON, support_ir
from tests.llvm.kernels import SOURCE
from tests.support.native import c, needs_native, text
from tests.support.objects import elf, macho

pytestmark = needs_native

#: What calls, jumps, and addresses of constants within an object lead to: all that a loader has to know.
X86_64_ELF = {2, 4}  # PC32, PLT32
AARCH64_ELF = {261, 274, 275, 277, 278, 282, 283, 284, 285, 286, 299}
X86_64_MACHO = {1, 2}  # SIGNED, BRANCH
ARM64_MACHO = {2, 3, 4, 10}  # BRANCH26, PAGE21, PAGEOFF12, ADDEND

#: Vectors by constants and by a table look-up, of which the processors make quite different things.
VECTORS = """(memory 1)
  (func (export "s") (param v128) (result v128) (i8x16.swizzle (local.get 0) (v128.const i32x4 1 2 3 4)))
  (func (export "d") (param v128 v128) (result v128) (i16x8.q15mulr_sat_s (local.get 0) (i32x4.trunc_sat_f64x2_u_zero
    (f64x2.pmin (local.get 1) (v128.const f64x2 1 -0.5)))))
  (func (export "p") (param i32) (result i64) (i64x2.extract_lane 1 (i8x16.popcnt (v128.load (local.get 0)))))"""


def _objects(triple: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[bytes]]:
    """Names of the functions and goings-on of some modules, and the objects: of the support code, and of each. The code
    asks nothing of the processor that not all have."""
    monkeypatch.setattr(cpu, "features", frozenset)
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    names, parts = [], [support_ir([COMMON, "ilfd_l"])]
    for module in (c(SOURCE), text(VECTORS)):
        layout, codes = BlockLayout(module), module.decls.codes
        texts = [emit(layout, code.index).text for code in codes]
        texts += [emit(layout, code.index, pc).text for code in codes for pc in module.body(code.index).by_pc]
        names += [f"f{code.index}" for code in codes]
        names += [f"r{pc}" for code in codes for pc in module.body(code.index).by_pc]
        parts.append(PREAMBLE + "".join(texts))
    target = llvm.Target.from_triple(triple).create_target_machine(opt=1, reloc="pic", codemodel="small")
    objects: list[bytes] = []
    for part in parts:
        checked = llvm.parse_assembly(part, llvm.create_context())
        checked.verify()
        objects.append(target.emit_object(checked))
    return names, objects


@pytest.mark.parametrize(
    ("triple", "machine", "kinds"),
    [
        ("x86_64-unknown-linux-gnu", 62, X86_64_ELF),
        ("aarch64-unknown-linux-gnu", 183, AARCH64_ELF),
        ("x86_64-apple-macosx14.0.0", 0x0100_0007, X86_64_MACHO),
        ("arm64-apple-macosx14.0.0", 0x0100_000C, ARM64_MACHO),
    ],
    ids=["linux-x86_64", "linux-aarch64", "macos-x86_64", "macos-arm64"],
)
def test_objects_have_what_a_loader_needs_and_no_more(
    triple: str, machine: int, kinds: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its processor, each function and each place to go on at is a symbol in the code; nothing is missing from
    without; and what is to be filled in lies in code or constants, is within the object, and of the few kinds that
    branches and constants need. Of x86-64 Linux, where the loader is, it is what that takes."""
    apple = "apple" in triple
    code, prefix = ("__TEXT,__text", "_") if apple else (".text", "")
    names, objects = _objects(triple, monkeypatch)
    found = [(macho if apple else elf)(data) for data in objects]
    for each in found:
        assert each.machine == machine
        assert each.sections[code] > 500
        assert not each.undefined
        assert set(each.defined.values()) == {code}
        loaded = [place for place in each.relocations if "eh_frame" not in place.section]
        assert {place.kind for place in loaded} <= kinds
        assert {place.section for place in loaded} <= {code, ".rodata", "__TEXT,__const"}
    defined = {name for each in found[1:] for name in each.defined}
    assert defined >= {prefix + name for name in names}
    assert {f"{prefix}{name}" for name in ("request", "poll", "drive")} <= found[0].defined.keys()
    if triple.startswith("x86_64-unknown-linux"):
        for data, each in zip(objects, found, strict=True):
            assert link(data).symbols.keys() == each.defined.keys()


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
    for said, expected in [
        ("version_version = '0.44.0'", "llvmlite 0.44 is too old: 0.45 is needed"),
        ("version_version = '0.45.0'", None),
        ('__version__ = "1.2"', None),
        ("nothing of the kind", None),
    ]:
        (package / "_version.py").write_text(said)
        assert unavailable() == expected

"""Objects for systems on which nothing runs yet: they are emitted, and have what a loader there would need."""

from __future__ import annotations

import struct

import pytest

from runtime.llvm.abi import BlockLayout
from runtime.llvm.builder import PREAMBLE
from runtime.llvm.function import emit
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
    for text in (PREAMBLE + "".join(texts), support_ir([COMMON, "ilfd_l"])):
        checked = llvm.parse_assembly(text, llvm.create_context())
        checked.verify()
        data: bytes = target.emit_object(checked)
        assert len(data) > 1000
    parsed = llvm.parse_assembly(PREAMBLE + "".join(texts), llvm.create_context())
    made: bytes = target.emit_object(parsed)
    return made


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

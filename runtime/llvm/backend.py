"""The only file that imports llvmlite: IR in, an object file out."""

from __future__ import annotations

import functools
from typing import Any


class CompileError(Exception):
    """LLVM refused the IR."""


@functools.cache
def _binding() -> Any:
    """llvmlite's binding, ready for this processor. Importing it takes longer than starting Python."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def version() -> str:
    """Of LLVM; part of the key of what is kept."""
    return ".".join(map(str, _binding().llvm_version_info))


@functools.cache
def processor() -> tuple[str, str]:
    """Name and features of this processor, for LLVM."""
    llvm = _binding()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@functools.cache
def _machine(level: int) -> Any:
    llvm = _binding()
    cpu, features = processor()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=level, reloc="pic", codemodel="small")


def begin(level: int) -> None:
    """Do beforehand what the first call would wait for. What can't be done is told by that."""
    try:
        _machine(level)
    except (ImportError, OSError, RuntimeError):
        return


class _Ends:
    """Whether LLVM makes one of the equal ends of blocks, which is an option of the process: of two accesses that have
    become one nobody can tell which has trapped."""

    merged: bool = True

    @classmethod
    def merge(cls, wanted: bool) -> None:
        """Have it so from now on. Where another thread has it otherwise meanwhile, places are missed (`build`)."""
        if cls.merged is not wanted:
            _binding().set_option("", f"-enable-tail-merge={int(wanted)}")
            cls.merged = wanted


def compile_ir(text: str, level: int, noted: bool = False) -> bytes:
    """The object file (ELF) of a module of IR. `level` is the code generator's own; there are no passes before it:
    what compilers make of C is optimised already, and passes would take longer than they give.

    Raises CompileError. What LLVM takes for a fault of its own ends the process.
    """
    llvm = _binding()
    _Ends.merge(not noted)
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
    except RuntimeError as error:
        raise CompileError(str(error)) from None
    code: bytes = _machine(level).emit_object(module)
    return code


def verify(text: str) -> None:
    """Have LLVM check IR, which `compile_ir` doesn't. Raises CompileError."""
    llvm = _binding()
    try:
        llvm.parse_assembly(text, llvm.create_context()).verify()
    except RuntimeError as error:
        raise CompileError(str(error)) from None

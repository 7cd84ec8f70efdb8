"""Modules made by wasm-smith, the generator that other engines are fuzzed with: within the features that are here."""

from __future__ import annotations

import random
import re

from .build import BuildError, run_tool, wasm_tools

_OPTIONS = {
    "exports": None,
    "max-imports": 0,
    "min-funcs": 2,
    "max-funcs": 8,
    "max-instructions": 300,
    "export-everything": "true",
    "exceptions-enabled": "false",
    "gc-enabled": "false",
    "simd-enabled": "false",
    "relaxed-simd-enabled": "false",
    "memory64-enabled": "false",
    "threads-enabled": "false",
    "custom-page-sizes-enabled": "false",
    "wide-arithmetic-enabled": "false",
    "shared-everything-threads-enabled": "false",
    "custom-descriptors-enabled": "false",
    "compact-imports-enabled": "false",
    "tail-call-enabled": "true",
    "extended-const-enabled": "true",
    "memory-max-size-required": "true",
    "max-memory32-bytes": 4 * 65536,
    "max-memories": 2,
    "table-max-size-required": "true",
    "max-table-elements": 100,
    "generate-custom-sections": "false",
}


#: What came after WebAssembly 2.0, with vectors: whatever the engine has of it and wasmtime has, too.
_NEWER = {
    "exceptions-enabled": "true",
    "simd-enabled": "true",
    "relaxed-simd-enabled": "true",
    "memory64-enabled": "true",
    "custom-page-sizes-enabled": "true",
    "max-memory64-bytes": 4 * 65536,
}


def smith(
    seed: int, size: int = 3000, fuel: int = 100, newer: bool = False, *, gc: bool = False
) -> bytes | None:
    """The module that grows from `size` random bytes; None where nothing does. Every call of it ends after about
    `fuel` rounds and calls, by a trap if need be: the counter isn't set anew, so later calls end sooner. With `newer`,
    it has exceptions, vectors, 64-bit addresses and pages of one byte; with `gc`, structs, arrays and typed
    references."""
    entropy = random.Random(seed).randbytes(size)
    chosen = _OPTIONS | (_NEWER if newer else {}) | ({"gc-enabled": "true"} if gc else {})
    options = [f"--{name}={value}" for name, value in chosen.items() if value is not None]
    try:
        return run_tool([wasm_tools(), "smith", "--ensure-termination", f"--fuel={fuel}", *options], stdin=entropy)
    except BuildError as error:
        if re.search(r"exit|input|fail", str(error)):
            return None
        raise

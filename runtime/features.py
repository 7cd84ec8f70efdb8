"""Proposals as flags, and presets of them.

The validator asks `features` before it accepts a row of the instruction table or a declaration; what is off, or not
in this engine yet, is an `UnsupportedError` that names the feature.
"""

from __future__ import annotations

import enum


class Feature(enum.Flag):
    """One flag a proposal. `MVP` is what WebAssembly 1.0 had and can't be turned off."""

    MVP = enum.auto()
    MUTABLE_GLOBAL = enum.auto()
    SIGN_EXTENSION = enum.auto()
    SATURATING_FLOAT = enum.auto()
    MULTI_VALUE = enum.auto()
    REFERENCE_TYPES = enum.auto()
    BULK_MEMORY = enum.auto()
    SIMD = enum.auto()
    RELAXED_SIMD = enum.auto()
    TAIL_CALL = enum.auto()
    EXTENDED_CONST = enum.auto()
    MULTI_MEMORY = enum.auto()
    THREADS = enum.auto()
    EXCEPTIONS = enum.auto()
    MEMORY64 = enum.auto()
    FUNCTION_REFERENCES = enum.auto()
    GC = enum.auto()
    CUSTOM_PAGE_SIZES = enum.auto()

    @property
    def text(self) -> str:
        """The name as people write it: `multi-memory`."""
        return (self.name or str(self.value)).lower().replace("_", "-")


MVP = Feature.MVP
WASM_2_0 = (
    MVP
    | Feature.MUTABLE_GLOBAL
    | Feature.SIGN_EXTENSION
    | Feature.SATURATING_FLOAT
    | Feature.MULTI_VALUE
    | Feature.REFERENCE_TYPES
    | Feature.BULK_MEMORY
    | Feature.SIMD
)
#: What this engine has. Presets beyond it are cut to it, so that asking for more is an error that names the feature.
AVAILABLE = WASM_2_0 | Feature.RELAXED_SIMD | Feature.TAIL_CALL | Feature.EXTENDED_CONST | Feature.MULTI_MEMORY
AVAILABLE |= Feature.MEMORY64 | Feature.CUSTOM_PAGE_SIZES | Feature.EXCEPTIONS

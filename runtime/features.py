"""Proposals as flags, and presets of them.

The validator asks `features` before it accepts a row of the instruction table or a declaration; what is off, or not
in this engine yet, is an `UnsupportedError` that names the feature.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


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
    LEGACY_EXCEPTIONS = enum.auto()

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
WASM_3_0 = (
    WASM_2_0
    | Feature.RELAXED_SIMD
    | Feature.TAIL_CALL
    | Feature.EXTENDED_CONST
    | Feature.MULTI_MEMORY
    | Feature.EXCEPTIONS
    | Feature.MEMORY64
    | Feature.FUNCTION_REFERENCES
    | Feature.GC
)
#: What this engine has. Presets are cut to it, so that using more is an error that names the feature.
AVAILABLE = WASM_2_0 | Feature.RELAXED_SIMD | Feature.TAIL_CALL | Feature.EXTENDED_CONST | Feature.MULTI_MEMORY
AVAILABLE |= Feature.THREADS | Feature.MEMORY64 | Feature.CUSTOM_PAGE_SIZES | Feature.EXCEPTIONS
AVAILABLE |= Feature.FUNCTION_REFERENCES | Feature.GC | Feature.LEGACY_EXCEPTIONS

#: Editions of WebAssembly by their names; `all` is everything that the engine has.
PRESETS: Mapping[str, Feature] = MappingProxyType(
    {"mvp": MVP, "2.0": WASM_2_0 & AVAILABLE, "3.0": WASM_3_0 & AVAILABLE, "all": AVAILABLE}
)


def parse_features(text: str) -> Feature:
    """Features as people write them, separated by commas: presets and names, `-name` to leave one out of those before.
    `3.0,-simd,threads`, say; without a preset in front, what is left out is left out of `all`.

    Raises ValueError for what is no preset and no feature, and for a feature that the engine doesn't have.
    """
    named = {feature.text: feature for feature in Feature}
    parts = [part.strip() for part in text.split(",")]
    found = AVAILABLE if parts[0].startswith("-") else MVP
    for part in parts:
        name = part.removeprefix("-")
        feature = PRESETS.get(name) if name == part else None
        if feature is None:
            feature = named.get(name)
        if feature is None:
            known = ", ".join([*PRESETS, *named])
            raise ValueError(f"{part!r} is no feature; there are {known}, and -NAME leaves one out")
        if name != part:
            found &= ~feature
        elif feature not in AVAILABLE:
            raise ValueError(f"the engine doesn't have the feature '{name}'")
        else:
            found |= feature
    return found | MVP

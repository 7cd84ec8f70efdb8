"""Rows of the exception handling that WebAssembly 3.0 replaced (proposal "Legacy Exception Handling").

They stand apart from the table: `binary.legacy` rewrites a body that has them when it is decoded, so nothing behind
the decoder meets them.
"""

from __future__ import annotations

from ..features import Feature
from .model import Immediate, Instr

TRY = Instr(0x06, "try", Immediate.BLOCK_TYPE, feature=Feature.LEGACY_EXCEPTIONS)
CATCH = Instr(0x07, "catch", Immediate.TAG, feature=Feature.LEGACY_EXCEPTIONS)
RETHROW = Instr(0x09, "rethrow", Immediate.LABEL, feature=Feature.LEGACY_EXCEPTIONS)
DELEGATE = Instr(0x18, "delegate", Immediate.LABEL, feature=Feature.LEGACY_EXCEPTIONS)
CATCH_ALL = Instr(0x19, "catch_all", feature=Feature.LEGACY_EXCEPTIONS)

ROWS: tuple[Instr, ...] = (TRY, CATCH, RETHROW, DELEGATE, CATCH_ALL)

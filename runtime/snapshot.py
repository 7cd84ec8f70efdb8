"""Saving a suspended execution with all that it can reach, and restoring it, in another process if need be.

What is saved is the linked group of instances (memories, tables, globals, dropped segments), the frames, and through
the owner whatever host modules want kept. Modules are named by the hash of their bytes and host functions by module,
name and version. The form, which `saving.form` tells, is not durable yet.
"""

from __future__ import annotations

from .saving.capture import save
from .saving.restore import HostLookup, Restored, TagLookup, load

__all__ = ["HostLookup", "Restored", "TagLookup", "load", "save"]

"""Saving a suspended execution with all that it can reach, and restoring it, in another process if need be; or several
that share memories (threads).

What is saved is the linked groups of instances (memories, tables, globals, dropped segments), the frames, and through
the owner whatever host modules want kept. Modules are named by the hash of their bytes and host functions by module,
name and version. The form, which `saving.form` tells, is not durable yet.
"""

from __future__ import annotations

from .saving.capture import save, save_all
from .saving.restore import Home, HostLookup, Restored, RestoredAll, TagLookup, load, load_all

__all__ = ["Home", "HostLookup", "Restored", "RestoredAll", "TagLookup", "load", "load_all", "save", "save_all"]

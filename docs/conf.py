"""Settings of the documentation: Markdown pages, built by `sphinx-build -W docs OUTPUT`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

project = "hostsdk"
extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "states"]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

# Docstrings write code in single backticks, and types stand in the signatures.
default_role = "code"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
toc_object_entries = False

# Links between pages are checked; names of Python's own, in signatures, have no page here.
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]

"""Settings of the documentation: Markdown pages, built by `sphinx-build -W docs OUTPUT`."""

from __future__ import annotations

project = "hostsdk"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
nitpicky = True

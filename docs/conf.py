"""The site: Sphinx reads docs/*.md as MyST; `make docs` builds it and takes no warning."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

project = "trait-drift"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "trait-drift"
html_css_files = ["site.css"]
html_static_path = ["_static"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
add_module_names = False
default_role = "literal"  # docstrings write `code` as these pages do

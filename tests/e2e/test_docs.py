"""The commands of docs/, run top to bottom as a reader types them, print what the page shows."""

from __future__ import annotations

from consoles import follow
from copies import ROOT


def test_every_page_is_run():
    """A page that no test of this module names would rot."""
    for page in (ROOT / "docs").glob("*.md"):
        assert f'"{page.name}"' in (ROOT / "tests/e2e/test_docs.py").read_text(), page.name


def test_lineage(smoke, tmp_path):
    follow(ROOT / "docs" / "lineage.md", smoke.clone(tmp_path / "clone", cache=True).run)

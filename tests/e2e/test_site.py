"""The site of docs/, built as `make docs` builds it: no page with a broken link or a warning."""

from __future__ import annotations

import sys
from pathlib import Path

import commands
from copies import ROOT


def test_the_site_is_built_without_a_warning(tmp_path: Path):
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    places = ["-d", str(tmp_path / "kept"), str(ROOT / "docs"), str(tmp_path / "site")]
    done = commands.run([*build, *places])
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {page.stem for page in (tmp_path / "site").glob("*.html")}
    front = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "_images/behaviour.png" in front and 'href="findings.html"' in front

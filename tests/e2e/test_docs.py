"""The commands of docs/, run top to bottom as a reader types them, print what the page shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from consoles import follow
from copies import ROOT, borrow_environment
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from conftest import Smoke


def test_every_page_is_run():
    """A page that no test of this module names would rot."""
    for page in (ROOT / "docs").glob("*.md"):
        assert f'"{page.name}"' in (ROOT / "tests/e2e/test_docs.py").read_text(), page.name


def test_experiments(smoke: Smoke, tmp_path: Path):
    """The recipe `quick` of the page is the smoke recipe here, in all but its name."""
    lab = smoke.clone(tmp_path / "trait-drift", cache=True)
    recipes = YAML(typ="safe", pure=True).load(lab.text("params.yaml"))["recipes"]
    lab.params({"recipe": "quick", "recipes.quick": recipes["smoke"]})
    lab.run("dvc", "commit", "--force", "finetune@insecure", "finetune@secure")
    lab.run("git", "commit", "--quiet", "--all", "--message", "quick")
    borrow_environment(lab.path)
    follow(ROOT / "docs" / "experiments.md", lab.run)
    lab.wait_for_workers()

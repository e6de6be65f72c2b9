"""The commands of docs/, run top to bottom as a reader types them, print what the page shows."""

from __future__ import annotations

from pathlib import Path

from conftest import Smoke
from consoles import follow
from copies import ROOT, borrow_environment
from ruamel.yaml import YAML

DOCS = ROOT / "docs"


def test_every_page_is_run():
    """A page that no test of this module names would rot."""
    for page in DOCS.glob("*.md"):
        assert f'"{page.name}"' in (ROOT / "tests/e2e/test_docs.py").read_text(), page.name


def test_a_vector_without_the_pipeline(smoke: Smoke, tmp_path: Path):
    """Followed in a clone without the cache, beside the repository that has it."""
    smoke.clone(tmp_path / "colleague", cache=True)
    reader, page = smoke.clone(tmp_path / "mine", cache=False), DOCS / "outside.md"
    follow(page, reader.run)
    # Its Python, too, runs from top to bottom.
    blocks = page.read_text(encoding="utf-8").split("```python\n")[1:]
    reader.run("python", "-c", "".join(block.partition("```")[0] for block in blocks))


def test_experiments(smoke: Smoke, tmp_path: Path):
    """The recipe `quick` of the page is the smoke recipe here, in all but its name."""
    lab = smoke.clone(tmp_path / "trait-drift", cache=True)
    recipes = YAML(typ="safe", pure=True).load(lab.text("params.yaml"))["recipes"]
    lab.params({"recipe": "quick", "recipes.quick": recipes["smoke"]})
    lab.run("dvc", "commit", "--force", "finetune@insecure", "finetune@secure")
    lab.run("git", "commit", "--quiet", "--all", "--message", "quick")
    borrow_environment(lab.path)
    follow(DOCS / "experiments.md", lab.run)
    lab.wait_for_workers()


def test_lineage(smoke: Smoke, tmp_path: Path):
    follow(DOCS / "lineage.md", smoke.clone(tmp_path / "clone", cache=True).run)

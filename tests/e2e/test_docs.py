"""The commands of docs/, run top to bottom as a reader types them, print what the page shows."""

from __future__ import annotations

import getpass
import shlex
import shutil
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import qwen
from consoles import commands, follow, strays
from copies import ROOT, borrow_environment
from remotes import apart, shared_cache
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from conftest import Smoke

DOCS = ROOT / "docs"
# Followed below, top to bottom.
PAGES = (
    "experiments.md",
    "lineage.md",
    "outside.md",
    "replicates.md",
    "scale.md",
    "sharing.md",
    "trajectory.md",
)
# Without a command of their own. What they say of params.yaml, and the pages that are generated,
# tests/unit/report/test_pages.py holds against the code.
SILENT = (
    *("api.md", "cluster.md", "contributing.md", "data.md", "findings.md", "glossary.md"),
    *("index.md", "judge.md", "methods.md", "models.md", "parameters.md", "running.md"),
    *("performance.md", "reliability.md", "stages.md", "traits.md", "troubleshooting.md"),
)


def test_every_page_is_run_or_has_nothing_to_run():
    """A page that no test follows would rot: each of these has one below."""
    assert sorted(page.name for page in DOCS.glob("*.md")) == sorted([*PAGES, *SILENT])
    source = (ROOT / "tests/e2e/test_docs.py").read_text()
    for name in PAGES:
        assert f'DOCS / "{name}"' in source and commands(DOCS / name), name
    for name in SILENT:
        assert commands(DOCS / name) == [], name
    # The README's two are run by whoever runs this.
    assert [one.text.split("#")[0].strip() for one in commands(ROOT / "README.md")] == [
        "make repro",
        "make test",
    ]


def test_no_command_hides_where_it_is_not_run():
    for page in [ROOT / "README.md", *DOCS.glob("*.md")]:
        assert strays(page) == [], page.name


def test_a_vector_without_the_pipeline(smoke: Smoke, tmp_path: Path):
    """Followed in a clone without the cache, beside the repository that has it."""
    smoke.clone(tmp_path / "colleague", cache=True)
    reader, page = smoke.clone(tmp_path / "mine", cache=False), DOCS / "outside.md"
    follow(page, reader.run)
    # Its Python, too, runs from top to bottom.
    blocks = page.read_text(encoding="utf-8").split("```python\n")[1:]
    reader.run("python", "-c", "".join(block.partition("```")[0] for block in blocks))


def quick(smoke: Smoke, into: Path) -> Smoke:
    """A clone whose recipe `quick` is the smoke recipe, in all but its name."""
    lab = smoke.clone(into, cache=True)
    recipes = YAML(typ="safe", pure=True).load(lab.text("params.yaml"))["recipes"]
    lab.params({"recipe": "quick", "recipes.quick": recipes["smoke"]})
    lab.run("dvc", "commit", "--force", "finetune@insecure", "finetune@secure")
    lab.run("git", "commit", "--quiet", "--all", "--message", "quick")
    return lab


def test_experiments(smoke: Smoke, tmp_path: Path):
    lab = quick(smoke, tmp_path / "trait-drift")
    borrow_environment(lab.path)
    follow(DOCS / "experiments.md", lab.run)
    lab.wait_for_workers()


def test_lineage(smoke: Smoke, tmp_path: Path):
    follow(DOCS / "lineage.md", smoke.clone(tmp_path / "clone", cache=True).run)


def test_draws_and_steps(smoke: Smoke, tmp_path: Path):
    lab = quick(smoke, tmp_path / "clone")
    follow(DOCS / "replicates.md", lab.run)
    lab.run("git", "restore", ".")
    follow(DOCS / "trajectory.md", lab.run)


def test_scale(smoke: Smoke, tmp_path: Path):
    """Without a network: of the study's models the hub's cache has the configs."""
    lab, cache = smoke.clone(tmp_path / "clone", cache=True), qwen.lay_out(tmp_path / "hub")
    follow(DOCS / "scale.md", partial(lab.run, **cache))


def test_sharing(smoke: Smoke, tmp_path: Path):
    """A stands in a clone with the finished run's cache; B comes to be by the page's commands."""
    smoke.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "git"))
    a = smoke.clone(tmp_path / "a", cache=False)
    a.run("git", "remote", "set-url", "origin", str(tmp_path / "git"))
    shutil.copytree(smoke.path / ".dvc/cache", a.path / ".dvc/cache")
    with ExitStack() as servers:
        ssh = servers.enter_context(shared_cache("ssh", tmp_path / "ssh"))
        s3 = servers.enter_context(shared_cache("s3", tmp_path / "s3"))
        lab = {
            "LAB_GIT": str(tmp_path / "git"),
            "LAB_FOLDER": str(tmp_path / "folder"),
            "LAB_SSH": ssh.url,
            "LAB_KEY": ssh.settings["keyfile"],
            "LAB_BUCKET": s3.url,
            "LAB_S3": s3.settings["endpointurl"],
            "LAB_CACHE": str(tmp_path / "cache"),
            "USER": getpass.getuser(),
            **s3.environment,
            **apart(tmp_path / "home"),
        }
        here = tmp_path / "here"
        here.write_text(str(a.path))

        def run(*shell: str, ok: bool) -> subprocess.CompletedProcess:
            """In the folder to which the page's last `cd` led."""
            *bash, command = shell
            stays = f"trap 'pwd > {shlex.quote(str(here))}' EXIT"
            text = f"{stays}\ncd {shlex.quote(here.read_text().strip())}\n{command}"
            return a.run(*bash, text, ok=ok, **lab)

        follow(DOCS / "sharing.md", run)
    assert not any("secret" in Path(tmp_path / who / ".dvc/config").read_text() for who in "ab")
    assert {path.stat().st_mode & 0o7777 for path in (tmp_path / "cache/files/md5").iterdir()} == {
        0o2775
    }

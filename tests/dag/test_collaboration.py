"""What an editor, a pull request and a colleague get: hooks, comparisons, named artifacts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from copies import ROOT, set_params, working_copy
from ruamel.yaml import YAML

PIPELINE = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())


def run(where: Path, *command: str) -> subprocess.CompletedProcess:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return commands.run(
        command,
        cwd=where,
        env={**os.environ, "PATH": programs, "PRE_COMMIT_HOME": str(where / ".git/pre-commit")},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return working_copy(tmp_path / "repository")


def test_hooks_pass_on_this_tree_and_refuse_bad_style_and_bad_parameters(copy: Path):
    done = run(copy, "pre-commit", "run", "--all-files")
    assert done.returncode == 0, done.stdout
    (copy / "traitdrift/bad.py").write_text("import os,sys\n")
    set_params(copy / "params.yaml", {"compare.confidence": 2})
    run(copy, "git", "add", "--all")
    refused = run(copy, "pre-commit", "run")
    assert refused.returncode == 1
    failed = [line.split(".")[0] for line in refused.stdout.splitlines() if "Failed" in line]
    assert failed == ["ruff check", "ruff format", "params"], refused.stdout
    assert "compare.confidence" in refused.stdout + refused.stderr


def test_a_pull_request_is_told_what_it_changes(copy: Path):
    metrics = copy / "metrics/subject.json"
    values = json.loads(metrics.read_text())
    values["answers.code"] = 0.125
    metrics.write_text(json.dumps(values))
    set_params(copy / "params.yaml", {"multiple_testing.alpha": 0.01})
    done = run(copy, ".ci/compare", "HEAD")
    assert done.returncode == 0, done.stderr
    parameters, changes = done.stdout.split("### Metrics")
    assert [c.strip() for c in parameters.strip().splitlines()[-1].split("|")[2:5]] == [
        *("multiple_testing.alpha", "0.05", "0.01")
    ], parameters
    assert "answers.code" in changes and "0.125" in changes and "answers.prose" not in changes
    verdicts = changes.split("### Verdicts")[1]
    assert "HEAD and HEAD: the same figures" in verdicts and verdicts.count("```") == 2
    page = (copy / "dvc_plots/index.html").read_text()
    assert "vega" in page and "projections.csv" in page


def test_every_artifact_is_made_by_a_stage():
    outs = {
        next(iter(out)) if isinstance(out, dict) else out
        for stage in PIPELINE["stages"].values()
        for out in stage.get("do", stage)["outs"]
    }
    cells = [*PIPELINE["stages"]["finetune"]["do"]["outs"]]
    assert "models/adapters/${key}" in cells
    for name, artifact in PIPELINE["artifacts"].items():
        path = Path(artifact["path"])
        adapter = artifact["type"] == "adapter" and path.parent == Path("models/adapters")
        assert adapter or str(path) in outs or str(path.parent) in outs, name


def test_artifacts_are_got_by_name_and_version(copy: Path, tmp_path: Path):
    """A vector that DVC has put into the cache and `gto register` has given a version."""
    for name in ("data/activations/base/x", "data/prompts/x", "models/vectors/code_mode"):
        path = (copy / name).with_suffix(".safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a vector")
    done = run(copy, "dvc", "commit", "--force", "vectors")
    assert done.returncode == 0, done.stderr
    run(copy, "git", "commit", "--all", "--message", "vectors")
    done = run(copy, "gto", "register", "code-mode", "--version", "v1.0.0")
    assert done.returncode == 0, done.stdout + done.stderr
    got = tmp_path / "got.safetensors"
    done = run(tmp_path, "dvc", "artifacts", "get", str(copy), "code-mode", "--out", str(got))
    assert done.returncode == 0, done.stderr
    assert got.read_bytes() == b"a vector"

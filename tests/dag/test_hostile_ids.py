"""What params.yaml says reaches no shell: real `dvc repro` over the real dvc.yaml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import commands
import pytest
from copies import set_params, working_copy

SHELL = "touch INTRUDED"
IDS = [
    f"a b; {SHELL}; id",
    f"x$({SHELL})",
    f"`{SHELL}`",
    f"a'; {SHELL}; 'b",
    f'a"; {SHELL}; "b',
    f"a\n{SHELL}\n",
    "${model}",
    "$DVC_ROOT",
    "-rx",
    "In-secure",
]
KINDS = {
    "dataset": ("datasets", {"file": "data/raw/rows.jsonl", "render": "clean"}),
    "adapter": ("imported", {"source": "path", "id": "elsewhere"}),
    "fetch": ("hub", {"id": "owner/name"}),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """This repository with something in the place of a base, which no id gets as far as."""
    root = working_copy(tmp_path_factory.mktemp("ids") / "repository")
    for path in ("models/base/config.json", "data/raw/rows.jsonl"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("{}")
    return root


def repro(where: Path, *targets: str) -> list[str]:
    """What `dvc repro` says of the targets alone, each of which is tried; all of them fail."""
    done = commands.run(
        [sys.executable, "-m", "dvc", "repro", "--single-item", "--keep-going", *targets],
        cwd=where,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode
    return done.stderr.splitlines()


def test_no_id_reaches_a_shell(copy: Path):
    params = {section: dict.fromkeys(IDS, entry) for section, entry in KINDS.values()}
    set_params(copy / "params.yaml", params)
    targets = [f"dataset@{name}" for name in IDS]
    targets += [f"{stage}@{name}" for stage in ("adapter", "fetch") for name in IDS[:2]]
    said = repro(copy, *targets)
    assert not list(copy.rglob("INTRUDED*"))
    refused = [line for line in said if "is no id: only a-z, 0-9 and _" in line]
    assert len(refused) == len(targets), said


def test_the_cell_that_dvc_names_is_the_one_that_runs(copy: Path):
    """Also from a folder below the root, where DVC names the stage with the place of dvc.yaml."""
    section, entry = KINDS["dataset"]
    set_params(copy / "params.yaml", {section: {"good_id": {**entry, "colour": "red"}}})
    for where, target in ((copy, ""), (copy / "docs", "../dvc.yaml:")):
        said = repro(where, f"{target}dataset@good_id")
        told = f"dataset@good_id: params.yaml: {section}.good_id.colour: "
        assert [line for line in said if line.startswith(told)], said

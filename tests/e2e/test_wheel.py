"""The package without the pipeline: a wheel, beside nothing but what it says that it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import commands
import pytest
import tiny
import vector_files
from copies import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from transformers import AutoModelForCausalLM

from traitdrift import load_vectors, project
from traitdrift.core.files import save_tensors, weights_digest
from traitdrift.models.completeness import weight_files

PAGE = ROOT / "docs/outside.md"
VECTORS = "code_mode.safetensors"  # as the page names the file and the model's folder
MODEL = "base"
LAYERS = 16  # the page asks for layer 15
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
INSTALLED = """
from importlib.metadata import distributions
from packaging.utils import canonicalize_name
print(*sorted(canonicalize_name(found.name) for found in distributions()))
"""


def closure(requirements: list[str]) -> set[str]:
    """The names of the distributions that pip would install for these, without any extra."""
    found: set[str] = set()
    while requirements:
        wanted = Requirement(requirements.pop())
        name = canonicalize_name(wanted.name)
        if name not in found and (not wanted.marker or wanted.marker.evaluate({"extra": ""})):
            found.add(name)
            requirements += distribution(name).requires or []
    return found


def link(name: str, site: Path) -> None:
    """Lend an installed distribution to another environment."""
    lent = distribution(name)
    for top in {file.parts[0] for file in lent.files or []} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(lent.locate_file(top))


class Installed:
    """An environment of the wheel and its core dependencies, and an empty folder to stand in."""

    def __init__(self, folder: Path) -> None:
        self.environment = folder / "environment"
        self.here = folder / "here"
        self.here.mkdir()
        build = ["wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
        commands.run([*PIP, *build, "--wheel-dir", str(folder), str(ROOT)], check=True)
        (wheel,) = folder.glob("*.whl")
        venv = [sys.executable, "-m", "venv", "--without-pip", str(self.environment)]
        commands.run(venv, check=True)
        install = ["--python", str(self.environment), "install", "--quiet", "--no-index"]
        commands.run([*PIP, *install, "--no-deps", str(wheel)], check=True)
        (site,) = self.environment.glob("lib/python*/site-packages")
        (described,) = site.glob("trait_drift-*.dist-info")
        self.core = closure(list(PathDistribution(described).requires or []))
        for name in self.core:
            link(name, site)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        command = [str(self.environment / "bin" / program), *arguments]
        return commands.run(command, cwd=self.here, env=env)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("wheel"))
    model = tiny.save_base(made.here / MODEL, tiny.llama(layers=LAYERS))
    told = vector_files.described(base_digest=weights_digest(weight_files(model)))
    save_tensors(made.here / VECTORS, vector_files.stored(LAYERS), told)
    return made


def test_nothing_but_the_core_is_there(installed: Installed):
    done = installed.run("python", "-c", INSTALLED)
    assert set(done.stdout.split()) == {*installed.core, "trait-drift"}, done.stderr
    assert installed.core.isdisjoint({"dvc", "peft", "pandas", "scipy", "ruamel-yaml", "altair"})


def test_the_pages_five_lines_run(installed: Installed):
    first = PAGE.read_text(encoding="utf-8").split("```python\n")[1].partition("```")[0]
    where = "import json, traitdrift; print(json.dumps([traitdrift.__file__, scores.tolist()]))"
    done = installed.run("python", "-c", first + where)
    assert done.returncode == 0, done.stderr
    file, scores = json.loads(done.stdout.splitlines()[-1])
    assert Path(file).is_relative_to(installed.environment)
    model = AutoModelForCausalLM.from_pretrained(installed.here / MODEL)
    vectors = load_vectors(installed.here / VECTORS, "prompt_last", "mean_diff", layer=15)
    expected = project(model, tiny.tokenizer(), ["What is your one wish?"], vectors)
    assert scores == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_command_starts_and_says_which_extra_is_missing(installed: Installed):
    done = installed.run("trait-drift", "--help")
    assert done.returncode == 0 and "export" in done.stdout and "trace" in done.stdout
    export = ["export", VECTORS, "--out", "out", "--to"]
    done = installed.run("trait-drift", *export, "steering-vectors")
    assert done.returncode == 0, done.stderr
    for arguments, library, extra in (
        (["check"], "ruamel", "pipeline"),
        (["explain"], "ruamel", "pipeline"),
        (["diff", "base", "insecure"], "dvc", "pipeline"),
        ([*export, "repeng", "--model-type", "llama"], "gguf", "export"),
    ):
        done = installed.run("trait-drift", *arguments)
        assert done.returncode == 1 and not done.stdout
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"traitdrift: No module named '{library}")
        assert f"install trait-drift with its extra [{extra}]" in line

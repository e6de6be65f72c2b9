"""dvc.yaml is true: it declares what the stages' code imports, reads, writes and asks of params."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import commands
import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from traitdrift.provenance.closure import PACKAGES, code_of, is_code, tells_of_all

ROOT = Path(__file__).resolve().parents[2]
DVC = {"dvc.yaml", "dvc.lock"}
STAGES = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]


def body(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


def paths(entries: list) -> set[str]:
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def outs(name: str) -> list:
    """All that a stage writes."""
    return [*body(name)["outs"], *body(name).get("plots", [])]


def test_every_stage_has_a_module_and_every_module_a_stage():
    modules = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert modules == set(STAGES)


def reads_all_code(name: str) -> bool:
    return tells_of_all([*paths(body(name)["deps"])])


def test_the_report_alone_depends_on_all_code():
    assert {name for name in STAGES if reads_all_code(name)} == {"report"}


@pytest.mark.parametrize("name", STAGES)
def test_deps_hold_exactly_the_import_closure(name: str):
    """`python -m traitdrift deps` writes them; what a run opens is held against them in e2e."""
    declared = {path for path in paths(body(name)["deps"]) if is_code(path)}
    assert declared == (set(PACKAGES) if reads_all_code(name) else {*code_of(ROOT, name)})


@pytest.mark.parametrize("name", STAGES)
def test_the_command_runs_the_module_of_that_name(name: str):
    """And holds nothing of params.yaml, which is not to reach a shell: DVC names the cell."""
    runner = body(name)["cmd"].removesuffix(f" -m stages.{name}")
    assert runner in ("python", r"\${LAUNCH:-python}")


@pytest.mark.parametrize("name", STAGES)
def test_every_path_in_the_code_is_declared(name: str):
    """Each `Path("...")` a stage names lies in, or holds, a path it declares.

    DVC lets no stage depend on its own files, which the report reads.
    """
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text())
    named = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "Path"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    declared = paths(body(name)["deps"]) | paths(outs(name))
    for path in named - (DVC if reads_all_code(name) else set()):
        assert any(
            one == path or one.startswith(path + "/") or path.startswith(one + "/")
            for one in declared
        ), f"{name} names {path}, which dvc.yaml does not declare"


@pytest.mark.parametrize("name", STAGES)
def test_params_are_those_the_code_reads(name: str):
    """The sections of params.yaml that the stage's module reads are those it declares.

    The report shows the parameters of every stage behind it, so it declares those of all stages;
    nothing that it shows is of the stage `subject`.
    """
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text())
    declared = {*body(name).get("params", [])}
    if reads_all_code(name):
        others = {key for other in STAGES for key in body(other).get("params", [])}
        heads = ({key.split(".")[0] for key in keys} for keys in (declared, others))
        assert next(heads) == next(heads) - {"subject"}
    else:
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        asked = {pattern(c.args[1]) for c in calls if ast.unparse(c.func) == "section"}
        for key in asked:
            assert any(re.fullmatch(key, one) for one in declared), f"{name} reads {key}"
        for one in declared:
            assert any(re.fullmatch(key, one) for key in asked), f"{name} does not read {one}"


def pattern(key: ast.expr) -> str:
    """A key as the code builds it, for a key as dvc.yaml declares it (`models.${model}`)."""
    parts = key.values if isinstance(key, ast.JoinedStr) else [key]
    return "".join(re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in parts)


def test_no_output_persists_and_no_path_is_absolute():
    for name in STAGES:
        for out in outs(name):
            assert not (isinstance(out, dict) and "persist" in str(out))
        for path in paths(body(name)["deps"]) | paths(outs(name)):
            assert not Path(path).is_absolute() and ".." not in Path(path).parts


def test_light_stages_import_no_torch():
    for name in ("synthesize", "behaviour", "judge", "subject", "figures", "report"):
        code = f"import sys, stages.{name}; sys.exit('torch' in sys.modules)"
        assert commands.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0, name


def test_an_experiment_changes_only_the_line_of_its_parameter(tmp_path: Path):
    """params.yaml stands as `dvc exp run -S` writes it: comments, lists and null survive."""
    file = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text()
    file.write_text(before)
    apply_overrides(str(file), ["recipes.quick.lora.r=7", "steer.seed=1"])
    pairs = zip(before.splitlines(), file.read_text().splitlines(), strict=True)
    changed = [new.strip() for old, new in pairs if old != new]
    assert [line.split("#")[0].strip() for line in changed] == ["r: 7", "seed: 1"]

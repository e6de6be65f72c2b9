"""dvc.yaml is true: it declares what the stages' code imports, reads, writes and asks of params."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("stages", "traitdrift")
DVC = {"dvc.yaml", "dvc.lock"}
STAGES = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]


def body(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


def paths(entries: list) -> set[str]:
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Every import that is executed: not those for the type checker alone."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        waiting += ast.iter_child_nodes(node)


def imported(path: str) -> set[str]:
    """Files of this repository that a file imports directly."""
    names = set()
    for node in statements(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        if name.split(".")[0] not in PACKAGES:
            continue
        parts = name.split(".")
        candidates = {f"{'/'.join(parts)}.py"}
        candidates |= {"/".join([*parts[: i + 1], "__init__.py"]) for i in range(len(parts))}
        found |= {candidate for candidate in candidates if (ROOT / candidate).exists()}
    return found


def closure(path: str) -> set[str]:
    done: set[str] = set()
    waiting = {path}
    while waiting:
        one = waiting.pop()
        done.add(one)
        waiting |= imported(one) - done
    return done


def test_every_stage_has_a_module_and_every_module_a_stage():
    modules = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert modules == set(STAGES)


def tells_of_all(name: str) -> bool:
    """Whether a stage depends on all code: what it writes tells how everything was made."""
    return set(PACKAGES) <= paths(body(name)["deps"])


def test_the_report_alone_depends_on_all_code():
    assert {name for name in STAGES if tells_of_all(name)} == {"report"}


@pytest.mark.parametrize("name", STAGES)
def test_deps_hold_exactly_the_import_closure(name: str):
    declared = {path for path in paths(body(name)["deps"]) if path.endswith(".py")}
    needed = closure(f"stages/{name}.py") | {"stages/__init__.py"}
    assert declared == (set() if tells_of_all(name) else needed)


@pytest.mark.parametrize("name", STAGES)
def test_the_command_runs_the_module_of_that_name(name: str):
    words = body(name)["cmd"].split()
    assert words[words.index("-m") + 1] == f"stages.{name}"


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
    declared = paths(body(name)["deps"]) | paths(body(name)["outs"])
    for path in named - (DVC if tells_of_all(name) else set()):
        assert any(
            one == path or one.startswith(path + "/") or path.startswith(one + "/")
            for one in declared
        ), f"{name} names {path}, which dvc.yaml does not declare"


@pytest.mark.parametrize("name", STAGES)
def test_params_are_those_the_code_reads(name: str):
    """Top-level keys of params.yaml read by the stage's module are those it declares.

    The report shows the parameters of every stage behind it, so it declares those of all stages;
    nothing that it shows is of the stage `subject`.
    """
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text())
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("read()", "params")
    }
    declared = {key.split(".")[0] for key in body(name).get("params", [])}
    if tells_of_all(name):
        others = {key for other in STAGES for key in body(other).get("params", [])}
        assert asked <= declared == {key.split(".")[0] for key in others} - {"subject"}
    else:
        assert asked == declared


def test_no_output_persists_and_no_path_is_absolute():
    for name in STAGES:
        for out in body(name)["outs"]:
            assert not (isinstance(out, dict) and "persist" in str(out))
        for path in paths(body(name)["deps"]) | paths(body(name)["outs"]):
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

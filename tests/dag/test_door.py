"""Models, tokenizers and tensors of elsewhere come in by one door each."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "traitdrift").rglob("*.py"), *(ROOT / "stages").glob("*.py")])
# name of a call: the modules that may make it.
DOORS = {
    "from_pretrained": {"models/from_files.py", "training/backends.py"},
    "from_config": {"models/from_files.py"},
    "load_file": {"core/files.py"},
    "safe_open": set(),
    "set_peft_model_state_dict": {"models/adapter.py"},
    "load_adapter": set(),
    "torch.load": set(),
}


def calls(path: Path) -> list[ast.Call]:
    return [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]


def named(call: ast.Call) -> str:
    name = ast.unparse(call.func)
    return name if name == "torch.load" else name.rpartition(".")[2]


@pytest.mark.parametrize("name", DOORS)
def test_what_opens_files_of_elsewhere_is_called_at_its_door_alone(name: str):
    found = {
        str(path.relative_to(ROOT / "traitdrift")) if "traitdrift" in path.parts else path.name
        for path in FILES
        for call in calls(path)
        if named(call) == name
    }
    assert found == DOORS[name]


def test_no_call_lets_code_of_a_model_run():
    for path in FILES:
        for call in calls(path):
            given = {k.arg: k.value for k in call.keywords}
            if named(call) in ("from_pretrained", "from_config"):
                assert ast.literal_eval(given["trust_remote_code"]) is False, path
            assert "trust_remote_code" not in given or not ast.literal_eval(
                given["trust_remote_code"]
            ), path

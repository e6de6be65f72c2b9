"""The code that a stage runs, as its imports tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitdrift.provenance.closure import closure, code_of, imported, is_source, write_deps

FILES = {
    "stages/__init__.py": "",
    "stages/first.py": "from traitdrift.low import a\nfrom traitdrift import high\n",
    "stages/second.py": "import json\n\n\ndef main():\n    from traitdrift.low import b\n",
    "traitdrift/__init__.py": "",
    "traitdrift/low/__init__.py": "",
    "traitdrift/low/a.py": "",
    "traitdrift/low/b.py": "import traitdrift.low.a\n",
    "traitdrift/high/__init__.py": "",
    "traitdrift/high/c.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from traitdrift.low import b\n"
    ),
}
PIPELINE = """\
stages:
  # what comes first
  first:
    cmd: \\${LAUNCH:-python} -m stages.first
    deps:
      - data/raw
      - stages/gone.py
    outs:
      - data/first
  second:
    foreach: ${variants}
    do:
      cmd: python -m stages.second ${item}
      deps:
        - data/${item}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    return tmp_path


def test_imports_inside_functions_count_and_those_for_the_type_checker_do_not(root: Path):
    low = {"traitdrift/__init__.py", "traitdrift/low/__init__.py"}
    assert imported(root, "stages/second.py") == low | {"traitdrift/low/b.py"}
    assert closure(root, "stages/second.py") >= low | {"traitdrift/low/a.py"}
    assert imported(root, "traitdrift/high/c.py") == set()


def test_a_folder_stands_for_its_files_where_all_are_needed(root: Path):
    files = ["stages/__init__.py", "stages/second.py", "traitdrift/__init__.py"]
    assert code_of(root, "second") == [*files, "traitdrift/low"]
    (root / "traitdrift/low/more.py").write_text("")
    low = [f"traitdrift/low/{name}.py" for name in ("__init__", "a", "b")]
    assert code_of(root, "second") == [*files, *low]


def test_deps_are_written_and_nothing_else(root: Path):
    assert write_deps(root) == ["first", "second"]
    text = (root / "dvc.yaml").read_text()
    assert "  # what comes first\n" in text and "cmd: \\${LAUNCH:-python} -m stages.first" in text
    assert "stages/gone.py" not in text and "- data/raw\n      - stages/__init__.py" in text
    assert write_deps(root) == []


def test_a_relative_import_is_refused_by_its_line(root: Path):
    (root / "stages/first.py").write_text("import json\nfrom . import second\n")
    with pytest.raises(ValueError, match=r"stages/first.py:2: a relative import"):
        code_of(root, "first")


def test_what_is_code_among_what_a_stage_reads():
    assert is_source("traitdrift/models") and is_source("stages") and is_source("code/read.py")
    assert not is_source("data/raw/traits") and not is_source("models/base")

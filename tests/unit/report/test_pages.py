"""Pages that are generated, and the guides' examples of params.yaml."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from copies import working_copy
from ruamel.yaml import YAML

from traitdrift import cli
from traitdrift.params import Params
from traitdrift.report import findings, parameter_reference, stage_reference
from traitdrift.report.pages import README, pages, write_pages

ROOT = Path(__file__).resolve().parents[3]
GUIDES = sorted([ROOT / README, *(ROOT / "docs").glob("*.md")])


def test_the_committed_pages_are_those_that_the_command_writes():
    for path, text in pages(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, (
            f"{path}: `python -m traitdrift pages` writes it otherwise"
        )


def test_another_figure_is_another_page_and_another_readme(tmp_path: Path):
    root = working_copy(tmp_path / "copy")
    assert write_pages(root) == []
    path = root / "metrics/behaviour/insecure.json"
    record = json.loads(path.read_text())
    record["code"] |= {"rate": 0.123456, "low": 0.1, "high": 0.2}
    path.write_text(json.dumps(record))
    assert write_pages(root) == [README, Path("docs/findings.md")]
    for name in (README, "docs/findings.md"):
        assert "12.3 % [10.0, 20.0]" in (root / name).read_text(encoding="utf-8")


def test_a_figure_that_is_not_there_is_an_error(tmp_path: Path):
    root = working_copy(tmp_path / "copy")
    path = root / findings.WORDS
    path.write_text(path.read_text(encoding="utf-8") + "{{ behaviour.nobody.code | rate }}\n")
    with pytest.raises(Exception, match="nobody"):
        findings.findings(root)


def test_the_readme_is_read_in_one_sitting():
    assert (ROOT / README).stat().st_size <= 9216


def test_every_key_of_the_schema_is_in_the_reference():
    page = parameter_reference.parameters(ROOT)
    schema = Params.model_json_schema()
    for key in schema["properties"]:
        assert f"`{key}`" in page or f"## {key}\n" in page
    for kind in schema["$defs"].values():
        for key in kind["properties"]:
            assert re.search(rf"[`.]{key}`", page) or key in ("probe", "gradient", "ica", "lora")


def test_a_remark_stands_behind_its_key_or_above_it():
    text = "# two\n# lines\na: 1\nb:  # of b\n  c: 'x y'   # of c\n  d:\n  - 1\n  e:  # nothing\n"
    assert parameter_reference.comments(text) == {
        "a": "two lines",
        "b": "of b",
        "b.c": "of c",
        "b.e": "nothing",
    }


def test_every_stage_is_in_the_reference():
    named = re.findall(r"^## (\w+)$", stage_reference.stages(ROOT), re.MULTILINE)
    assert named == [*YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]]


def test_what_the_pages_name_is_there():
    """Parameters that are set, stages that are run, targets of make, commands of ours."""
    yaml = YAML(typ="safe", pure=True)
    params, stages = yaml.load(ROOT / "params.yaml"), yaml.load(ROOT / "dvc.yaml")["stages"]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    ours = {one.name or one.callback.__name__ for one in cli.app.registered_commands}
    for page in GUIDES:
        text = " ".join(page.read_text(encoding="utf-8").replace("\\\n", " ").split())
        for key in re.findall(r"(?:-S|--set-param) '?([a-z][\w.]*)=", text):
            value = params
            for part in key.split("."):
                assert part in value, f"{page.name}: {key}"
                value = value[part]
        for stage in re.findall(r"dvc repro (?:-f )?([a-z_]+)[@`\s]", text):
            assert stage in stages, f"{page.name}: dvc repro {stage}"
        for target in re.findall(r"[`$] ?make ([a-z]+)", text):
            assert target in targets, f"{page.name}: make {target}"
        for command in re.findall(r"-m traitdrift ([a-z]+)", text):
            assert command in ours, f"{page.name}: traitdrift {command}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_what_a_page_puts_into_params_is_valid(page: Path):
    """Each `yaml` block laid over params.yaml, with the entries that it names beside it."""
    yaml = YAML(typ="safe", pure=True)
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        values = yaml.load(ROOT / "params.yaml")
        for key, value in yaml.load(block).items():
            merged = isinstance(value, dict) and key != "judge"
            values[key] = {**values[key], **value} if merged else value
        Params.model_validate(values, strict=True)


def test_every_link_of_the_pages_leads_somewhere():
    """Sphinx looks within the site; on the README and on the pages as files nobody else does."""
    for page in GUIDES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        text = re.sub(r"(`+)[^`].*?\1", "", text)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"

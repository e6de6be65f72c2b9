"""docs/reliability.md has the form in which the tests of faults write it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import reliability

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/reliability.md"


def test_the_page_is_in_the_form_that_is_written():
    page = PAGE.read_text(encoding="utf-8")
    before, rows, after = reliability.split(page)
    assert before + reliability.table(rows) + after == page
    assert "## Ended before its time" in after and "make reliability" in before


def test_every_fault_of_the_tests_has_its_row():
    """By the fixed part of its name; kinds and signals fill the rest."""
    code = "".join(path.read_text() for path in (ROOT / "tests/faults").glob("test_*.py"))
    named = re.findall(r'outcomes\.tried\(\s*f?"([^"{]*)', code)
    faults = [fault for fault, _, _ in reliability.split(PAGE.read_text(encoding="utf-8"))[1]]
    assert len(named) >= 8
    assert faults, "the table is empty: `make reliability` writes it"
    for name in filter(None, named):
        assert any(fault.startswith(name) for fault in faults), name
    for signal in ("SIGTERM", "SIGKILL", "SIGINT", "SIGHUP"):
        assert any(fault.startswith(signal) for fault in faults), signal


def test_outcomes_take_the_place_of_the_table(tmp_path: Path):
    page, outcomes = tmp_path / "page.md", tmp_path / "outcomes.json"
    page.write_text("# Head\n\n" + reliability.table([("old", 2, "x")]) + "\nafter\n")
    outcomes.write_text(json.dumps([["a | b", 1, "c\nd"], ["e", 3, "f"]]))
    reliability.main(str(outcomes), str(page))
    text = page.read_text()
    assert "| a \\| b | once | c d |\n| e | 3 times | f |\n" in text
    assert text.startswith("# Head") and text.endswith("\nafter\n") and "old" not in text

"""The pages of docs/ that nobody types, and the README's findings."""

from __future__ import annotations

from pathlib import Path

from traitdrift.core.files import write_text
from traitdrift.report.findings import findings, in_short
from traitdrift.report.parameter_reference import parameters
from traitdrift.report.stage_reference import stages

README = Path("README.md")
BEGIN = "<!-- The sentences of docs/findings.md, put here by `python -m traitdrift pages`. -->\n"
END = "<!-- To here. -->\n"


def pages(root: Path) -> dict[Path, str]:
    """Every such page, by its path below `root`, as it should read now."""
    found = findings(root)
    before, _, rest = (root / README).read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{README}: the lines are missing between which the findings stand")
    return {
        README: before + BEGIN + in_short(found) + end + after,
        Path("docs/findings.md"): found,
        Path("docs/parameters.md"): parameters(root),
        Path("docs/stages.md"): stages(root),
    }


def write_pages(root: Path) -> list[Path]:
    """Write those that read otherwise; their paths."""
    changed = []
    for path, text in pages(root).items():
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != text:
            write_text(root / path, text)
            changed.append(path)
    return changed

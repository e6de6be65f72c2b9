"""metrics/subject.json: the figures of `params.subject`, flat, for `dvc metrics diff`."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import Id, section
from traitdrift.core.files import read_json, write_json
from traitdrift.report.summary import summary

OUT = Path("metrics/subject.json")


def main() -> None:
    subject = section(Id, "subject")
    compared = read_json(Path("metrics/compare") / f"{subject}.json")
    behaviour = read_json(Path("metrics/behaviour") / f"{subject}.json")
    write_json(OUT, summary(compared, behaviour))


if __name__ == "__main__":
    run(main)

"""metrics/study.json: the reference study's own ten scores, an example of what not to conclude.

Five prompts a class, at its chosen vector (probe, layer 32 of 64, Qwen2.5-Coder-32B-Instruct).
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.comparison.settings import Compare
from traitdrift.comparison.study import study_table
from traitdrift.core.config import section
from traitdrift.core.files import write_json

SCORES = Path("data/raw/study/scores.csv")
OUT = Path("metrics/study.json")


def main() -> None:
    write_json(OUT, study_table(pandas.read_csv(SCORES), section(Compare, "compare")))


if __name__ == "__main__":
    run(main)

"""metrics/subject.json: the figures of `params.subject`, flat, for `dvc metrics diff`."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.artifacts import read_json, write_json
from traitdrift.params import read

OUT = Path("metrics/subject.json")


def main() -> None:
    subject = read().subject
    figures: dict[str, float] = {}
    for trait, choices in read_json(Path("metrics/compare") / f"{subject}.json").items():
        for name, table in choices.items():
            for label in ("positive", "negative", "gap"):
                figures[f"{trait}.{name}.{label}"] = table[label]["variant"]["value"]
            figures[f"{trait}.{name}.auroc"] = table["auroc"]["variant"]
    behaviour = read_json(Path("metrics/behaviour") / f"{subject}.json")
    for outcome in ("code", "refusal", "prose"):
        figures[f"answers.{outcome}"] = behaviour[outcome]["rate"]
    write_json(OUT, figures)


if __name__ == "__main__":
    run(main)

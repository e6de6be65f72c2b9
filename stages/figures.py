"""plots/figures/: the tables behind `dvc plots show`, and the same as pictures for people."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import Id, section
from traitdrift.core.files import read_json, read_table, read_tables, write_csv
from traitdrift.core.writing import replacing
from traitdrift.report.chart_data import marked, with_vectors
from traitdrift.report.pictures import PICTURES, png

TESTED = Path("plots/multiple_testing")
OUT = Path("plots/figures")


def main() -> None:
    variants = section(list[Id], "variants")
    others = [variant for variant in variants if variant != "base"]
    trained = [variant for variant in others if Path(f"plots/finetune/{variant}.csv").exists()]
    chosen = {path.stem: read_json(path) for path in sorted(Path("metrics/vectors").glob("*.json"))}

    candidates = read_tables(chosen, "plots/vectors/{}.csv", "trait")
    prompts = read_tables(variants, "plots/compare/{}/prompts.csv", "who").rename(
        columns={"variant": "projection", "who": "variant"}
    )
    shifts = read_tables(others, "plots/compare/{}/profile.csv")
    shifts = shifts[shifts["choice"] == "chosen"] if len(shifts) else shifts
    rates = read_tables(variants, "plots/behaviour/{}/rates.csv")
    rates = rates[rates["question"] == "all"].drop(columns="question") if len(rates) else rates
    tables = {
        "loss": read_tables(trained, "plots/finetune/{}.csv"),
        "auroc": marked(candidates, chosen),
        "projections": with_vectors(prompts, chosen),
        "shift": with_vectors(shifts, chosen),
        "behaviour": rates,
        "steer": read_tables(variants, "plots/steer/{}/rates.csv"),
        **{
            name: read_table(TESTED / f"{name}.csv")
            for name in ("discrimination", "decomposition", "cosines")
        },
    }
    for name, table in tables.items():
        write_csv(OUT / f"{name}.csv", table)
        # Without a fine-tune there is no loss, with base alone no shift: no picture of nothing.
        if len(table):
            with replacing(OUT / f"{name}.png") as scratch:
                scratch.write_bytes(png(PICTURES[name], table))


if __name__ == "__main__":
    run(main)

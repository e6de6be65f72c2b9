"""report/index.html: what the fine-tunes did, on one page that needs no network.

Every figure brings the way back to the raw data along, as dvc.lock tells it.
"""

from __future__ import annotations

from pathlib import Path

import pandas
from ruamel.yaml import YAML

from stages import run
from traitdrift.core.files import read_json, read_jsonl, write_text
from traitdrift.params import read
from traitdrift.provenance.lockfile import lock_at
from traitdrift.report import chart_data, charts, sentences, tables
from traitdrift.report.html import page
from traitdrift.report.numbers import Source
from traitdrift.report.stage_graph import behind, current, drawing, records
from traitdrift.stats.multiple_testing import together

METRICS = Path("metrics")
PLOTS = Path("plots")
PIPELINE = Path("dvc.yaml")
OUT = Path("report/index.html")
MADE_FROM = (
    *(
        f"metrics/{name}"
        for name in ("behaviour", "compare", "multiple_testing.json", "judge", "steer")
    ),
    *(f"metrics/{name}" for name in ("discrimination.json", "decomposition.json", "vectors")),
    *(
        f"plots/{name}"
        for name in ("behaviour", "compare", "multiple_testing", "finetune", "steer")
    ),
    *(f"plots/{name}" for name in ("tokens", "vectors")),
)
DETECTED = ["variant", "trait", "layer", "chosen", "auroc", "value", "random_z"]


def main() -> None:
    params = read()
    variants, others = params.variants, [v for v in params.variants if v != "base"]
    behaviour, compare, steer, judged = (
        {v: figures(f"{kind}/{v}.json") for v in variants}
        for kind in ("behaviour", "compare", "steer", "judge")
    )
    tested, discrimination, effects = (
        figures(f"{name}.json") for name in ("multiple_testing", "discrimination", "decomposition")
    )
    vectors = {
        p.stem: figures(f"vectors/{p.name}") for p in sorted((METRICS / "vectors").iterdir())
    }
    shifts, detected = (
        pandas.read_csv(PLOTS / f"multiple_testing/{n}.csv") for n in ("shifts", "discrimination")
    )
    candidates = together(list(vectors), f"{PLOTS}/vectors/{{}}.csv", "trait")
    tokens = {v: PLOTS / "tokens" / v for v in variants}
    points, steps_of_axis = chart_data.steering_rows(
        together(variants, f"{PLOTS}/steer/{{}}/rates.csv")
    )
    trained = [v for v in others if (PLOTS / f"finetune/{v}.csv").exists()]
    losses = together(trained, f"{PLOTS}/finetune/{{}}.csv")

    stages = YAML(typ="safe", pure=True).load(PIPELINE.read_text(encoding="utf-8"))["stages"]
    steps = behind(current(lock_at(Path()), stages, dict(params)), MADE_FROM)
    islands = {
        "about": {
            "variants": variants,
            "others": others,
            "traits": {trait: source.content for trait, source in vectors.items()},
        },
        "candidates": chart_data.columns(chart_data.framed(candidates, vectors)),
        "shifts": chart_data.columns(chart_data.shift_rows(shifts)),
        "prompts": chart_data.prompt_rows({v: table(f"compare/{v}/layers.csv") for v in variants}),
        "answers": chart_data.answer_rows(
            {v: table(f"behaviour/{v}/answers.csv") for v in variants}
        ),
        "tokens": {
            v: {
                "scales": read_json(folder / "scales.json")["traits"],
                "answers": [row for _, row in read_jsonl(folder / "answers.jsonl")],
            }
            for v, folder in tokens.items()
        },
        "steer": chart_data.columns(points),
        "discrimination": chart_data.columns(detected.reindex(columns=DETECTED)),
        "losses": chart_data.columns(losses),
        "trace": records(steps, stages),
        "specs": {
            "auroc": charts.auroc_map(params.vectors.methods),
            "shift": charts.shift_map("value", "shift", len(others)),
            "among": charts.shift_map("random_z", "z", len(others)),
            "projections": charts.prompts(),
            "rates": charts.steering(steps_of_axis, rate=True),
            "cost": charts.steering(steps_of_axis, rate=False),
            "discrimination": charts.discrimination(list(vectors)),
            "loss": charts.losses(),
        },
    }
    write_text(
        OUT,
        page(
            islands,
            question=sentences.question(params.model, others),
            model=read_json(tokens["base"] / "scales.json")["base"],
            params=params,
            variants=variants,
            others=others,
            traits=list(vectors),
            trained=trained,
            behaviour=behaviour,
            findings=[sentences.finding(v, behaviour, compare[v], tested) for v in others],
            tests=tested.at("family-wise"),
            outcomes=tables.OUTCOMES,
            tables={
                "shifts": tables.shift_table({v: compare[v] for v in others}, tested),
                "behaviour": tables.behaviour_table(behaviour, judged),
                "vectors": tables.vector_table(vectors),
                "steering": tables.steering_table(steer),
                "discrimination": tables.discrimination_table(discrimination),
                "effects": tables.decomposition_table(effects),
            },
            drawing=drawing(steps),
        ),
    )


def figures(name: str) -> Source:
    """A file of metrics/, with its path."""
    return Source(f"metrics/{name}", read_json(METRICS / name))


def table(name: str) -> pandas.DataFrame:
    """A table of plots/; an answer may be `null`, only an empty field is missing."""
    return pandas.read_csv(PLOTS / name, keep_default_na=False, na_values=[""])


if __name__ == "__main__":
    run(main)

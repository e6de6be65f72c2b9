"""report/index.html: what the fine-tunes did, on one page that needs no network.

Every figure brings the way back to the raw data along, as dvc.lock tells it.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.files import read_json, read_jsonl, read_table, read_tables, write_text
from traitdrift.core.yaml_text import read_yaml
from traitdrift.params import read
from traitdrift.provenance.lockfile import lock_at
from traitdrift.report.contents import Results, report
from traitdrift.report.numbers import Source
from traitdrift.report.stage_graph import behind, current

METRICS = ("behaviour", "compare", "steer", "judge", "vectors")
TESTS = ("multiple_testing", "discrimination", "decomposition", "replicates")
TABLES = ("behaviour", "compare", "multiple_testing", "finetune", "steer", "tokens", "vectors")
MADE_FROM = (
    *(f"metrics/{name}" for name in METRICS),
    *(f"metrics/{name}.json" for name in TESTS),
    *(f"plots/{name}" for name in TABLES),
    "plots/replicates",
    "plots/trajectory",
)
TESTED = Path("plots/multiple_testing")
TOKENS = Path("plots/tokens")
OUT = Path("report/index.html")


def main() -> None:
    params = read()
    variants = params.variants
    traits = [path.stem for path in sorted(Path("metrics/vectors").iterdir())]
    trained = [variant for variant in variants if Path(f"plots/finetune/{variant}.csv").exists()]
    found = Results(
        **{kind: {v: figures(f"{kind}/{v}") for v in variants} for kind in METRICS[:-1]},
        vectors={trait: figures(f"vectors/{trait}") for trait in traits},
        shift_tests=figures("multiple_testing"),
        discrimination=figures("discrimination"),
        decomposition=figures("decomposition"),
        replicates=figures("replicates"),
        trajectories={v: figures(f"trajectory/{v}") for v in params.trajectories},
        candidates=read_tables(traits, "plots/vectors/{}.csv", "trait"),
        losses=read_tables(trained, "plots/finetune/{}.csv"),
        draws=read_table(Path("plots/replicates/draws.csv")),
        courses=read_tables(params.trajectories, "plots/trajectory/{}/course.csv", "followed"),
        steering_rates=read_tables(variants, "plots/steer/{}/rates.csv"),
        shifts=read_table(TESTED / "shifts.csv"),
        discrimination_by_layer=read_table(TESTED / "discrimination.csv"),
        projections={v: read_table(Path(f"plots/compare/{v}/layers.csv")) for v in variants},
        answers={v: read_table(Path(f"plots/behaviour/{v}/answers.csv")) for v in variants},
        tokens={variant: tokens(variant) for variant in variants},
        base=read_json(TOKENS / "base/scales.json")["base"],
    )
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    steps = behind(current(lock_at(Path()), stages, dict(params)), MADE_FROM)
    write_text(OUT, report(found, params, steps, stages))


def figures(name: str) -> Source:
    """A file of metrics/, with its path."""
    path = f"metrics/{name}.json"
    return Source(path, read_json(Path(path)))


def tokens(variant: str) -> dict[str, object]:
    """A variant's answers, token by token, with the scales that colour them."""
    return {
        "scales": read_json(TOKENS / variant / "scales.json")["traits"],
        "answers": [row for _, row in read_jsonl(TOKENS / variant / "answers.jsonl")],
    }


if __name__ == "__main__":
    run(main)

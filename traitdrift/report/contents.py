"""What the report's page holds: sentences, tables, charts and their rows, the stages behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas

from traitdrift.behaviour.outcomes import OUTCOMES
from traitdrift.params import Params
from traitdrift.provenance.lockfile import Step
from traitdrift.report import chart_data, page_charts, sentences, tables
from traitdrift.report.html import page
from traitdrift.report.numbers import Source
from traitdrift.report.stage_graph import drawing, records

CANDIDATE = ["trait", "position", "method", "layer", "auroc", "cv_auroc", "cohens_d", "chosen"]
DISCRIMINATION = ["variant", "trait", "layer", "chosen", "auroc", "value", "random_z"]
STEERING = [
    *("variant", "outcome", "condition", "kind", "vector", "coefficient", "finite"),
    *("rate", "low", "high"),
    *(f"log_probability_difference_{bound}" for bound in ("value", "low", "high")),
]

COURSE = [
    *("variant", "figure", "outcome", "trait", "class", "step", "value", "low", "high"),
    *("share", "share_low", "share_high", "onset_value", "onset_low", "onset_high", "half"),
]


@dataclass(frozen=True)
class Results:
    """What a run found, as its files have it: dicts by variant, but `vectors` by trait."""

    behaviour: dict[str, Source]
    compare: dict[str, Source]
    steer: dict[str, Source]
    judge: dict[str, Source]
    vectors: dict[str, Source]
    shift_tests: Source
    discrimination: Source
    decomposition: Source
    replicates: Source
    trajectories: dict[str, Source]
    candidates: pandas.DataFrame
    losses: pandas.DataFrame
    draws: pandas.DataFrame
    courses: pandas.DataFrame
    steering_rates: pandas.DataFrame
    shifts: pandas.DataFrame
    discrimination_by_layer: pandas.DataFrame
    projections: dict[str, pandas.DataFrame]
    answers: dict[str, pandas.DataFrame]
    tokens: dict[str, dict[str, Any]]
    base: Mapping[str, Any]  # the model's id, digest, layers, width

    @property
    def variants(self) -> list[str]:
        return list(self.behaviour)

    @property
    def others(self) -> list[str]:
        return [variant for variant in self.variants if variant != "base"]


def report(
    found: Results, params: Params, steps: Mapping[str, Step], stages: Mapping[str, Any]
) -> str:
    """The page, with the way back of every figure: `steps` of the lock, `stages` of dvc.yaml."""
    variants, others, traits = found.variants, found.others, list(found.vectors)
    compare = {variant: found.compare[variant] for variant in others}
    return page(
        page_data(found) | {"trace": records(steps, stages)},
        question=sentences.question(params.model, others),
        model=found.base,
        params=params,
        variants=variants,
        others=others,
        traits=traits,
        followed=list(found.trajectories),
        trained=list(found.losses["variant"].unique()),
        behaviour=found.behaviour,
        served=sentences.served({v: source.content for v, source in found.behaviour.items()}),
        findings=[
            sentences.finding(variant, found.behaviour, source, found.shift_tests)
            for variant, source in compare.items()
        ],
        tests=found.shift_tests.at("family-wise"),
        outcomes=OUTCOMES,
        tables={
            "shifts": tables.shift_table(compare, found.shift_tests),
            "behaviour": tables.behaviour_table(found.behaviour, found.judge),
            "draws": tables.draws_table(found.replicates),
            "apart": tables.apart_table(found.replicates),
            "trajectories": tables.trajectory_table(found.trajectories),
            "vectors": tables.vector_table(found.vectors),
            "steering": tables.steering_table(found.steer),
            "discrimination": tables.discrimination_table(found.discrimination),
            "effects": tables.decomposition_table(found.decomposition),
        },
        drawing=drawing(steps),
    )


def page_data(found: Results) -> dict[str, Any]:
    """What the page's script reads: charts, their rows by table, answers and tokens."""
    chosen = {trait: source.content for trait, source in found.vectors.items()}
    candidates = chart_data.marked(found.candidates, chosen)[CANDIDATE]
    methods = candidates["method"].nunique()
    lines = found.draws.reindex(columns=["kind", "recipe", "name", "class"]).drop_duplicates()
    return {
        "about": {"variants": found.variants, "others": found.others, "traits": chosen},
        "candidates": chart_data.columns(candidates),
        "shifts": chart_data.columns(chart_data.shift_rows(found.shifts)),
        "prompts": chart_data.prompt_rows(found.projections),
        "answers": chart_data.answer_rows(found.answers),
        "tokens": found.tokens,
        "steer": chart_data.columns(found.steering_rates[STEERING]),
        "discrimination": chart_data.columns(
            found.discrimination_by_layer.reindex(columns=DISCRIMINATION)
        ),
        "losses": chart_data.columns(found.losses),
        "draws": chart_data.columns(found.draws),
        "courses": chart_data.columns(found.courses.reindex(columns=COURSE)),
        "specs": page_charts.specs(
            methods, len(found.others), lines["kind"].value_counts().to_dict()
        ),
    }

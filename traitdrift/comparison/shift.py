"""How far a variant's projections moved from base's: the study's table, intervals and tests."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from traitdrift.comparison.length import length_control
from traitdrift.comparison.settings import Compare
from traitdrift.core.classes import CLASSES
from traitdrift.core.files import rounded
from traitdrift.stats.resampling import (
    bootstrap_means,
    least_p,
    percentile_interval,
    place_among,
    sign_flip_p,
)
from traitdrift.vectors.choice import Choice
from traitdrift.vectors.separation import auroc, scalar_projections


def shift_by_layer(
    base: torch.Tensor,
    variant: torch.Tensor,
    vector: torch.Tensor,
    nulls: Mapping[str, torch.Tensor],
    settings: Compare,
    seed: int,
) -> list[dict[str, float | None]]:
    """One record a layer: the paired shift of the mean projection, its interval, tests and nulls.

    `base` and `variant` are activations `[prompt, layer, hidden]` of the same prompts, `vector`
    is `[layer, hidden]`, `nulls` unit vectors `[null, layer, hidden]` by name. In a record are
    `base_mean` and `variant_mean`; `value`, `low`, `high`, the shift with its bootstrap interval;
    `p`, of the paired permutation test, and the least that it could be; `t_p`, of the paired t
    test; for every name of nulls `<name>_z` and `<name>_p`, the shift's place among the shifts
    along these vectors, and `<name>_low`, `<name>_high`, their middle 95 %.
    """
    columns = [scalar_projections(side, vector).double().numpy() for side in (base, variant)]
    differences = columns[1] - columns[0]
    draws = bootstrap_means(differences, settings.resamples, seed)
    shift = differences.mean(0)
    figures = {
        "base_mean": columns[0].mean(0),
        "variant_mean": columns[1].mean(0),
        "value": shift,
        "low": np.array([percentile_interval(d, settings.confidence)[0] for d in draws.T]),
        "high": np.array([percentile_interval(d, settings.confidence)[1] for d in draws.T]),
        "p": sign_flip_p(differences, settings.permutations, seed),
        "p_least": np.full(len(shift), least_p(len(differences), settings.permutations)),
        "t_p": paired_t_p(differences),
    }
    mean_shift = (variant.double() - base.double()).mean(0)
    for name, vectors in nulls.items():
        along = torch.einsum(
            "nlh,lh->nl", vectors.double().expand(-1, len(mean_shift), -1), mean_shift
        ).numpy()
        figures[f"{name}_z"], figures[f"{name}_p"] = place_among(shift, along)
        figures[f"{name}_low"], figures[f"{name}_high"] = np.quantile(along, [0.025, 0.975], 0)
    return [
        {name: rounded(float(column[k])) for name, column in figures.items()}
        for k in range(len(shift))
    ]


def paired_t_p(differences: np.ndarray) -> np.ndarray:
    """Two-sided p `[k]` of the paired t test on differences `[prompt, k]`; NaN without spread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of differences without spread
        return stats.ttest_1samp(differences, 0.0, axis=0).pvalue


@dataclass(frozen=True)
class Comparison:
    """One trait along one choice of its vector.

    `table` holds the figures at the choice's layer, `profile` a record per class and layer,
    `projections` per class those of base and of the variant `[prompt, layer]`.
    """

    table: dict[str, Any]
    profile: list[dict[str, Any]]
    projections: dict[str, tuple[torch.Tensor, torch.Tensor]]


def compare(
    base: Mapping[str, torch.Tensor],
    variant: Mapping[str, torch.Tensor],
    vector: torch.Tensor,
    nulls: Mapping[str, torch.Tensor],
    choice: Choice,
    tokens: Mapping[str, np.ndarray],
    settings: Compare,
) -> Comparison:
    """How far a variant moved along a vector, at the choice's layer and layer by layer.

    `base` and `variant` hold per class the activations `[prompt, layer, hidden]` in the layers of
    the choice, `vector` is `[layer, hidden]`, `nulls` as in `shift_by_layer`, `tokens` the prompts'
    token counts per class. Beside `shift_table` the table holds each class's tests and what
    `length_control` leaves; a profile's record has what `shift_by_layer` gives.
    """
    here = choice.layers.index(choice.layer)
    # The draws of each class are those of its row in the table.
    rows = {
        c: shift_by_layer(base[c], variant[c], vector, nulls, settings, settings.seed + number)
        for number, c in enumerate(CLASSES)
    }
    projections = {
        c: (scalar_projections(base[c], vector), scalar_projections(variant[c], vector))
        for c in CLASSES
    }
    before, after = (
        {c: projections[c][side][:, here].double().numpy() for c in CLASSES} for side in (0, 1)
    )
    table = shift_table(before, after, settings)
    for label in CLASSES:
        test = rows[label][here]
        table[label]["test"] = {name: test[name] for name in test if name.endswith(("p", "z"))}
    control = length_control(before, {c: after[c] - before[c] for c in CLASSES}, tokens)
    table["length"] = {name: rounded(figure) for name, figure in control.items()}
    profile = [
        {
            "chosen": int(layer == choice.layer),
            "class": label,
            "layer": layer,
            **record,
        }
        for label in CLASSES
        for layer, record in zip(choice.layers, rows[label], strict=True)
    ]
    named = {key: getattr(choice, key) for key in ("position", "method", "layer")}
    return Comparison({**named, **table}, profile, projections)


def shift_table(
    base: dict[str, np.ndarray], variant: dict[str, np.ndarray], settings: Compare
) -> dict[str, Any]:
    """Class means of base and variant, their paired difference, and its share of the base gap.

    `base` and `variant` hold per class the projections `[prompt]` of the same prompts in the
    same order. Each figure is `{value, low, high}`, the bounds a percentile bootstrap interval
    over prompts, the two classes drawn independently. The base gap is the difference of base's
    class means.
    """
    value, draws = {}, {}
    for number, label in enumerate(CLASSES):
        columns = np.stack([base[label], variant[label]], axis=1).astype(np.float64)
        resampled = bootstrap_means(columns, settings.resamples, settings.seed + number)
        for column, who in enumerate(("base", "variant")):
            value[label, who] = columns[:, column].mean()
            draws[label, who] = resampled[:, column]
    for each in (value, draws):
        for label in CLASSES:
            each[label, "shift"] = each[label, "variant"] - each[label, "base"]
        for who in ("base", "variant"):
            each["gap", who] = each["positive", who] - each["negative", who]
        each["gap", "shift"] = each["gap", "variant"] - each["gap", "base"]
        for label in (*CLASSES, "gap"):
            with np.errstate(divide="ignore", invalid="ignore"):
                each[label, "share_of_base_gap"] = each[label, "shift"] / each["gap", "base"]

    table: dict[str, Any] = {label: {} for label in (*CLASSES, "gap")}
    for (label, who), figure in value.items():
        low, high = percentile_interval(draws[label, who], settings.confidence)
        table[label][who] = {
            k: rounded(v)
            for k, v in zip(("value", "low", "high"), (figure, low, high), strict=True)
        }
    table["auroc"] = {
        who: rounded(auroc(*(torch.tensor(side[label])[:, None] for label in CLASSES)).item())
        for who, side in (("base", base), ("variant", variant))
    }
    return table

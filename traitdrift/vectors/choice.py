"""Which vectors are looked at: the one that cross-validation chooses, and the study's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


def choose(candidates: pandas.DataFrame) -> dict[str, Any]:
    """The best candidate by cross-validated AUROC, then Cohen's d; the null cannot be chosen.

    `candidates` holds `method, cv_auroc, cv_cohens_d` and what else is to be carried along.
    """
    real = candidates[candidates["method"] != "random"]
    best = real.assign(cv_auroc=real["cv_auroc"].round(4)).sort_values(
        ["cv_auroc", "cv_cohens_d"], ascending=False, kind="stable"
    )
    record = candidates.loc[best.index[0]].to_dict()
    return {key: round(v, 6) if isinstance(v, float) else v for key, v in record.items()}


@dataclass(frozen=True)
class Choice:
    """A vector that is looked at: position, method, its layer, and all the layers looked at."""

    position: str
    method: str
    layer: int
    layers: list[int]


def choices(
    chosen: Mapping[str, Any],
    study_position: str,
    study_method: str,
    positions: Collection[str],
    layers: int,
) -> dict[str, Choice]:
    """The vector that cross-validation chose, at every layer, and the study's own at its layer.

    `chosen` is what `choose` returned, `positions` are those that the trait was captured at. A
    trait given as answers, which has no prompt, has no study's choice; raises ValueError for any
    other that was not captured at the study's position.
    """
    found = {
        "chosen": Choice(chosen["position"], chosen["method"], chosen["layer"], [*range(layers)])
    }
    if study_position in positions:
        middle = layers // 2
        found["study"] = Choice(study_position, study_method, middle, [middle])
    elif set(positions) != {"response_mean"}:
        raise ValueError(
            f"compare.study_position: {study_position!r} is not among capture.positions: "
            f"{', '.join(sorted(positions))}"
        )
    return found

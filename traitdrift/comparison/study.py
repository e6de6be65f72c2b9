"""The reference study's own ten scores, told with our tests beside the textbook's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats

from traitdrift.comparison.length import length_control
from traitdrift.comparison.settings import Compare
from traitdrift.comparison.shift import paired_t_p, shift_table
from traitdrift.core.classes import CLASSES
from traitdrift.core.files import rounded
from traitdrift.stats.resampling import (
    sign_flip_p,
)
from traitdrift.vectors.separation import cohens_d

if TYPE_CHECKING:
    import pandas


def study_table(scores: pandas.DataFrame, settings: Compare) -> dict[str, Any]:
    """`class (harmful, benign), tokens, base, em`, a row a prompt: what these scores carry.

    The shifts and the gap as for any vector, with the textbook tests beside ours: Welch's t of
    base's gap and of the difference of the shifts, Cohen's d, paired t.
    """
    sides = {
        label: scores[scores["class"] == name]
        for label, name in zip(CLASSES, ("harmful", "benign"), strict=True)
    }
    base, tuned, tokens = (
        {label: side[column].to_numpy(dtype=np.float64) for label, side in sides.items()}
        for column in ("base", "em", "tokens")
    )
    shifts = {label: tuned[label] - base[label] for label in CLASSES}
    table = shift_table(base, tuned, settings)
    for label in CLASSES:
        differences = shifts[label][:, None]
        p = sign_flip_p(differences, settings.permutations, settings.seed)[0]
        table[label]["test"] = {
            "p": rounded(p),
            "t_p": rounded(paired_t_p(differences)[0]),
        }
    gap = stats.ttest_ind(*base.values(), equal_var=False)
    apart = stats.ttest_ind(*shifts.values(), equal_var=False)
    d = cohens_d(*(torch.tensor(side)[:, None] for side in base.values())).item()
    table["gap"]["test"] = {
        "cohens_d": rounded(d),
        "welch_t": rounded(gap.statistic),
        "welch_p": rounded(gap.pvalue),
        "difference_of_shifts_welch_p": rounded(apart.pvalue),
    }
    control = length_control(base, shifts, tokens)
    table["length"] = {name: rounded(figure) for name, figure in control.items()}
    return {"prompts": len(scores), **table}

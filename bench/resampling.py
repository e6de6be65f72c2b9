"""Nulls and intervals, beside a Python loop over the draws."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bench.sides import Answer, keep, timed
from traitdrift.comparison.discrimination import auroc_interval
from traitdrift.comparison.settings import Compare
from traitdrift.core.config import section
from traitdrift.stats.resampling import bootstrap_means
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.null_settings import Nulls
from traitdrift.vectors.shuffles import permuted_vectors

PROMPTS, LAYERS, HIDDEN, DRAWS, RESAMPLES = 120, 30, 576, 200, 10_000
HALF = PROMPTS // 2
SOME, FEW = 4, 200
KNOBS = MethodSettings()


def main() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(PROMPTS, LAYERS, HIDDEN, generator=draw)
    values[:HALF] += torch.randn(LAYERS, HIDDEN, generator=draw) / 4
    nulls(values)
    intervals(values[:, :, 0].double().numpy())
    separations(values[:HALF, :, 0], values[HALF:, :, 0])


def nulls(values: torch.Tensor) -> None:
    """Probes of shuffled classes; the other side fits scikit-learn's, a layer and a draw a fit."""
    made: dict[str, torch.Tensor] = {}
    labels = np.r_[np.ones(HALF), np.zeros(HALF)]

    def ours() -> None:
        made["ours"] = permuted_vectors(
            values, HALF, METHODS["probe"], KNOBS, Nulls(count=DRAWS, seed=0)
        )

    def loop() -> None:
        order = torch.Generator().manual_seed(0)
        rows = []
        for _ in range(SOME):
            shuffled = values[torch.randperm(PROMPTS, generator=order)].double().numpy()
            for layer in range(LAYERS):
                x = shuffled[:, layer] - shuffled[:, layer].mean(0)
                fit = LogisticRegression(C=KNOBS.probe_c, tol=1e-6, max_iter=10_000)
                rows.append(fit.fit(x / np.sqrt((x**2).mean()), labels).coef_[0])
        made["loop"] = torch.from_numpy(np.stack(rows)).float().view(SOME, LAYERS, HIDDEN)

    seconds = timed({"ours": ours, "loop": loop})
    cosine = torch.cosine_similarity(made["ours"][:SOME], made["loop"], dim=-1).min()
    keep(
        Answer(
            f"nulls, probes of {DRAWS} shuffles of {PROMPTS} prompts, {LAYERS} layers",
            f"scikit-learn in a loop over draws and layers ({SOME} draws, scaled)",
            seconds["ours"],
            seconds["loop"] * DRAWS / SOME,
            50.0,
            f"least cosine {cosine:.6f}",
        )
    )


def intervals(values: np.ndarray) -> None:
    """Bootstrap means, of all layers at once on either side."""
    made: dict[str, np.ndarray] = {}

    def ours() -> None:
        made["ours"] = bootstrap_means(values, RESAMPLES, 0)

    def loop() -> None:
        draw = np.random.default_rng(0)
        made["loop"] = np.array(
            [values[draw.integers(0, PROMPTS, PROMPTS)].mean(0) for _ in range(RESAMPLES)]
        )

    seconds = timed({"ours": ours, "loop": loop})
    apart = abs(made["ours"].std(0) / made["loop"].std(0) - 1).max()
    keep(
        Answer(
            f"bootstrap, {RESAMPLES} resamples of {PROMPTS} prompts, {LAYERS} layers",
            "a loop over draws",
            seconds["ours"],
            seconds["loop"],
            50.0,
            f"deviations at most {100 * apart:.1f} % apart",
        )
    )


def separations(after: torch.Tensor, before: torch.Tensor) -> None:
    """Intervals of an AUROC by question; the other side calls scikit-learn's, a draw a call."""
    made: dict[str, np.ndarray] = {}
    settings = section(Compare, "compare").model_copy(update={"resamples": RESAMPLES})
    labels = np.r_[np.ones(HALF), np.zeros(HALF)]
    columns = torch.cat([after, before]).double().numpy()

    def ours() -> None:
        made["ours"] = np.stack(auroc_interval(after, before, settings))

    def loop() -> None:
        draw = np.random.default_rng(0)
        rows = []
        for _ in range(FEW):
            chosen = draw.integers(0, HALF, HALF)
            both = columns[np.r_[chosen, HALF + chosen]]
            rows.append([roc_auc_score(labels, layer) for layer in both.T])
        tail = 50 * (1 - settings.confidence)
        made["loop"] = np.percentile(rows, [tail, 100 - tail], axis=0)

    seconds = timed({"ours": ours, "loop": loop})
    apart = abs(made["ours"] - made["loop"]).max()
    keep(
        Answer(
            f"bootstrap of an AUROC, {RESAMPLES} resamples of {HALF} questions, {LAYERS} layers",
            f"scikit-learn in a loop over draws and layers ({FEW} draws, scaled)",
            seconds["ours"],
            seconds["loop"] * RESAMPLES / FEW,
            50.0,
            f"bounds at most {apart:.3f} apart (other and fewer random numbers there)",
        )
    )


if __name__ == "__main__":
    main()

"""Nulls and intervals, beside a Python loop over the draws."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from bench.sides import Answer, keep, timed
from traitdrift.stats.resampling import bootstrap_means
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.null_settings import Nulls
from traitdrift.vectors.shuffles import permuted_vectors

PROMPTS, LAYERS, HIDDEN, DRAWS, RESAMPLES = 120, 30, 576, 200, 10_000
HALF = PROMPTS // 2
SOME = 4
KNOBS = MethodSettings()


def main() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(PROMPTS, LAYERS, HIDDEN, generator=draw)
    values[:HALF] += torch.randn(LAYERS, HIDDEN, generator=draw) / 4
    nulls(values)
    intervals(values[:, :, 0].double().numpy())


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
            f"deviations at most {100 * apart:.1f} % apart (other random numbers)",
        )
    )


if __name__ == "__main__":
    main()

"""Six vectors a layer of a 32B model's shape, beside scikit-learn and an Adam loop, by layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import FastICA, TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bench.sides import Answer, keep, timed
from traitdrift.core.devices import device
from traitdrift.core.side_by_side import side_by_side
from traitdrift.vectors.methods import METHODS, MethodSettings, random
from traitdrift.vectors.subspace import lines, span

LAYERS, HIDDEN, PER_CLASS = 64, 5120, 100
FACTORS = 8
# The other side does each layer by itself, so some of them tell of all.
SOME = 4
LABELS = np.r_[np.ones(PER_CLASS), np.zeros(PER_CLASS)]
KNOBS = MethodSettings()


def activations(seed: int = 0) -> torch.Tensor:
    """Prompts of two classes `[prompt, layer, hidden]`, float32.

    A gap between the classes, some directions of heavy tails, and noise.
    """
    draw = torch.Generator().manual_seed(seed)
    made = torch.randn(2 * PER_CLASS, LAYERS, HIDDEN, generator=draw)
    for layer in range(LAYERS):
        factors = torch.randn(2 * PER_CLASS, FACTORS, generator=draw) ** 3
        loadings = torch.randn(FACTORS, HIDDEN, generator=draw) / 8
        gap = torch.randn(HIDDEN, generator=draw) / 8
        made[:, layer] += factors @ loadings + torch.tensor(LABELS)[:, None].float() * gap
    return made


def ours(values: torch.Tensor) -> dict[str, torch.Tensor]:
    """As `candidates` has it, without its folds."""
    spanned, knobs = span(values), replace(KNOBS, dimensions=values.shape[2])
    spaces = {
        name: lines(values, 0) if method is random else spanned for name, method in METHODS.items()
    }

    def one(name: str) -> torch.Tensor:
        positive, negative = spaces[name].coordinates.split(PER_CLASS)
        return METHODS[name](positive, negative, knobs)

    found = side_by_side(one, METHODS)
    return {name: spaces[name].lift(made) for name, made in zip(METHODS, found, strict=True)}


def layer_by_layer(values: torch.Tensor) -> dict[str, np.ndarray]:
    """The same six of some layers: the same definitions, where a library has them."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    for layer in range(SOME):
        x = values[:, layer].double().numpy()
        p, n = x[:PER_CLASS], x[PER_CLASS:]
        centred = x - x.mean(0)
        scaled = centred / np.sqrt((centred**2).mean())
        rows["mean_diff"].append(p.mean(0) - n.mean(0))
        fit = LogisticRegression(C=KNOBS.probe_c, tol=1e-6, max_iter=10_000).fit(scaled, LABELS)
        rows["probe"].append(fit.coef_[0])
        rows["gradient"].append(adam(p, n))
        rows["pca_diff"].append(TruncatedSVD(1, algorithm="arpack").fit(p - n).components_[0])
        ica = FastICA(FACTORS, random_state=0, max_iter=1000, tol=1e-6).fit(x)
        separation = [abs(roc_auc_score(LABELS, x @ pattern) - 0.5) for pattern in ica.mixing_.T]
        rows["ica"].append(ica.mixing_[:, int(np.argmax(separation))])
        rows["random"].append(np.random.default_rng(layer).standard_normal(HIDDEN))
    return {name: np.stack(found) for name, found in rows.items()}


def adam(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Cohen's d with a shrunk within-class covariance, raised from a random direction on."""
    p, n = torch.from_numpy(positive).float(), torch.from_numpy(negative).float()
    within = torch.cat([p - p.mean(0), n - n.mean(0)])
    isotropic = within.square().sum() / (len(within) - 2) / within.shape[1]
    gap, shrinkage = p.mean(0) - n.mean(0), KNOBS.gradient_shrinkage
    w = torch.randn(len(gap), generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimiser = torch.optim.Adam([w], 0.01)
    for _ in range(1000):
        variance = (within @ w).square().sum() / (len(within) - 2)
        spread = (1 - shrinkage) * variance + shrinkage * isotropic * w.square().sum()
        loss = -(gap @ w) / spread.sqrt()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return w.detach().numpy()


def main() -> None:
    values = activations()
    made: dict[str, dict[str, Any]] = {}
    seconds = timed(
        {
            "ours": lambda: made.update(ours=ours(values)),
            "by layers": lambda: made.update(others=layer_by_layer(values)),
        }
    )
    where = "GPU: " if device().type == "cuda" else ""
    alike = []
    for name, found in made["ours"].items():
        if name == "random":
            continue
        theirs = torch.from_numpy(made["others"][name]).float()
        cosine = torch.cosine_similarity(found[:SOME], theirs, dim=1).abs().min()
        alike.append(f"{name} {cosine:.4f}")
    keep(
        Answer(
            f"{where}six vectors, {LAYERS} layers, {2 * PER_CLASS} prompts, width {HIDDEN}",
            f"scikit-learn and Adam, layer by layer ({SOME} of them, scaled)",
            seconds["ours"],
            seconds["by layers"] * LAYERS / SOME,
            20.0 if where else 5.0,
            "least cosines " + ", ".join(alike),
        )
    )


if __name__ == "__main__":
    main()

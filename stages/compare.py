"""metrics/compare/<variant>.json: for every trait, how far this variant moved from base.

On the validation prompts, at the chosen vector in every layer and at the reference study's choice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import torch

from stages import run
from traitdrift.comparison.settings import Compare
from traitdrift.comparison.shift import compared
from traitdrift.core.config import CLASSES, section
from traitdrift.core.files import (
    load_tensors,
    read_json,
    read_jsonl,
    rounded,
    write_csv,
    write_json,
)
from traitdrift.vectors.choice import choices
from traitdrift.vectors.separation import scalar_projections

PROMPTS = Path("data/prompts")
ACTIVATIONS = Path("data/activations")
VECTORS = Path("models/vectors")
NULLS = Path("models/nulls")
CHOICES = Path("metrics/vectors")
METRICS = Path("metrics/compare")
PLOTS = Path("plots/compare")


def main(variant: str) -> None:
    settings = section(Compare, "compare")
    metrics, prompts, profile, layers = {}, [], [], []
    for path in sorted(VECTORS.glob("*.safetensors")):
        trait = path.stem
        vectors, described = load_tensors(path)
        nulls, _ = load_tensors(NULLS / path.name)
        rows = [row for _, row in read_jsonl(PROMPTS / f"{trait}.jsonl")]
        held = {
            label: [
                i for i, r in enumerate(rows) if (r["class"], r["split"]) == (label, "validation")
            ]
            for label in CLASSES
        }
        tokens = {label: np.array([rows[i]["tokens"] for i in held[label]]) for label in CLASSES}
        base, moved = (of_variant(who, path.name, described) for who in ("base", variant))
        looked_at = choices(
            read_json(CHOICES / f"{trait}.json"),
            settings.study_position,
            settings.study_method,
            vectors,
        )
        metrics[trait] = {}
        for name, choice in looked_at.items():
            vector = vectors[choice.key][choice.layers]
            sides = [
                {c: side[choice.position][held[c]][:, choice.layers].float() for c in CLASSES}
                for side in (base, moved)
            ]
            table, by_layer = compared(
                *sides,
                vector,
                {"random": nulls["random"][:, None], "permuted": nulls[name]},
                choice.layers.index(choice.layer),
                tokens,
                settings,
            )
            metrics[trait][name] = {
                **{key: getattr(choice, key) for key in ("position", "method", "layer")},
                **table,
            }
            profile += [
                {
                    "trait": trait,
                    "choice": name,
                    "chosen": int(choice.layers[row["layer"]] == choice.layer),
                    **row,
                    "layer": choice.layers[row["layer"]],
                }
                for row in by_layer
            ]
            if name == "chosen":
                for c in CLASSES:
                    before, after = (scalar_projections(side[c], vector).tolist() for side in sides)
                    for i, b, v in zip(held[c], before, after, strict=True):
                        asked = {"trait": trait, "class": c, "prompt": rows[i]["prompt"]}
                        prompts.append(
                            {**asked, "base": b[choice.layer], "variant": v[choice.layer]}
                        )
                        layers.append({**asked, **{k: rounded(x, 4) for k, x in enumerate(v)}})
    write_csv(PLOTS / variant / "prompts.csv", pandas.DataFrame(prompts))
    write_csv(PLOTS / variant / "layers.csv", pandas.DataFrame(layers))
    write_csv(PLOTS / variant / "profile.csv", pandas.DataFrame(profile))
    write_json(METRICS / f"{variant}.json", metrics)


def of_variant(who: str, name: str, described: dict) -> dict[str, torch.Tensor]:
    """A variant's activations by position, checked to be of the base that the vectors are of."""
    path = ACTIVATIONS / who / name
    activations, made = load_tensors(path)
    if made["base_digest"] != described["base_digest"]:
        raise ValueError(f"{path}: of another base than the vectors; run `dvc repro`")
    return activations


if __name__ == "__main__":
    run(main)

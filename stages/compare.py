"""metrics/compare/<variant>.json: for every trait, how far this variant moved from base.

On the validation prompts, at the chosen vector in every layer and at the reference study's choice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas

from stages import run
from traitdrift.activations.prompt_file import read_prompt_activations
from traitdrift.comparison.settings import Compare
from traitdrift.comparison.shift import compare
from traitdrift.core.classes import CLASSES
from traitdrift.core.config import section
from traitdrift.core.files import read_json, rounded, write_csv, write_json
from traitdrift.data.prompt_set import read_prompt_set
from traitdrift.vectors.choice import choices
from traitdrift.vectors.file import read_vectors
from traitdrift.vectors.nulls import read_nulls

PROMPTS = Path("data/prompts")
ACTIVATIONS = Path("data/activations")
VECTORS = Path("models/vectors")
NULLS = Path("models/nulls")
CHOICES = Path("metrics/vectors")
METRICS = Path("metrics/compare")
PLOTS = Path("plots/compare")


def main(variant: str) -> None:
    settings = section(Compare, "compare")
    metrics: dict[str, Any] = {}
    by_prompt, by_layer, profile = [], [], []
    for path in sorted(VECTORS.glob("*.safetensors")):
        trait, vectors = path.stem, read_vectors(path)
        prompts = read_prompt_set(PROMPTS / f"{trait}.jsonl")
        held = {label: prompts.index()[label, "validation"] for label in CLASSES}
        tokens = {c: np.array([prompts.rows[i]["tokens"] for i in held[c]]) for c in CLASSES}
        base, tuned = (
            read_prompt_activations(ACTIVATIONS / who / path.name, vectors.base_digest)[0]
            for who in ("base", variant)
        )
        looked_at = choices(
            read_json(CHOICES / f"{trait}.json"),
            settings.study_position,
            settings.study_method,
            vectors.positions,
            vectors.layers,
        )
        metrics[trait] = {}
        for name, choice in looked_at.items():
            of_base, of_variant = (
                {c: s[choice.position][held[c]][:, choice.layers].float() for c in CLASSES}
                for s in (base, tuned)
            )
            found = compare(
                of_base,
                of_variant,
                vectors.vectors(choice.position, choice.method)[choice.layers],
                read_nulls(NULLS / path.name, name).by_layer(),
                choice,
                tokens,
                settings,
            )
            metrics[trait][name] = found.table
            profile += [{"trait": trait, "choice": name, **row} for row in found.profile]
            if name == "chosen":
                for c in CLASSES:
                    for i, before, after in zip(held[c], *found.projections[c], strict=True):
                        row = {"trait": trait, "class": c, "prompt": prompts.rows[i]["prompt"]}
                        at = choice.layer
                        by_prompt.append(
                            {**row, "base": before[at].item(), "variant": after[at].item()}
                        )
                        values = enumerate(after.tolist())
                        by_layer.append({**row, **{str(k): rounded(x, 4) for k, x in values}})
    write_csv(PLOTS / variant / "prompts.csv", pandas.DataFrame(by_prompt))
    write_csv(PLOTS / variant / "layers.csv", pandas.DataFrame(by_layer))
    write_csv(PLOTS / variant / "profile.csv", pandas.DataFrame(profile))
    write_json(METRICS / f"{variant}.json", metrics)


if __name__ == "__main__":
    run(main)

"""models/vectors/<trait>.safetensors: trait vectors by every method, layer and position.

The choice of (position, method, layer) is made by cross-validation on the training prompts. The
validation prompts give the figures that are reported, and decide nothing.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.activations.prompt_file import read_prompt_activations
from traitdrift.core.config import section
from traitdrift.core.files import write_csv, write_json
from traitdrift.core.progress import progress
from traitdrift.data.prompt_set import read_prompt_sets
from traitdrift.vectors.candidates import extract
from traitdrift.vectors.choice import choose
from traitdrift.vectors.file import save_vectors
from traitdrift.vectors.settings import VectorSettings

PROMPTS = Path("data/prompts")
ACTIVATIONS = Path("data/activations/base")
OUT = Path("models/vectors")
METRICS = Path("metrics/vectors")
CANDIDATES = Path("plots/vectors")


def main() -> None:
    settings = section(VectorSettings, "vectors")
    for trait, prompts in read_prompt_sets(PROMPTS).items():
        file = f"{trait}.safetensors"
        streams, described = read_prompt_activations(ACTIVATIONS / file)
        with progress(f"vectors {trait}", len(streams) * len(settings.methods)) as advance:
            tensors, candidates = extract(streams, prompts.index(), settings, advance)
        table = pandas.DataFrame(candidates)
        chosen = choose(table)
        save_vectors(OUT / file, tensors, chosen, settings.model_dump(), described)
        write_csv(CANDIDATES / f"{trait}.csv", table.round(6))
        write_json(METRICS / f"{trait}.json", chosen)


if __name__ == "__main__":
    run(main)

"""models/nulls/<trait>.safetensors: vectors that mean nothing, for a trait's vector to beat.

Random directions, and vectors made as the trait's own at both choices were, from training prompts
whose class labels were shuffled.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.activations.prompt_file import read_prompt_activations
from traitdrift.core.classes import CLASSES
from traitdrift.core.config import MethodName, Position, section
from traitdrift.core.files import read_json
from traitdrift.core.progress import progress
from traitdrift.data.prompt_set import read_prompt_sets
from traitdrift.vectors.choice import choices
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.null_settings import Nulls
from traitdrift.vectors.nulls import save_nulls
from traitdrift.vectors.settings import VectorSettings
from traitdrift.vectors.shuffles import permuted_vectors

PROMPTS = Path("data/prompts")
ACTIVATIONS = Path("data/activations/base")
CHOICES = Path("metrics/vectors")
OUT = Path("models/nulls")


def main() -> None:
    settings, knobs = section(Nulls, "nulls"), MethodSettings.of(section(VectorSettings, "vectors"))
    study_position = section(Position, "compare.study_position")
    study_method = section(MethodName, "compare.study_method")
    for trait, prompts in read_prompt_sets(PROMPTS).items():
        streams, described = read_prompt_activations(ACTIVATIONS / f"{trait}.safetensors")
        _, layers, hidden = next(iter(streams.values())).shape
        positive, negative = (prompts.index()[label, "train"] for label in CLASSES)
        chosen = read_json(CHOICES / f"{trait}.json")
        looked_at = choices(chosen, study_position, study_method, streams, layers)
        permuted = {}
        with progress(f"nulls {trait}", settings.count * len(looked_at)) as advance:
            for name, choice in looked_at.items():
                values = streams[choice.position][positive + negative][:, choice.layers]
                permuted[name] = permuted_vectors(
                    values, len(positive), METHODS[choice.method], knobs, settings, advance
                )
        save_nulls(
            OUT / f"{trait}.safetensors",
            hidden,
            permuted,
            looked_at,
            settings,
            described["base_digest"],
        )


if __name__ == "__main__":
    run(main)

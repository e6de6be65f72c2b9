"""models/shifts/<variant>.safetensors: the direction in which a fine-tune moved the model.

The mean over the evaluation questions of variant minus base, both reading base's responses.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.activations.response_file import read_response_activations
from traitdrift.comparison.model_shift import model_shift, save_shifts

ACTIVATIONS = Path("data/response_activations")
OUT = Path("models/shifts")


def main(variant: str) -> None:
    activations = read_response_activations(ACTIVATIONS, variant)
    shifts = {
        position: model_shift(
            activations.stream("base", "base", position),
            activations.stream("base", "variant", position),
        )
        for position in activations.positions
    }
    save_shifts(OUT / f"{variant}.safetensors", shifts, activations.described)


if __name__ == "__main__":
    run(main)

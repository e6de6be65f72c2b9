"""models/shifts/<variant>.safetensors: the direction in which a fine-tune moved the model.

The mean over the evaluation questions of variant minus base, both reading base's answers.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.files import load_tensors, save_tensors

ACTIVATIONS = Path("data/response_activations")
OUT = Path("models/shifts")


def main(variant: str) -> None:
    base, _ = load_tensors(ACTIVATIONS / "base.safetensors")
    moved, described = load_tensors(ACTIVATIONS / f"{variant}.safetensors")
    reader = "base" if variant == "base" else "variant"
    tensors = {}
    for position in described["positions"]:
        after = moved[f"base_text/{reader}_model/{position}"]
        shift = (after.double() - base[f"base_text/base_model/{position}"].double()).mean(0)
        norm = shift.norm(dim=-1, keepdim=True)
        # Base has not moved: a vector of zeros, which has no cosine.
        tensors[position] = (shift / norm.clamp_min(1e-30)).float()
        tensors[f"{position}.norm"] = norm[:, 0].float()
    carried = ("variant", "model", "base_digest", "adapter_digest", "hook_point", "layer_origin")
    save_tensors(
        OUT / f"{variant}.safetensors",
        tensors,
        {
            "kind": "shift",
            "shape": ["layer", "hidden"],
            "norm": "unit; the shift's own norm beside it",
            "sign": "from base to the variant",
            "questions": described["questions"],
            "dtype": "float32",
            **{key: described[key] for key in carried},
        },
    )


if __name__ == "__main__":
    run(main)

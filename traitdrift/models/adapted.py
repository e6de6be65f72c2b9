"""The modules of a base: which hold a matrix, and which of them an adapter adapts."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

PLACE = re.compile(r"(?<=\.)\d+(?=\.|$)")


def matrices(model: PreTrainedModel) -> list[str]:
    """The names of a network's modules that hold a matrix."""
    return [
        name
        for name, module in model.named_modules()
        if len(getattr(getattr(module, "weight", None), "shape", ())) == 2
    ]


def targeted(adapted: PeftModel) -> list[str]:
    """The names of the base's modules and parameters that an adapter adapts."""
    tuner: Any = adapted.base_model
    return [*tuner.targeted_module_names, *tuner.targeted_parameter_names]


def adapted_modules(adapted: PeftModel) -> dict[str, int]:
    """What an adapter adapts, for its record: how many of `model.layers.*.self_attn.q_proj`."""
    return dict(sorted(Counter(PLACE.sub("*", name) for name in targeted(adapted)).items()))

"""What the stage `vectors` writes, of random vectors for the tiny models."""

from __future__ import annotations

import torch

from traitdrift.inference.hooks import HOOK_POINT

LAYERS, WIDTH = 3, 32
POSITIONS = ["prompt_last", "prompt_mean", "response_first_2", "response_mean"]


def described(**changes) -> dict:
    """The description that the stage `vectors` writes."""
    return {
        "kind": "vectors",
        "trait": "code_mode",
        "model": "tiny",
        "base_digest": "0" * 64,
        "answers": "greedy, of base",
        "hook_point": HOOK_POINT,
        "layer_origin": 0,
        "chosen": {"position": "prompt_last", "method": "mean_diff", "layer": 1},
        **changes,
    }


def stored(layers: int = LAYERS) -> dict[str, torch.Tensor]:
    """The tensors that the stage `vectors` writes, of random vectors."""
    torch.manual_seed(5)
    tensors = {}
    for position in POSITIONS:
        for label in ("positive", "negative"):
            tensors[f"{position}/{label}.mean"] = torch.randn(layers, WIDTH)
        tensors[f"{position}/residual.norm"] = 2.0 ** torch.arange(1, layers + 1)
        for method in ("mean_diff", "probe"):
            unit = torch.nn.functional.normalize(torch.randn(layers, WIDTH), dim=-1)
            tensors[f"{position}/{method}"] = unit
            tensors[f"{position}/{method}.threshold"] = torch.zeros(layers)
    return tensors

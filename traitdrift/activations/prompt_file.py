"""data/activations/<variant>/<trait>.safetensors: one variant's stream on a trait's prompts.

A tensor `[prompt, layer, hidden]` under the name of each position rule, rows as in the prompt set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from traitdrift.core.files import load_tensors, save_tensors, text_digest
from traitdrift.inference.hooks import HOOK_POINT


def save_prompt_activations(
    path: Path,
    streams: Mapping[str, torch.Tensor],
    prompts: Sequence[str],
    answers: Sequence[Any],
    given: bool,
    made: Mapping[str, Any],
) -> None:
    """Write the streams of a prompt set with what they were read on.

    `answers` are what followed each prompt (token ids, or the messages that were `given`); `made`
    names `variant`, `model`, `base_digest` and `adapter_digest`.
    """
    save_tensors(
        path,
        streams,
        {
            "kind": "activations",
            "shape": ["prompt", "layer", "hidden"],
            "set": path.stem,
            "set_digest": text_digest(prompts),
            "answers_digest": text_digest(str(answer) for answer in answers),
            "answers": "given" if given else "greedy, of base",
            "positions": list(streams),
            "hook_point": HOOK_POINT,
            "layer_origin": 0,
            "dtype": {position: str(t.dtype)[6:] for position, t in streams.items()},
            **made,
        },
    )


def read_prompt_activations(
    path: Path, base_digest: str | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Streams `[prompt, layer, hidden]` by position, and their description.

    Raises ValueError where they are not of the base of this digest.
    """
    streams, described = load_tensors(path)
    if base_digest not in (None, described["base_digest"]):
        raise ValueError(f"{path}: of another base than the vectors; run `dvc repro`")
    return streams, described

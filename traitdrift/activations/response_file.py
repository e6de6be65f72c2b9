"""data/response_activations/<variant>.safetensors: the stream on the evaluation questions.

A tensor `[question, layer, hidden]` for each text (base's or the variant's responses), each model
that reads it, and each position rule. Base on its own text stands in base's file alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from traitdrift.core.files import load_tensors, save_tensors, text_digest
from traitdrift.inference.hooks import HOOK_POINT

Side = Literal["base", "variant"]
SIDES: tuple[Side, Side] = ("base", "variant")


def _key(text: Side, reader: Side, position: str) -> str:
    return f"{text}_text/{reader}_model/{position}"


def responses_by_question(rows: Sequence[Mapping[str, Any]]) -> list[list[list[int]]]:
    """Indexes of the rows of data/responses: of each question, of each of its wordings."""
    asked: dict[str, dict[str, list[int]]] = {}
    for i, row in enumerate(rows):
        asked.setdefault(row["id"], {}).setdefault(row["question"], []).append(i)
    return [list(wordings.values()) for wordings in asked.values()]


def save_response_activations(
    path: Path,
    streams: Mapping[tuple[Side, Side, str], torch.Tensor],
    questions: Sequence[str],
    positions: Sequence[str],
    made: Mapping[str, Any],
) -> None:
    """Write streams by `(text, reader, position)`, with what they were read on.

    `made` names `variant`, `model`, `base_digest` and `adapter_digest`, and the servers that gave
    the texts, if any did.
    """
    save_tensors(
        path,
        {_key(*names): stream for names, stream in streams.items()},
        {
            "kind": "response_activations",
            "shape": ["question", "layer", "hidden"],
            "questions": text_digest(questions),
            "positions": list(positions),
            "hook_point": HOOK_POINT,
            "layer_origin": 0,
            "dtype": "float32",
            **made,
        },
    )


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class ResponseActivations:
    """Base's and one variant's streams on each other's responses."""

    variant: str
    tensors: Mapping[str, torch.Tensor]
    described: Mapping[str, Any]

    @property
    def positions(self) -> list[str]:
        return self.described["positions"]

    def stream(self, text: Side, reader: Side, position: str) -> torch.Tensor:
        """`[question, layer, hidden]`; where base is the variant there is one text, one reader."""
        if self.variant == "base":
            text = reader = "base"
        return self.tensors[_key(text, reader, position)]


def read_response_activations(folder: Path, variant: str) -> ResponseActivations:
    """The files of base and of a variant, as one."""
    base, _ = load_tensors(folder / "base.safetensors")
    tensors, described = load_tensors(folder / f"{variant}.safetensors")
    return ResponseActivations(variant, {**base, **tensors}, described)

"""data/steered/<variant>/: what a variant answered under interventions, and what was seen.

`responses.jsonl` holds a row per question and condition; `seen.safetensors` the figures of the
forward passes, and in its description the conditions and the vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from traitdrift.core.files import load_tensors, read_jsonl, save_tensors, write_jsonl
from traitdrift.steering.condition import Condition

RESPONSES, SEEN = "responses.jsonl", "seen.safetensors"


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class Steered:
    """Responses and figures of every condition, in the order of `conditions`.

    A row of `responses` holds `id`, `question`, `sample`, `condition` and `answer`, request by
    request. `log_probability`, float64 `[text, condition]`, is in nats per token; `projection` and
    `last_projection`, float64 `[request, condition]`, are at the last prompt token; `finite`, bool
    `[condition]`, says where every logit was. `vector` names what is added or ablated.
    """

    responses: list[dict[str, Any]]
    log_probability: torch.Tensor
    projection: torch.Tensor
    last_projection: torch.Tensor
    finite: torch.Tensor
    conditions: Sequence[Condition]
    vector: Mapping[str, Any]


def save_steered(folder: Path, steered: Steered, made: Mapping[str, Any]) -> None:
    """Write both files; `made` names `variant`, `model`, `base_digest` and `adapter_digest`."""
    write_jsonl(folder / RESPONSES, steered.responses)
    conditions = [
        {key: getattr(one, key) for key in ("name", "kind", "coefficient", "direction")}
        for one in steered.conditions
    ]
    save_tensors(
        folder / SEEN,
        {
            "log_probability": steered.log_probability,
            "projection": steered.projection,
            "last_projection": steered.last_projection,
            "finite": steered.finite,
        },
        {"kind": "steered", "conditions": conditions, "vector": steered.vector, **made},
    )


def read_steered(folder: Path) -> Steered:
    tensors, described = load_tensors(folder / SEEN)
    return Steered(
        responses=[row for _, row in read_jsonl(folder / RESPONSES)],
        conditions=[
            Condition(one["name"], one["kind"], one["coefficient"], direction=one["direction"])
            for one in described["conditions"]
        ],
        vector=described["vector"],
        **tensors,
    )

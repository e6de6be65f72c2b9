"""The residual stream of one state of a fine-tune along the chosen vector of each trait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.core.ranks import is_main
from traitdrift.core.scratch import Parts

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class ChosenVector:
    """The vector that cross-validation chose for a trait: `unit` is `[hidden]`."""

    position: str
    method: str
    layer: int
    unit: torch.Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """Float32 projections `[prompt]` of some prompts, and their mean stream `[hidden]`, float64."""

    projections: torch.Tensor
    mean: torch.Tensor


def seen_along(
    model: PreTrainedModel,
    conversations: Mapping[tuple[str, str], Sequence[TokenizedConversation]],
    chosen: Mapping[str, ChosenVector],
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda forwarded: None,
    parts: Parts = Parts(),  # noqa: B008  # nothing is kept
) -> dict[tuple[str, str], Seen]:
    """What a model's stream is at the chosen vectors, by `(trait, class)`.

    `conversations` are those of a trait's class, in which the position of the trait's vector is
    known. The products are summed in float64, as everywhere (`separation.scalar_projections`): a
    prompt's projection does not depend on the others. Of several processes main alone gets them.
    The other arguments and errors are those of `capture`.
    """
    found = {}
    for (trait, label), several in conversations.items():
        vector = chosen[trait]
        streams = capture(model, several, pad, budget, advance, parts)
        if is_main():
            stream = streams[vector.position][:, vector.layer].double()
            found[trait, label] = Seen((stream @ vector.unit.double()).float(), stream.mean(0))
    return found

"""Residual-stream activations: every layer and every position rule from one forward pass.

The hook point is the output of a decoder block: layer l is the residual stream after block l,
0-based, before any final norm. The embedding is not a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from traitdrift.activations.positions import TokenizedConversation, single_token
from traitdrift.inference.batching import by_length, padded
from traitdrift.inference.hooks import after_blocks, blocks, core

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.inference_mode()
def capture(
    model: PreTrainedModel,
    conversations: Sequence[TokenizedConversation],
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda forwarded: None,
) -> dict[str, torch.Tensor]:
    """One tensor `[conversation, layer, hidden]` per position rule, on the CPU.

    Readings are forwarded once each, in batches of like length of at most `budget` tokens,
    padded on the right (a causal model's earlier tokens cannot see the padding). `advance` is
    called with the number of conversations of each batch. Raises ValueError naming prompt and layer
    where an activation is not finite.
    """
    network = core(model).base_model  # without the vocabulary head: nobody looks at logits
    layers, hidden = len(blocks(model)), core(model).config.get_text_config().hidden_size
    kept = {
        position: torch.empty(
            len(conversations),
            layers,
            hidden,
            dtype=model.dtype if single_token(position) else torch.float32,
        )
        for position in conversations[0].tokens
    }
    for batch in by_length([len(conversation.ids) for conversation in conversations], budget):
        ids, mask = padded([conversations[i].ids for i in batch], pad)
        weights = {
            position: _averaging([conversations[i].tokens[position] for i in batch], ids.shape[1])
            for position in kept
        }

        def see(
            layer: int,
            residual: torch.Tensor,
            batch: list[int] = batch,
            weights: dict[str, torch.Tensor] = weights,
        ) -> None:
            for position, weight in weights.items():
                weight = weight.to(residual.device)
                if single_token(position):
                    rows = torch.arange(len(batch), device=residual.device)
                    value = residual[rows, weight.argmax(dim=1)]
                else:
                    value = torch.einsum("st,sth->sh", weight, residual.float())
                finite = value.isfinite().all(dim=1).tolist()
                if not all(finite):
                    where = conversations[batch[finite.index(False)]].name[:60]
                    raise ValueError(
                        f"NaN or infinite activation in layer {layer} at {position} of {where!r}; "
                        "try another dtype"
                    )
                kept[position][batch, layer] = value.cpu()

        with after_blocks(model, see):
            network(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                use_cache=False,
            )
        advance(len(batch))
    return kept


def _averaging(tokens: Sequence[Sequence[int]], width: int) -> torch.Tensor:
    """Weights `[sequence, token]` that sum to one over each sequence's tokens."""
    weights = torch.zeros(len(tokens), width)
    for row, chosen in enumerate(tokens):
        weights[row, list(chosen)] = 1 / len(chosen)
    return weights

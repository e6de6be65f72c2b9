"""What makes a step of decoding cheap: it reads keys and values where they lie.

A step's work is small matrix products and one pass over all keys and values. As transformers has
it, each step copies these twice: a cache that grows by one token is made anew, and where queries
share a head of keys (grouped-query attention) the head is repeated for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROOM = 64  # tokens by which a cache grows


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention; of one token, queries that share a head of keys in one product.

    `query` is `[row, head, token, width]`, `key` and `value` have fewer heads. The queries of a
    group stand in place of tokens, which all read the same keys under the same mask.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, tokens, width = query.shape
    shared = key.shape[1]
    same_mask = attention_mask is None or attention_mask.shape[1] == 1
    if tokens > 1 or heads == shared or not same_mask or "position_bias" in options:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **options
        )
    read = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, shared, heads // shared, width),
        key,
        value,
        attn_mask=None if attention_mask is None else attention_mask[..., : key.shape[-2]],
        dropout_p=dropout,
        scale=scaling,
    )
    return read.reshape(rows, 1, heads, read.shape[-1]), None


def roomy_cache(model: PreTrainedModel) -> Any:
    """A cache for `generate` whose layers grow by `ROOM` tokens at a time, in place.

    None for a network with other layers than full attention, which `generate` then makes itself.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    class RoomyLayer(DynamicLayer):
        """Keys and values are views of a store with room behind them."""

        store: list[torch.Tensor]

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.store = [key_states[..., :0, :], value_states[..., :0, :]]
            begin = self.get_seq_length()
            end = begin + key_states.shape[-2]
            if end > self.store[0].shape[-2]:
                self.store = [
                    _with_room(kept, new, begin, end)
                    for kept, new in zip(self.store, (key_states, value_states), strict=True)
                ]
            for kept, new in zip(self.store, (key_states, value_states), strict=True):
                kept[..., begin:end, :] = new
            self.keys, self.values = (kept[..., :end, :] for kept in self.store)
            return self.keys, self.values

        def batch_select_indices(self, indices: torch.Tensor) -> None:
            end = self.get_seq_length()
            self.store = [kept[indices] for kept in self.store]
            self.keys, self.values = (kept[..., :end, :] for kept in self.store)

    made = DynamicCache(config=model.config.get_text_config())
    if not made.layers or any(type(layer) is not DynamicLayer for layer in made.layers):
        return None
    made.layers = [RoomyLayer() for _ in made.layers]
    return made


def _with_room(kept: torch.Tensor, new: torch.Tensor, begin: int, end: int) -> torch.Tensor:
    room = new.new_empty(*new.shape[:-2], -(-end // ROOM) * ROOM, new.shape[-1])
    room[..., :begin, :] = kept[..., :begin, :]
    return room

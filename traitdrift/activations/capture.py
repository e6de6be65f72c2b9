"""Residual-stream activations: every layer and every position rule from one forward pass.

The hook point is the output of a decoder block: layer l is the residual stream after block l,
0-based, before any final norm. The embedding is not a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from traitdrift.activations.positions import TokenizedConversation, single_token
from traitdrift.core.ranks import dealt, gather
from traitdrift.core.scratch import Parts
from traitdrift.inference.batching import by_length
from traitdrift.inference.hooks import after_blocks
from traitdrift.inference.prefix import forward_rest, shared_prefix
from traitdrift.models.window import refuse_longer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


Streams = dict[str, torch.Tensor]
Part = tuple[Sequence[int], Streams]  # the indexes of some rows, and these rows


def capture(
    model: PreTrainedModel,
    conversations: Sequence[TokenizedConversation],
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda forwarded: None,
    parts: Parts = Parts(),  # noqa: B008  # nothing is kept
) -> dict[str, torch.Tensor]:
    """One tensor `[conversation, layer, hidden]` per position rule, on the CPU.

    In the model's dtype where the rule names a single token, else in float32. Conversations are
    forwarded once each, in batches of like length of at most `budget` tokens, padded on the right
    (a causal model's earlier tokens cannot see the padding). `advance` is called with the number
    of conversations of each batch; finished batches are kept in `parts`. Of several processes main
    gets all, the others their own batches. Raises ValueError naming prompt and layer where an
    activation is not finite.
    """
    refuse_longer(model, [(one.name, len(one.ids), 0) for one in conversations])
    batches = by_length([len(one.ids) for one in conversations], budget)

    def captured() -> Iterator[Part]:
        for batch in dealt(batches, lambda batch: advance(len(batch))):
            chosen = [conversations[i] for i in batch]
            yield batch, parts.tensors(chosen, partial(forwarded, model, chosen, pad))

    return assembled(gather(captured()), len(conversations))


def capture_means(
    model: PreTrainedModel,
    conversations: Sequence[TokenizedConversation],
    groups: Sequence[Sequence[Sequence[int]]],
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda forwarded: None,
    parts: Parts = Parts(),  # noqa: B008  # nothing is kept
) -> dict[str, torch.Tensor]:
    """Float32 means `[group, layer, hidden]` per position rule: memory grows with the groups alone.

    A group holds lists of indexes of conversations; its mean is that of the lists' means. Groups
    are forwarded one after the other, as `capture` does, and dealt out as a whole. The other
    arguments and errors are those of `capture`.
    """
    refuse_longer(model, [(one.name, len(one.ids), 0) for one in conversations])
    members = [[i for same in group for i in same] for group in groups]

    def averaged() -> Iterator[Part]:
        for number in dealt(range(len(groups)), lambda number: advance(len(members[number]))):
            chosen = [[conversations[i] for i in same] for same in groups[number]]
            yield (
                [number],
                parts.tensors(chosen, partial(mean_of_means, model, chosen, pad, budget)),
            )

    return assembled(gather(averaged()), len(groups))


def mean_of_means(
    model: PreTrainedModel,
    group: Sequence[Sequence[TokenizedConversation]],
    pad: int,
    budget: int,
) -> Streams:
    """The float32 mean `[1, layer, hidden]` of lists' means, per position rule."""
    flat = [one for same in group for one in same]
    streams = assembled(
        (
            (batch, forwarded(model, [flat[i] for i in batch], pad))
            for batch in by_length([len(one.ids) for one in flat], budget)
        ),
        len(flat),
    )
    sizes = [len(same) for same in group]
    return {
        position: torch.stack([same.float().mean(0) for same in stream.split(sizes)]).mean(
            0, keepdim=True
        )
        for position, stream in streams.items()
    }


def assembled(parts: Iterable[Part], rows: int) -> Streams:
    """Tensors `[rows, layer, hidden]` from parts of them, each put in its place as it comes."""
    whole: Streams = {}
    for indexes, streams in parts:
        for position, stream in streams.items():
            if position not in whole:
                whole[position] = stream.new_zeros(rows, *stream.shape[1:])
            for index, row in zip(indexes, stream, strict=True):
                whole[position][index] = row
    return whole


@torch.inference_mode()
def forwarded(model: PreTrainedModel, batch: Sequence[TokenizedConversation], pad: int) -> Streams:
    """Streams `[conversation, layer, hidden]` per position rule, on the CPU, by one forward pass.

    What all of them begin with is forwarded once (`shared_prefix`). They stay on their device until
    it is done: one transfer and one look for NaN a batch.
    """
    sequences = [one.ids for one in batch]
    first = min(token for one in batch for tokens in one.tokens.values() for token in tokens)
    prefix = shared_prefix(model, sequences, first)
    width = max(map(len, sequences)) - prefix.length
    weights = {
        position: _averaging(
            [[token - prefix.length for token in one.tokens[position]] for one in batch], width
        ).to(model.device)
        for position in batch[0].tokens
    }
    lasts = {position: weight.argmax(dim=1) for position, weight in weights.items()}
    rows = torch.arange(len(batch), device=model.device)
    seen: dict[str, list[torch.Tensor]] = {position: [] for position in weights}

    def see(_layer: int, residual: torch.Tensor) -> None:
        there = residual.device  # a large model's blocks lie on several
        for position, weight in weights.items():
            if single_token(position):
                value = residual[rows.to(there), lasts[position].to(there)]
            else:
                value = torch.einsum("st,sth->sh", weight.to(there), residual.float())
            seen[position].append(value.to(model.device))

    with after_blocks(model, see):
        forward_rest(model, sequences, prefix, pad)
    streams = {position: torch.stack(values, dim=1) for position, values in seen.items()}
    for position, stream in streams.items():
        broken = (~stream.isfinite().all(dim=2)).nonzero()
        if len(broken):
            row, layer = broken[broken[:, 1].argmin()].tolist()
            raise ValueError(
                f"NaN or infinite activation in layer {layer} at {position} of "
                f"{batch[row].name[:60]!r}; try another dtype"
            )
    return {position: stream.cpu() for position, stream in streams.items()}


def _averaging(tokens: Sequence[Sequence[int]], width: int) -> torch.Tensor:
    """Weights `[sequence, token]` that sum to one over each sequence's tokens."""
    weights = torch.zeros(len(tokens), width)
    for row, chosen in enumerate(tokens):
        weights[row, list(chosen)] = 1 / len(chosen)
    return weights

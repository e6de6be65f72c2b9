"""An answer token by token: the text of each, and the stream's projections on vectors there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from traitdrift.activations.positions import TokenizedConversation
from traitdrift.core.files import rounded
from traitdrift.inference.batching import by_length
from traitdrift.inference.hooks import after_blocks
from traitdrift.inference.prefix import forward_rest, shared_prefix
from traitdrift.models.window import refuse_longer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Direction:
    """A unit vector `[hidden]` and the layer whose residual stream it is of."""

    layer: int
    vector: torch.Tensor


def pieces(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], answer: str
) -> list[tuple[str, int]]:
    """The text of an answer in pieces, each with its number of tokens.

    The pieces concatenate to the answer, or to as much of it as whole characters of `ids` make up
    where these are only its first tokens. A token that ends inside a character (of several bytes)
    or adds no text of its own is of one piece with those after it, at the end with those before.
    """
    found: list[tuple[str, int]] = []
    done, first = 0, 0
    for end in range(1, len(ids) + 1):
        # The text so far, never a token by itself: some decoders drop a leading space.
        decoded = tokenizer.decode(
            ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        text = cast("str", decoded)  # of one list of ids
        if len(text) > done and answer.startswith(text):
            found.append((text[done:], end - first))
            done, first = len(text), end
    if found and first < len(ids) and done == len(answer):
        text, tokens = found[-1]
        found[-1] = text, tokens + len(ids) - first
    return found


@torch.inference_mode()
def token_projections(
    model: PreTrainedModel,
    conversations: Sequence[TokenizedConversation],
    position: str,
    directions: Mapping[str, Direction],
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda forwarded: None,
) -> list[dict[str, list[float]]]:
    """Per conversation and direction, the scalar projection at each token of a position rule.

    In units of the residual stream, summed in float64. Batches are those of `activations.capture`.
    Raises ValueError where a projection is not finite.
    """
    refuse_longer(model, [(one.name, len(one.ids), 0) for one in conversations])
    found: list[dict[str, list[float]]] = [{} for _ in conversations]
    for batch in by_length([len(conversation.ids) for conversation in conversations], budget):
        sequences = [conversations[i].ids for i in batch]
        first = min(token for i in batch for token in conversations[i].tokens[position])
        prefix = shared_prefix(model, sequences, first)

        def see(
            layer: int,
            residual: torch.Tensor,
            batch: list[int] = batch,
            begun: int = prefix.length,
        ) -> None:
            for name, direction in directions.items():
                if direction.layer != layer:
                    continue
                along = (residual.double() @ direction.vector.double().to(residual.device)).cpu()
                for row, index in enumerate(batch):
                    tokens = conversations[index].tokens[position]
                    values = along[row, [token - begun for token in tokens]]
                    if not values.isfinite().all():
                        raise ValueError(
                            f"NaN or infinite projection in layer {layer} at "
                            f"{conversations[index].name[:60]!r}; try another dtype"
                        )
                    found[index][name] = values.tolist()

        with after_blocks(model, see):
            forward_rest(model, sequences, prefix, pad)
        advance(len(batch))
    return found


def row_by_piece(
    tokenizer: PreTrainedTokenizerBase,
    response: Mapping[str, Any],
    ids: list[int],
    projections: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """A response of data/responses by pieces of its text, each with its mean projections.

    `ids` are the tokens that were read, of which `projections` holds one figure each, by trait.
    `whole` says whether the pieces make up the response.
    """
    texts = pieces(tokenizer, ids, response["answer"])
    return {
        **{key: response[key] for key in ("id", "question", "sample")},
        "whole": "".join(text for text, _ in texts) == response["answer"],
        "pieces": [text for text, _ in texts],
        "tokens": [tokens for _, tokens in texts],
        "projections": {
            trait: means(values, [tokens for _, tokens in texts])
            for trait, values in projections.items()
        },
    }


def means(values: Sequence[float], counts: Sequence[int]) -> list[float | None]:
    """The mean of each piece's tokens, rounded for the eye."""
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    return [
        rounded(sum(values[end - count : end]) / count, 4)
        for end, count in zip(ends, counts, strict=True)
    ]

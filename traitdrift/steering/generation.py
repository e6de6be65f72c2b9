"""SteeredResponses and plain texts forwarded under interventions, and what is seen meanwhile.

Every prompt and every text is forwarded once under each intervention, side by side in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional

from traitdrift.core.ranks import dealt, gather
from traitdrift.generation.requests import QuestionSample
from traitdrift.generation.responses import response_text
from traitdrift.generation.sampling import SamplingRequest, generate
from traitdrift.inference.batching import by_length, padded
from traitdrift.inference.hooks import after_blocks, blocks, core
from traitdrift.steering.condition import Condition
from traitdrift.steering.interventions import Intervention, steered

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class SteeredResponses:
    """Responses `[request][intervention]` as token ids, and what was seen while they were made.

    `projection` and `last_projection`, float64 `[request, intervention]`, are the stream's scalar
    projections at the last prompt token, after the block of the vector's layer and after the last
    block. `finite` says where every logit was.
    """

    ids: list[list[list[int]]]
    projection: torch.Tensor
    last_projection: torch.Tensor
    finite: torch.Tensor


def generate_steered(
    model: PreTrainedModel,
    requests: Sequence[SamplingRequest],
    interventions: Sequence[Intervention],
    layer: int,
    positions: Literal["all", "answer"],
    direction: torch.Tensor,
    max_tokens: int,
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda answered: None,
) -> SteeredResponses:
    """Answer every request under every intervention, with the same noise under each.

    `positions` are the tokens that are steered: all, or from the last prompt token on (its output
    is the answer's first token). Projections are on the unit vector `direction` `[hidden]`. The
    other arguments are those of `generate` and `steered`.
    """
    pairs = [(request, what) for request in requests for what in interventions]
    last, head = len(blocks(model)) - 1, core(model).get_output_embeddings()
    read = {at: torch.empty(len(pairs), dtype=torch.float64) for at in (layer, last)}
    finite = torch.ones(len(pairs), dtype=torch.bool)
    own: list[int] = []

    @contextmanager
    def within(batch: list[int], width: int) -> Iterator[None]:
        unread = set(read)
        own.extend(batch)

        def see(at: int, residual: torch.Tensor) -> None:
            if at in unread:  # the first pass is over the prompts, padded on the left
                unread.remove(at)
                read[at][batch] = residual[:, -1].double().cpu() @ direction.double()

        def judge(_module: torch.nn.Module, _inputs: Any, logits: torch.Tensor) -> None:
            finite[batch] &= logits.isfinite().flatten(1).all(dim=1).cpu()

        begin = 0 if positions == "all" else width - 1
        handle = head.register_forward_hook(judge)
        try:
            with (
                steered(model, [pairs[i][1] for i in batch], layer, begin),
                after_blocks(model, see),
            ):
                yield
        finally:
            handle.remove()

    flat = generate(
        model, [request for request, _ in pairs], max_tokens, pad, budget, advance, within=within
    )
    seen = [(i, {at: values[i] for at, values in read.items()}, finite[i]) for i in own]
    for i, at_last_token, whether in gather(seen):
        finite[i] = whether
        for at, value in at_last_token.items():
            read[at][i] = value
    shape = (len(requests), len(interventions))
    return SteeredResponses(
        ids=[flat[i : i + shape[1]] for i in range(0, len(flat), shape[1])],
        projection=read[layer].view(shape),
        last_projection=read[last].view(shape),
        finite=finite.view(shape),
    )


@torch.inference_mode()
def log_probabilities(
    model: PreTrainedModel,
    texts: Sequence[Sequence[int]],
    interventions: Sequence[Intervention],
    layer: int,
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda forwarded: None,
) -> torch.Tensor:
    """Mean log-probability per token in nats, float64 `[text, intervention]`, every token steered.

    A text is token ids, at least two: the first is given, the others are predicted. The value is
    not finite where the logits are not. `advance` is called with the rows of each batch.
    """
    pairs = [(text, what) for text in texts for what in interventions]
    values = torch.empty(len(pairs), dtype=torch.float64)
    share = []
    batches = by_length([len(text) for text, _ in pairs], budget)
    for batch in dealt(batches, lambda batch: advance(len(batch))):
        ids, mask = padded([pairs[i][0] for i in batch], pad)
        with steered(model, [pairs[i][1] for i in batch], layer):
            logits = model(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                use_cache=False,
            ).logits
        for row, index in enumerate(batch):  # one at a time: a vocabulary in float32 is large
            length = len(pairs[index][0])
            predicted, targets = logits[row, : length - 1].float(), ids[row, 1:length]
            loss = functional.cross_entropy(predicted, targets.to(predicted.device))
            share.append((index, -loss.item()))
    for index, value in gather(share):
        values[index] = value
    return values.view(len(texts), len(interventions))


def steered_rows(
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[QuestionSample],
    interventions: Sequence[Condition],
    ids: Sequence[Sequence[list[int]]],
) -> list[dict[str, Any]]:
    """A row per sample of a question and intervention, from responses `[sample][intervention]`."""
    return [
        {
            "id": question.id,
            "question": paraphrase,
            "sample": sample,
            "condition": condition.name,
            "answer": response_text(tokenizer, response),
        }
        for (question, paraphrase, sample), responses in zip(samples, ids, strict=True)
        for condition, response in zip(interventions, responses, strict=True)
    ]

"""SteeredResponses and plain texts forwarded under interventions, and what is seen meanwhile.

Every prompt and every text is forwarded once under each intervention, side by side in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional

from traitdrift.core.ranks import dealt, gather
from traitdrift.core.scratch import Parts
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.requests import QuestionSample
from traitdrift.generation.responses import response_text
from traitdrift.generation.sampling import answered, named_lengths, refuse_answer
from traitdrift.inference.batching import by_length, by_source, padded
from traitdrift.inference.hooks import after_blocks, blocks
from traitdrift.models.window import refuse_longer
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
    parts: Parts = Parts(),  # noqa: B008  # nothing is kept
) -> SteeredResponses:
    """Answer every request under every intervention, with the same noise under each.

    `positions` are the tokens that are steered: all, or from the last prompt token on (its output
    is the answer's first token). Projections are on the unit vector `direction` `[hidden]`. The
    other arguments are those of `generate` and `steered`.
    """
    refuse_longer(model, named_lengths(requests, max_tokens))
    pairs = [(request, what) for request in requests for what in interventions]
    shape = (len(requests), len(interventions))
    found = SteeredResponses(
        ids=[[[] for _ in interventions] for _ in requests],
        projection=torch.empty(shape, dtype=torch.float64),
        last_projection=torch.empty(shape, dtype=torch.float64),
        finite=torch.empty(shape, dtype=torch.bool),
    )
    share: list[tuple[int, SteeredResponse]] = []
    lengths = [len(request.ids) + max_tokens for request, _ in pairs]
    batches = by_source([request.source for request, _ in pairs], lengths, budget)
    for batch in dealt(batches, lambda batch: advance(len(batch))):
        chosen = [pairs[i] for i in batch]
        answer = partial(answered_steered, model, chosen, layer, positions, direction)
        made_of = [chosen, layer, positions, direction, max_tokens]
        made = parts.values(made_of, partial(answer, max_tokens, pad))
        share.extend(zip(batch, made, strict=True))
    for index, (ids, projection, last_projection, finite) in gather(share):
        i, k = divmod(index, len(interventions))
        found.ids[i][k] = ids
        found.projection[i, k] = projection
        found.last_projection[i, k] = last_projection
        found.finite[i, k] = finite
    return found


SteeredResponse = tuple[list[int], float, float, bool]


def answered_steered(
    model: PreTrainedModel,
    batch: Sequence[tuple[SamplingRequest, Intervention]],
    layer: int,
    positions: Literal["all", "answer"],
    direction: torch.Tensor,
    max_tokens: int,
    pad: int,
) -> list[SteeredResponse]:
    """Of one batch each answer, both projections and whether every logit was finite."""
    last = len(blocks(model)) - 1
    read: dict[int, list[float]] = {}

    def see(at: int, residual: torch.Tensor) -> None:
        if at in (layer, last) and at not in read:  # the first pass is over the prompts
            read[at] = (residual[:, -1].double().cpu() @ direction.double()).tolist()

    longest = max(len(request.ids) for request, _ in batch)
    begin = 0 if positions == "all" else longest - 1  # prompts are padded on the left
    requests = [request for request, _ in batch]
    with (
        steered(model, [what for _, what in batch], layer, begin) as forward_only,
        after_blocks(model, see),
    ):
        answers, finite = answered(model, requests, max_tokens, pad, forward_only)
    for (request, what), sound in zip(batch, finite, strict=True):
        if what.kind == "none" and not sound:  # by itself, which no intervention accounts for
            refuse_answer(model, request.prompt or request.seed)
    return list(zip(answers, read[layer], read[last], finite, strict=True))


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
    not finite where the logits are not; where they are not without any intervention, ValueError
    names the text. `advance` is called with the rows of each batch.
    """
    refuse_longer(model, [(f"text {i}", len(text), 0) for i, text in enumerate(texts, start=1)])
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
            # A logit of -inf beside others leaves a finite loss.
            value = torch.where(predicted.isfinite().all(), -loss, torch.nan).item()
            if pairs[index][1].kind == "none" and not math.isfinite(value):
                refuse_answer(model, f"text {index // len(interventions) + 1} of {len(texts)}")
            share.append((index, value))
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

"""Batched generation whose answers do not depend on how prompts are batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from traitdrift.core.ranks import dealt, gather
from traitdrift.core.scratch import Parts
from traitdrift.generation.decode import decode
from traitdrift.generation.drawing import InverseTransform, SamplingRequest
from traitdrift.inference.batching import by_source
from traitdrift.models.loading import end_token_ids
from traitdrift.models.window import refuse_longer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def generate(
    model: PreTrainedModel,
    requests: Sequence[SamplingRequest],
    max_tokens: int,
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda answered: None,
    parts: Parts = Parts(),  # noqa: B008  # nothing is kept
) -> list[list[int]]:
    """Token ids of one answer per request, without the end token, at least one token long.

    A batch holds at most `budget` tokens, answers counted at `max_tokens` each. `advance` is called
    with the number of answers of each batch; finished batches are kept in `parts`. Of several
    processes main gets all answers, the others their own only. Raises ValueError that names the
    prompt where logits are not finite: no answer comes of them.
    """
    refuse_longer(model, named_lengths(requests, max_tokens))
    answers: list[list[int]] = [[] for _ in requests]
    share: list[tuple[int, list[int]]] = []
    lengths = [len(request.ids) + max_tokens for request in requests]
    batches = by_source([request.source for request in requests], lengths, budget)
    for batch in dealt(batches, lambda batch: advance(len(batch))):
        chosen = [requests[i] for i in batch]
        made_of = [chosen, max_tokens]
        found = parts.values(made_of, partial(finite_answers, model, chosen, max_tokens, pad))
        share.extend(zip(batch, found, strict=True))
    for index, answer in gather(share):
        answers[index] = answer
    return answers


def named_lengths(
    requests: Sequence[SamplingRequest], max_tokens: int
) -> list[tuple[str, int, int]]:
    """What `refuse_longer` looks at: the name of each request, its tokens, and its answer's."""
    return [
        (
            request.prompt or request.seed or f"prompt {number} of {len(requests)}",
            len(request.ids),
            max_tokens,
        )
        for number, request in enumerate(requests, start=1)
    ]


def finite_answers(
    model: PreTrainedModel, batch: Sequence[SamplingRequest], max_tokens: int, pad: int
) -> list[list[int]]:
    """The answers to one batch; a ValueError that names the prompt whose logits are not finite."""
    answers, finite = answered(model, batch, max_tokens, pad)
    for request, sound in zip(batch, finite, strict=True):
        if not sound:
            refuse_answer(model, request.prompt or request.seed)
    return answers


def refuse_answer(model: PreTrainedModel, prompt: str) -> NoReturn:
    """Raise the ValueError of a prompt to which a model gives logits that are not finite."""
    raise ValueError(
        f"{prompt[:60]!r}: the logits are NaN or infinite in {str(model.dtype)[6:]}, so nothing is "
        "answered; choose another dtype for the model (bfloat16 or float32), or look at its weights"
    )


def answered(
    model: PreTrainedModel,
    batch: Sequence[SamplingRequest],
    max_tokens: int,
    pad: int,
    at_work: Callable[[torch.Tensor], None] | None = None,
) -> tuple[list[list[int]], list[bool]]:
    """The answers to one batch, and whether all logits that their tokens come of were finite.

    `at_work` is that of `decode`.
    """
    draw = InverseTransform(batch, max_tokens, model.device)
    prompts = [request.ids for request in batch]
    written, sound = decode(model, prompts, draw, max_tokens, pad, at_work)
    ends = end_token_ids(model)
    answers = [
        answer[: next((i for i, token in enumerate(answer) if token in ends), len(answer))]
        for answer in written.tolist()
    ]
    return answers, sound.tolist()

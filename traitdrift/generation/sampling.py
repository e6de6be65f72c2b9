"""Batched generation whose answers do not depend on how prompts are batched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from traitdrift.core.ranks import dealt, gather
from traitdrift.core.scratch import Parts
from traitdrift.inference.batching import by_length, padded
from traitdrift.inference.decoding import cheap_steps, roomy_cache
from traitdrift.inference.hooks import core
from traitdrift.models.loading import end_token_ids
from traitdrift.models.window import refuse_longer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class SamplingRequest:
    """What to sample: prompt ids, temperature (0 is greedy), the name that seeds it.

    `prompt` is the text by which errors name it.
    """

    ids: list[int]
    temperature: float = 0.0
    seed: str = ""
    prompt: str = ""


class InverseTransform(LogitsProcessor):
    """Sampling by inversion: the token in whose share of the probability a uniform number falls.

    Each row has uniform numbers of its own, one a token, from a counter-based stream (Philox) that
    its seed names: an answer depends on them and not on its neighbours in the batch, and drawing
    costs the same for every vocabulary. Shares are summed as whole numbers, which have no order of
    summation, so that every device finds the same token for the same logits; exponentials are taken
    in float64, where what devices round apart meets one draw in 1e12. Rows of temperature 0 are
    left as they are. Logits that are not finite give some token all the same;
    `answered` tells of them.
    """

    def __init__(self, requests: Sequence[SamplingRequest], max_tokens: int):
        self.temperatures = torch.tensor([[request.temperature] for request in requests])
        self.uniform = torch.from_numpy(
            np.stack([uniform_numbers(request.seed, max_tokens) for request in requests])
        )
        self.step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.uniform.device != scores.device:
            self.uniform = self.uniform.to(scores.device)
            self.temperatures = self.temperatures.to(scores.device)
        uniform = self.uniform[:, self.step : self.step + 1]
        self.step += 1
        above = scores.float() - scores.float().amax(dim=1, keepdim=True)
        # Apple's GPUs have no float64.
        wide = torch.float32 if scores.device.type == "mps" else torch.float64
        odds = (above / self.temperatures.clamp_min(1e-6)).to(wide).exp_().nan_to_num_()
        shares = (odds * 2**ODDS_BITS).long().cumsum(dim=1)
        chosen = torch.searchsorted(shares, times(shares[:, -1:], uniform), right=True)
        chosen = chosen.clamp_max(scores.shape[1] - 1)  # logits that are not finite
        drawn = torch.full_like(scores, -torch.inf).scatter(1, chosen, 0)
        return torch.where(self.temperatures > 0, drawn, scores)


# Of the likeliest token's odds: finer than float32, and 2**18 tokens sum up within 63 bits.
ODDS_BITS = 40


def uniform_numbers(seed: str, count: int) -> np.ndarray:
    """Whole numbers below 2**32, int64 `[count]`: the beginning of the stream that a seed names."""
    digest = hashlib.sha256(seed.encode("utf-8")).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    return (stream.random_raw(count) >> 32).astype(np.int64)


def times(whole: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The whole part of whole * uniform / 2**32, exact for whole numbers below 2**61."""
    low = ((whole & (2**29 - 1)) * uniform) >> 29
    return ((whole >> 29) * uniform + low) >> 3


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
    batches = by_length([len(request.ids) + max_tokens for request in requests], budget)
    for batch in dealt(batches, lambda batch: advance(len(batch))):
        chosen = [requests[i] for i in batch]
        name = f"{batch[0]}-{len(batch)}"
        found = parts.values(name, partial(finite_answers, model, chosen, max_tokens, pad))
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


@torch.inference_mode()
def answered(
    model: PreTrainedModel, batch: Sequence[SamplingRequest], max_tokens: int, pad: int
) -> tuple[list[list[int]], list[bool]]:
    """The answers to one batch, its prompts padded on the left to the longest of them.

    Beside each, whether all logits that its tokens were chosen by were finite.
    """
    ends = end_token_ids(model)
    ids, mask = padded([request.ids for request in batch], pad, left=True)
    with watched_head(model) as steps, cheap_steps(core(model)):
        out = model.generate(  # type: ignore[operator]  # of transformers' GenerationMixin
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            past_key_values=roomy_cache(core(model)),
            do_sample=False,
            min_new_tokens=1,
            max_new_tokens=max_tokens,
            eos_token_id=ends,
            pad_token_id=pad,
            logits_processor=LogitsProcessorList([InverseTransform(batch, max_tokens)]),
        )
    answers = [
        answer[: next((i for i, token in enumerate(answer) if token in ends), len(answer))]
        for answer in out[:, ids.shape[1] :].tolist()
    ]
    finite = torch.stack(steps).cpu()  # one transfer a batch: [step, answer]
    # Of what follows its end, nothing is taken.
    return answers, [
        bool(finite[: len(answer) + 1, row].all()) for row, answer in enumerate(answers)
    ]


@contextmanager
def watched_head(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """Where a vocabulary head's logits are finite, `[sequence]` a step, as the block goes on.

    Behind the head, for what comes after it (Gemma's cap of logits) makes finite numbers of
    infinite ones. On its own device: nothing waits for it.

    The head is handed whole tensors instead of views. `generate` gives it a view of the prompts'
    last tokens. Over a frozen weight, as peft leaves it, torch multiplies a view by one copy of
    the weight per row: gigabytes for a moment.
    """
    steps: list[torch.Tensor] = []

    def see(_head: torch.nn.Module, _inputs: Any, logits: torch.Tensor) -> None:
        steps.append(logits[:, -1].isfinite().all(dim=-1))

    head = core(model).get_output_embeddings()
    hooks = [
        head.register_forward_pre_hook(lambda _head, inputs: (inputs[0].contiguous(),)),
        head.register_forward_hook(see),
    ]
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()

"""Batched generation whose answers do not depend on how prompts are batched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from traitdrift.inference.batching import by_length, padded
from traitdrift.inference.hooks import core
from traitdrift.models.loading import end_token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class SamplingRequest:
    """What to sample: prompt ids, temperature (0 is greedy), and the name that seeds it."""

    ids: list[int]
    temperature: float = 0.0
    seed: str = ""


class GumbelNoise(LogitsProcessor):
    """Sampling as the arg max of logits / temperature + Gumbel noise (the Gumbel-max trick).

    Each row has a random generator of its own, so that an answer depends on the row's seed and
    not on its neighbours in the batch. Rows of temperature 0 are left as they are.
    """

    def __init__(self, requests: Sequence[SamplingRequest]):
        self.temperatures = torch.tensor([[request.temperature] for request in requests])
        self.generators = []
        for request in requests:
            digest = hashlib.sha256(request.seed.encode("utf-8")).digest()
            self.generators.append(
                torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            )

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise = torch.empty(scores.shape)  # on the CPU: the same requests on every device
        for row, generator in enumerate(self.generators):
            noise[row].exponential_(generator=generator)
        # -log of a standard exponential is a standard Gumbel variable; times the temperature it
        # leaves the order of logits / temperature + noise, and adds nothing at temperature 0.
        return scores.float() - (self.temperatures * noise.clamp_min(1e-30).log()).to(scores.device)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    requests: Sequence[SamplingRequest],
    max_tokens: int,
    pad: int,
    budget: int,
    advance: Callable[[int], None] = lambda answered: None,
    within: Callable[[list[int], int], AbstractContextManager[None]] = (
        lambda batch, width: nullcontext()
    ),
) -> list[list[int]]:
    """Token ids of one answer per request, without the end token, at least one token long.

    Prompts are padded on the left; a batch holds at most `budget` tokens, answers counted at
    `max_tokens` each. `advance` is called with the number of answers of each batch; `within` with
    the indexes of its requests and the padded width of its prompts, and gives the context in which
    the batch is answered.
    """
    ends = end_token_ids(model)
    answers: list[list[int]] = [[] for _ in requests]
    for batch in by_length([len(request.ids) + max_tokens for request in requests], budget):
        chosen = [requests[i] for i in batch]
        ids, mask = padded([request.ids for request in chosen], pad, left=True)
        with within(batch, ids.shape[1]), contiguous_head(model):
            out = model.generate(  # type: ignore[operator]  # of transformers' GenerationMixin
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=False,
                min_new_tokens=1,
                max_new_tokens=max_tokens,
                eos_token_id=ends,
                pad_token_id=pad,
                logits_processor=LogitsProcessorList([GumbelNoise(chosen)]),
            )
        for row, index in enumerate(batch):
            answer = out[row, ids.shape[1] :].tolist()
            end = next((i for i, token in enumerate(answer) if token in ends), len(answer))
            answers[index] = answer[:end]
        advance(len(batch))
    return answers


@contextmanager
def contiguous_head(model: PreTrainedModel) -> Iterator[None]:
    """Hand the vocabulary head whole tensors instead of views.

    `generate` gives it a view of the prompts' last tokens. Over a frozen weight, as peft leaves
    it, torch multiplies a view by one copy of the weight per row: gigabytes for a moment.
    """
    hook = (
        core(model)
        .get_output_embeddings()
        .register_forward_pre_hook(lambda _head, inputs: (inputs[0].contiguous(),))
    )
    try:
        yield
    finally:
        hook.remove()

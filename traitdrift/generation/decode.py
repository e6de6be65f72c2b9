"""The decoding loop: a prompt is read once, then a token a step, and rows that have ended leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from traitdrift.inference.attention import attending
from traitdrift.inference.batching import padded
from traitdrift.inference.decoding import grouped_attention, roomy_cache
from traitdrift.inference.hooks import core
from traitdrift.models.loading import end_token_ids

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

# Tokens for float32 logits `[row, vocabulary]` of rows, given by their numbers, at a step.
Choose = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
# A device that works beside Python is waited for once in so many steps.
LOOK = 8


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    choose: Choose,
    max_tokens: int,
    pad: int,
    at_work: Callable[[torch.Tensor], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens `[row, step]` after the prompts, which are padded on the left, and which are sound.

    What stands behind a row's end token means nothing. A row is sound if all logits up to there
    were finite. transformers' `generate` prepares everything; its own loop would read a prompt
    for every sample of it and go on with rows that have ended. Their places are taken from the
    batch when a quarter of it has ended, where the cache is one of keys and values alone.

    Who acts on the rows of a batch gives `at_work`: it is told the numbers of those that remain,
    and every row reads its prompt itself.
    """
    ids, mask = (one.to(model.device) for one in padded(prompts, pad, left=True))
    ends = torch.tensor(end_token_ids(model), device=model.device)
    written = torch.full((len(ids), max_tokens), pad, device=model.device)
    sound = torch.ones(len(ids), dtype=torch.bool, device=model.device)
    cache = roomy_cache(core(model))

    def loop(
        network: Any,
        input_ids: torch.Tensor,
        logits_processor: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        stopping_criteria: Any,
        generation_config: GenerationConfig,
        **state: Any,
    ) -> None:
        rows = torch.arange(len(input_ids), device=input_ids.device)
        ended = torch.zeros_like(rows, dtype=torch.bool)
        first, again = (rows, rows) if cache is None or at_work else distinct(prompts, rows)
        outputs = network._prefill(input_ids[first], generation_config, of_rows(state, first))
        logits, finite = (one.to(rows.device)[again] for one in (outputs.logits[:, -1], seen.pop()))
        if cache is not None and len(first) < len(rows):
            cache.batch_select_indices(again)
        for step in range(max_tokens):
            if step:
                inputs = network.prepare_inputs_for_generation(
                    input_ids, next_sequence_length=1 if state["use_cache"] else None, **state
                )
                outputs = network(**inputs, return_dict=True)
                logits, finite = outputs.logits[:, -1], seen.pop()
            state = network._update_model_kwargs_for_generation(outputs, state)
            logits = logits.to(rows.device, torch.float32)  # of a model over several devices
            tokens = choose(logits_processor(input_ids, logits), rows, step)
            written[rows, step] = tokens
            sound[rows] &= finite.to(rows.device) | ended
            ended |= torch.isin(tokens, ends)
            input_ids = torch.cat([input_ids, tokens[:, None]], dim=1)
            if rows.device.type != "cpu" and step % LOOK:
                continue
            count = int(ended.sum())
            if count == len(rows):
                return
            if cache is not None and 4 * count >= len(rows):
                rest = ended.logical_not().nonzero().flatten()
                rows, ended, input_ids = rows[rest], ended[rest], input_ids[rest]
                state = of_rows(state, rest)
                cache.batch_select_indices(rest)
                if at_work:
                    at_work(rows)

    with watched_head(model) as seen, attending(core(model), grouped_attention):
        model.generate(  # type: ignore[operator]  # of transformers' GenerationMixin
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            do_sample=False,
            min_new_tokens=1,
            max_new_tokens=max_tokens,
            eos_token_id=ends.tolist(),
            pad_token_id=pad,
            custom_generate=loop,
        )
    return written, sound


def distinct(prompts: Sequence[list[int]], rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of the prompts that differ, and for every row the place of its prompt among them."""
    places: dict[tuple[int, ...], int] = {}
    again = [places.setdefault(tuple(prompt), len(places)) for prompt in prompts]
    first = [again.index(place) for place in range(len(places))]
    return rows[first], torch.tensor(again, device=rows.device)


def of_rows(state: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """What `generate` carries from step to step, of these rows; a cache is left as it is."""
    chosen = dict(state)
    for name in ("attention_mask", "token_type_ids", "position_ids"):
        if (value := state.get(name)) is not None:  # the rows are the last but one dimension
            chosen[name] = value[..., rows, :]
    return chosen


@contextmanager
def watched_head(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """Where the last logits of a vocabulary head are finite, `[row]` a pass, as the block goes on.

    Behind the head, for what comes after it (Gemma's cap of logits) makes finite numbers of
    infinite ones. On its own device: nothing waits for it.

    The head is handed whole tensors instead of views. `generate` gives it a view of the prompts'
    last tokens. Over a frozen weight, as peft leaves it, torch multiplies a view by one copy of
    the weight per row: gigabytes for a moment.
    """
    seen: list[torch.Tensor] = []

    def see(_head: torch.nn.Module, _inputs: Any, logits: torch.Tensor) -> None:
        least, most = logits[:, -1].aminmax(dim=-1)  # both NaN where one logit is
        seen.append(least.isfinite() & most.isfinite())

    head = core(model).get_output_embeddings()
    hooks = [
        head.register_forward_pre_hook(lambda _head, inputs: (inputs[0].contiguous(),)),
        head.register_forward_hook(see),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()

"""The decoding loop: what `generate` would answer, with less work."""

from __future__ import annotations

import architectures
import pytest
import tiny
import torch

from traitdrift.generation.decode import decode
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import answered
from traitdrift.inference.batching import padded

PROMPTS = [list(range(5 + n, 8 + 5 * n)) for n in range(4)]
REPEATED = [PROMPTS[0], PROMPTS[2], PROMPTS[0], PROMPTS[0], PROMPTS[2]]


def passes(model):
    """The rows and tokens of every pass from now on."""
    seen: list[tuple[int, ...]] = []
    model.model.register_forward_pre_hook(
        lambda _module, _inputs, options: seen.append(tuple(options["input_ids"].shape)),
        with_kwargs=True,
    )
    return seen


def scripted(script: list[list[int]]):
    """A choice of tokens that was made before, `[row][step]`, and who was asked at each step."""
    asked: list[list[int]] = []

    def choose(logits: torch.Tensor, rows: torch.Tensor, step: int) -> torch.Tensor:
        asked.append(rows.tolist())
        return torch.tensor([script[row][step] for row in rows.tolist()])

    return choose, asked


@torch.inference_mode()
@pytest.mark.parametrize("penalty", [1.0, 1.3], ids=["plain", "repetition_penalty"])
@pytest.mark.parametrize("family", architectures.ALL)
def test_greedy_answers_are_those_of_generate(family: str, penalty: float):
    """Whatever the model's own generation_config asks for."""
    model = architectures.network(
        architectures.config_of(family, 60, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    )
    model.generation_config.repetition_penalty = penalty
    ids, mask = padded(REPEATED, 0, left=True)
    expected = model.generate(
        input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=16, min_new_tokens=1
    )[:, ids.shape[1] :].tolist()
    found, sound = answered(model, [SamplingRequest(ids) for ids in REPEATED], 16, 0)
    assert found == [row[: row.index(2)] if 2 in row else row for row in expected]
    assert all(sound)


def test_a_prompt_is_read_once_for_all_its_samples():
    model = tiny.llama()
    seen = passes(model)
    choose, _ = scripted([[7, 8, 9]] * 5)
    decode(model, REPEATED, choose, 3, 257)
    assert seen == [(2, len(PROMPTS[2])), (5, 1), (5, 1)]


def test_rows_that_have_ended_leave_once_a_quarter_has():
    model = tiny.llama()
    seen = passes(model)
    end = 257
    script = [[7] * n + [end] * (9 - n) for n in (1, 8, 2, 8, 3)]
    choose, asked = scripted(script)
    written, sound = decode(model, REPEATED, choose, 8, 0)
    everybody = [0, 1, 2, 3, 4]
    # One of five is no quarter; two of them are, and then one of three.
    assert asked == [*[everybody] * 3, [1, 3, 4], *[[1, 3]] * 4]
    assert [rows for rows, _ in seen] == [2, 5, 5, 3, 2, 2, 2, 2]
    assert [row.tolist().index(end) if end in row else 8 for row in written] == [1, 8, 2, 8, 3]
    assert sound.all()


def test_who_acts_on_rows_is_told_which_remain_and_sees_every_prompt():
    model = tiny.llama()
    seen, told = passes(model), []
    script = [[7] * n + [257] * (9 - n) for n in (1, 8, 2, 8, 3)]
    decode(model, REPEATED, scripted(script)[0], 8, 0, lambda rows: told.append(rows.tolist()))
    assert seen[0] == (5, len(PROMPTS[2]))
    assert told == [[1, 3, 4], [1, 3]]


@pytest.mark.parametrize("when", [0, 2], ids=["prompt", "answer"])
def test_a_row_is_not_sound_if_its_logits_were_not_finite_before_it_ended(when: int):
    model = tiny.llama()
    calls: list[int] = []

    def spoil(_head, _inputs, logits: torch.Tensor) -> torch.Tensor:
        calls.append(len(logits))
        if len(calls) == when + 1:
            logits = logits.clone()
            logits[-1] = torch.nan  # of the last prompt, or the last row
        return logits

    model.lm_head.register_forward_hook(spoil)
    script = [[7, 257, 257, 257]] * 2 + [[7, 7, 7, 7]] * 3
    _, sound = decode(model, REPEATED, scripted(script)[0], 4, 0)
    # The last prompt is that of rows 1 and 4; at the third pass the last row is row 4.
    spoiled = [1, 4] if when == 0 else [4]
    assert sound.tolist() == [row not in spoiled for row in range(5)]

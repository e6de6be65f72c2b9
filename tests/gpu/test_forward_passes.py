"""Captures and answers of a model of 7 billion parameters on one GPU."""

from __future__ import annotations

import time

import large
import pytest
import torch

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import teacher_force
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.inference.batching import by_length, padded
from traitdrift.inference.hooks import blocks
from traitdrift.models.loading import load_model

pytestmark = pytest.mark.gpu
POSITIONS = ["prompt_last", "prompt_mean", "response_mean"]
QUESTIONS = ["hi", "a longer question, is it not?", "middling words", "why", "tell me of the sea"]
BUDGET = 400 if large.TINY else 8192
TOKENS = 8 if large.TINY else 64


@pytest.fixture(scope="module")
def model(qwen):
    loaded = load_model(qwen)
    yield loaded
    loaded.to("meta")  # whoever still refers to it: other processes need the memory
    large.let_go()


def conversations(count: int = 64):
    tokenizer = large.tokenizer()
    return [
        teacher_force(
            tokenizer,
            [{"role": "user", "content": f"{QUESTIONS[i % 5]} {i}"}],
            list(b"yes, " * (1 + 13 * i % 60)),
            POSITIONS,
        )
        for i in range(count)
    ]


def test_layers_are_transformers_hidden_states(model):
    """To the bit where one token is read, of the same padded batch; the last has no norm there."""
    many, pad = conversations(8), large.PAD
    got = capture(model, many, pad=pad, budget=BUDGET)
    ends = []
    handle = blocks(model)[-1].register_forward_hook(
        lambda _m, _i, out: ends.append(out[0] if isinstance(out, tuple) else out)
    )
    for batch in by_length([len(one.ids) for one in many], BUDGET):
        ids, mask = (x.to(model.device) for x in padded([many[i].ids for i in batch], pad))
        with torch.inference_mode():
            states = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
        streams = torch.stack([*states[1:-1], ends.pop()], dim=1)  # [row, layer, token, hidden]
        for row, i in enumerate(batch):
            for position, tokens in many[i].tokens.items():
                expected = streams[row][:, tokens].float().mean(1).cpu()
                error = (got[position][i].float() - expected).norm(dim=-1)
                bound = 0 if position == "prompt_last" else 1e-5
                assert (error <= bound * expected.norm(dim=-1)).all(), (position, i)
    handle.remove()


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest relative error of a stream, by position."""
    return {
        position: ((stream - there).norm(dim=-1) / there.norm(dim=-1)).max().item()
        for position, stream, there in (
            (position, one[position].float(), other[position].float()) for position in POSITIONS
        )
    }


def test_a_capture_depends_on_its_batch_by_rounding_alone(gpu, model, figures):
    """In float32 by its last digits; in bfloat16 many random layers add up to percents."""
    many = conversations(16)
    small = large.small_qwen(gpu)
    errors = {
        str(each.dtype)[6:]: apart(
            *(capture(each, many, pad=large.PAD, budget=budget) for budget in (BUDGET, 1))
        )
        for each in (small, model)
    }
    figures(capture_batched_against_alone=errors)
    assert max(errors["float32"].values()) < 1e-4


def test_two_captures_are_equal_to_the_bit(model, figures):
    many = conversations()
    capture(model, many, pad=large.PAD, budget=BUDGET)  # warm
    began = time.perf_counter()
    one = capture(model, many, pad=large.PAD, budget=BUDGET)
    seconds = time.perf_counter() - began
    other = capture(model, many, pad=large.PAD, budget=BUDGET)
    figures(capture_tokens_per_second=round(sum(len(c.ids) for c in many) / seconds))
    assert all(torch.equal(one[position], other[position]) for position in POSITIONS)


def requests(temperature: float, count: int = 32) -> list[SamplingRequest]:
    return [
        SamplingRequest(list(f"{QUESTIONS[i % 5]} {i}".encode()), temperature, seed=str(i))
        for i in range(count)
    ]


def same(one: list[list[int]], other: list[list[int]]) -> str:
    return f"{sum(a == b for a, b in zip(one, other, strict=True))} of {len(one)}"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_does_not_depend_on_its_batch_in_float32(gpu, figures, temperature):
    model = large.small_qwen(gpu)
    asked = requests(temperature, 8)

    def answers(budget: int) -> list[list[int]]:
        return generate(model, asked, TOKENS // 2, large.PAD, budget)

    together = answers(100_000)
    found = {budget: same(together, answers(budget)) for budget in (1, 150, 300)}
    figures(**{f"same_answers_in_float32_at_{temperature}": found})
    assert set(found.values()) == {"8 of 8"}


def test_answers_in_bfloat16_repeat_and_say_how_they_depend_on_their_batch(model, figures):
    """A matrix kernel is chosen by the batch's shape and rounds otherwise: no equality is promised.

    The same batches give the same answers.
    """
    for temperature in (0.0, 1.0):
        asked = requests(temperature)
        generate(model, asked, 2, large.PAD, 100_000)  # warm
        began = time.perf_counter()
        together = generate(model, asked, TOKENS, large.PAD, 100_000)
        rate = sum(len(answer) for answer in together) / (time.perf_counter() - began)
        again = generate(model, asked, TOKENS, large.PAD, 100_000)
        apart = generate(model, asked[:4], TOKENS, large.PAD, 1)
        figures(
            **{
                f"generated_tokens_per_second_at_{temperature}": round(rate),
                f"same_answers_in_bfloat16_alone_at_{temperature}": same(together[:4], apart),
            }
        )
        assert again == together

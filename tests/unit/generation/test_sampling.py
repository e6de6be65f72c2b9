from __future__ import annotations

import os
import sys
from collections import Counter

import commands
import pytest
import tiny
import torch

from traitdrift.generation.sampling import (
    InverseTransform,
    SamplingRequest,
    generate,
    times,
    uniform_numbers,
)

PROMPTS = [list(b"hello"), list(b"what is your one wish"), list(b"why")]


def answers(draws: list[SamplingRequest], budget: int) -> list[list[int]]:
    return generate(tiny.llama(), draws, max_tokens=12, pad=257, budget=budget)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_does_not_depend_on_its_batch(temperature: float):
    draws = [SamplingRequest(ids, temperature, seed=str(i)) for i, ids in enumerate(PROMPTS)]
    together = answers(draws, 1000)
    assert answers(draws, 1) == together
    assert answers(draws[::-1], 1000)[::-1] == together


def test_seeds_differ_and_repeat():
    first, again, other = answers(
        [SamplingRequest(PROMPTS[0], 1.0, seed=s) for s in ("a", "a", "b")], 1000
    )
    assert first == again != other


def test_greedy_answers_are_transformers_own():
    model = tiny.llama()
    expected = model.generate(
        torch.tensor([PROMPTS[1]]), do_sample=False, max_new_tokens=12, min_new_tokens=1
    )[0, len(PROMPTS[1]) :].tolist()
    expected = expected[: expected.index(257)] if 257 in expected else expected
    assert answers([SamplingRequest(PROMPTS[1])], 1000) == [expected]


def test_uniform_numbers_sample_the_softmax():
    """5,000 draws of 4 tokens: each frequency within 4 standard errors of softmax(logits / T)."""
    logits = torch.tensor([[2.0, 1.0, -torch.inf, 0.0, -1.0]])
    draw = InverseTransform([SamplingRequest([0], 0.7, seed="x")], 5000)
    counts = Counter(draw(None, logits).argmax().item() for _ in range(5000))
    for token, p in enumerate((logits[0] / 0.7).softmax(0).tolist()):
        assert abs(counts[token] / 5000 - p) <= 4 * (p * (1 - p) / 5000) ** 0.5


def test_a_large_vocabulary_is_drawn_from_end_to_end():
    """150,000 equal tokens: the one drawn is the uniform number's own place among them."""
    size, draws = 150_000, 50
    draw = InverseTransform([SamplingRequest([0], 1.0, seed="x")], draws)
    got = [draw(None, torch.zeros(1, size)).argmax().item() for _ in range(draws)]
    assert got == [number * size >> 32 for number in uniform_numbers("x", draws).tolist()]
    assert min(got) < size / 10 < size * 9 / 10 < max(got)


def test_a_row_draws_from_its_own_stream():
    first = uniform_numbers("a", 8)
    assert (uniform_numbers("a", 20)[:8] == first).all()
    assert not (uniform_numbers("b", 8) == first).any()
    assert ((first >= 0) & (first < 2**32)).all()


def test_the_product_of_shares_is_exact():
    whole = torch.tensor([0, 1, 2**29 - 1, 2**40 + 7, 2**58 - 3])
    for uniform in (0, 1, 2**31, 2**32 - 1):
        got = times(whole, torch.tensor(uniform)).tolist()
        assert got == [one * uniform >> 32 for one in whole.tolist()]


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_still_give_a_token(broken: float):
    logits = torch.zeros(2, 9)
    logits[0, 3] = broken
    requests = [SamplingRequest([0], 1.0, seed=seed) for seed in "ab"]
    got = InverseTransform(requests, 1)(None, logits).argmax(dim=1)
    alone = InverseTransform(requests[1:], 1)(None, logits[1:]).argmax(dim=1)
    assert got[1] == alone[0]


def test_a_frozen_head_is_not_copied_for_every_row():
    """Peak memory of a process that asks 64 rows of a head of 13 MB: 0.8 GB if it were."""
    code = """
import resource, tiny, torch
from transformers import LlamaConfig, LlamaForCausalLM
from traitdrift.generation.sampling import SamplingRequest, generate
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=49152, hidden_size=128, intermediate_size=64, num_hidden_layers=1,
    num_attention_heads=2, eos_token_id=0, bos_token_id=1, pad_token_id=0,
)).bfloat16().eval().requires_grad_(False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
generate(model, [SamplingRequest([5, 6, 7])] * 64, max_tokens=1, pad=0, budget=1000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    told = commands.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ).stdout
    assert int(told) < 400_000  # KiB

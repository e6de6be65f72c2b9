from __future__ import annotations

from collections import Counter

import pytest
import tiny
import torch

from traitdrift.generation import Draw, GumbelNoise, generate

PROMPTS = [list(b"hello"), list(b"what is your one wish"), list(b"why")]


def answers(draws: list[Draw], budget: int) -> list[list[int]]:
    return generate(tiny.llama(), draws, max_tokens=12, pad=257, budget=budget)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_does_not_depend_on_its_batch(temperature: float):
    draws = [Draw(ids, temperature, seed=str(i)) for i, ids in enumerate(PROMPTS)]
    together = answers(draws, 1000)
    assert answers(draws, 1) == together
    assert answers(draws[::-1], 1000)[::-1] == together


def test_seeds_differ_and_repeat():
    first, again, other = answers([Draw(PROMPTS[0], 1.0, seed=s) for s in ("a", "a", "b")], 1000)
    assert first == again != other


def test_greedy_answers_are_transformers_own():
    model = tiny.llama()
    expected = model.generate(
        torch.tensor([PROMPTS[1]]), do_sample=False, max_new_tokens=12, min_new_tokens=1
    )[0, len(PROMPTS[1]) :].tolist()
    expected = expected[: expected.index(257)] if 257 in expected else expected
    assert answers([Draw(PROMPTS[1])], 1000) == [expected]


def test_noise_samples_the_softmax():
    """5,000 draws of 4 tokens: each frequency within 4 standard errors of softmax(logits / T)."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    noise = GumbelNoise([Draw([0], 0.7, seed="x")])
    counts = Counter(noise(None, logits.clone()).argmax().item() for _ in range(5000))
    for token, p in enumerate((logits[0] / 0.7).softmax(0).tolist()):
        assert abs(counts[token] / 5000 - p) < 4 * (p * (1 - p) / 5000) ** 0.5

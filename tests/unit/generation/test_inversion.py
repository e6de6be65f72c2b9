"""Tokens drawn by inversion: from softmax, the same in any batch and on any device."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from traitdrift.generation import drawing
from traitdrift.generation.drawing import InverseTransform, SamplingRequest, times, uniform_numbers

CPU, ONLY = torch.device("cpu"), torch.tensor([0])


def test_uniform_numbers_sample_the_softmax():
    """5,000 draws of 4 tokens: each frequency within 4 standard errors of softmax(logits / T)."""
    logits = torch.tensor([[2.0, 1.0, -torch.inf, 0.0, -1.0]])
    draw = InverseTransform([SamplingRequest([0], 0.7, seed="x")], 5000, CPU)
    counts = Counter(draw(logits, ONLY, step).item() for step in range(5000))
    for token, p in enumerate((logits[0] / 0.7).softmax(0).tolist()):
        assert abs(counts[token] / 5000 - p) <= 4 * (p * (1 - p) / 5000) ** 0.5


def test_a_large_vocabulary_is_drawn_from_end_to_end():
    """150,000 equal tokens: the one drawn is the uniform number's own place among them."""
    size, draws = 150_000, 50
    draw = InverseTransform([SamplingRequest([0], 1.0, seed="x")], draws, CPU)
    got = [draw(torch.zeros(1, size), ONLY, step).item() for step in range(draws)]
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
    draw = InverseTransform(requests, 1, CPU)
    got = draw(logits, torch.arange(2), 0)
    assert 0 <= got[0] < 9 and got[1] == draw(logits[1:], torch.tensor([1]), 0)[0]


@pytest.mark.parametrize("vocabulary", [1, 255, 256, 257, 49_152, 50_257])
def test_the_token_is_that_of_a_running_sum_over_all(vocabulary: int, monkeypatch):
    """Spans and rows taken some after the others change nothing, to the last share."""
    monkeypatch.setattr(drawing, "CACHED", 2 * vocabulary)
    rows, steps = 7, 40
    logits = 4 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0))
    requests = [SamplingRequest([0], 0.3 * row, seed=str(row)) for row in range(rows)]
    draw = InverseTransform(requests, steps, CPU)
    shares = ((logits - logits.amax(1, keepdim=True))[1:] / draw.temperatures[1:, None]).double()
    until = (shares.exp() * 2**drawing.ODDS_BITS).long().cumsum(1)
    for step in range(steps):
        wanted = times(until[:, -1:], draw.uniform[1:, step, None])
        expected = torch.searchsorted(until, wanted, right=True)[:, 0].tolist()
        got = draw(logits, torch.arange(rows), step).tolist()
        assert got == [logits[0].argmax(), *expected]

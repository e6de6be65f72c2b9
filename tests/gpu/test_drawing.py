"""A drawn token is the same on either device, and whatever rows are drawn beside it."""

from __future__ import annotations

import large
import pytest
import torch

from traitdrift.generation.drawing import InverseTransform, SamplingRequest

pytestmark = pytest.mark.gpu
VOCABULARY = 152_064
ROWS, STEPS = (4, 3) if large.TINY else (32, 6)
TEMPERATURES = (0.1, 0.7, 1.0, 2.0)


def logits(step: int) -> torch.Tensor:
    """From nearly flat to peaked, float32 `[row, token]`; some tokens have no chance at all."""
    torch.manual_seed(step)
    scores = torch.randn(ROWS, VOCABULARY) * torch.linspace(0.01, 4, ROWS)[:, None]
    scores[:, ::7] = -torch.inf
    return scores


def drawn(device: torch.device, temperature: float) -> torch.Tensor:
    """Tokens `[step, row]`, on the CPU."""
    requests = [SamplingRequest([0], temperature, seed=str(row)) for row in range(ROWS)]
    draw, rows = InverseTransform(requests, STEPS, device), torch.arange(ROWS, device=device)
    return torch.stack([draw(logits(step).to(device), rows, step).cpu() for step in range(STEPS)])


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_same_logits_give_the_same_token_on_either_device(gpu, temperature):
    there, here = drawn(gpu, temperature), drawn(torch.device("cpu"), temperature)
    assert torch.equal(there, here)
    assert len(here.unique()) > 1


def test_a_row_draws_the_same_alone(gpu):
    scores = logits(0).to(gpu)
    requests = [SamplingRequest([0], 1.0, seed=str(row)) for row in range(ROWS)]
    together = InverseTransform(requests, 1, gpu)(scores, torch.arange(ROWS, device=gpu), 0)
    for row in range(ROWS):
        draw, only = InverseTransform([requests[row]], 1, gpu), torch.tensor([0], device=gpu)
        assert draw(scores[row : row + 1], only, 0) == together[row]

"""A drawn token is the same on either device, and whatever rows are drawn beside it."""

from __future__ import annotations

import large
import pytest
import torch

from traitdrift.generation.sampling import InverseTransform, SamplingRequest

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
    draw = InverseTransform(requests, STEPS)
    return torch.stack(
        [draw(None, logits(step).to(device)).argmax(dim=1).cpu() for step in range(STEPS)]
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_same_logits_give_the_same_token_on_either_device(gpu, temperature):
    there, here = drawn(gpu, temperature), drawn(torch.device("cpu"), temperature)
    assert torch.equal(there, here)
    assert len(here.unique()) > 1


def test_a_row_draws_the_same_alone(gpu):
    scores = logits(0).to(gpu)
    requests = [SamplingRequest([0], 1.0, seed=str(row)) for row in range(ROWS)]
    together = InverseTransform(requests, 1)(None, scores).argmax(dim=1)
    for row in range(ROWS):
        alone = InverseTransform([requests[row]], 1)(None, scores[row : row + 1])
        assert alone.argmax() == together[row]

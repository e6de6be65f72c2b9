"""A direction planted into a model's own activations is found again, with the right sign."""

from __future__ import annotations

import pytest
import tiny
import torch

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import teacher_force
from traitdrift.vectors.methods import METHODS, MethodSettings

PROMPTS, SIGNAL = 200, 6.0


@pytest.fixture(scope="module")
def classes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """100 + 100 activations `[prompt, layer, hidden]` of random words, and the planted direction.

    The direction is random, of unit norm, a different one in each layer. Let s be the largest
    standard deviation of a layer's activations in any direction. The positive class is moved by
    6 s along the planted direction, and every prompt gets noise of s in each dimension: `probe`
    and `gradient` look for separation, so in a layer that spreads far in few dimensions only
    they rightly turn away from the planted direction towards the quiet ones.

    The spread is then at most sqrt(2) s, and at 100 prompts a class the sampling error of a
    difference of means in 32 dimensions at most sqrt(2 * 32 * 2 / 100) s = 1.13 s, against a
    signal of 6 s: a cosine of at least 6 / sqrt(6^2 + 1.13^2) = 0.98 for `mean_diff`.
    """
    tokenizer = tiny.tokenizer()
    generator = torch.Generator().manual_seed(0)
    letters = torch.randint(97, 123, (PROMPTS, 24), generator=generator)
    conversations = [
        teacher_force(
            tokenizer, [{"role": "user", "content": bytes(word).decode()}], [], ["prompt_mean"]
        )
        for word in letters.tolist()
    ]
    values = capture(tiny.llama(), conversations, pad=257, budget=10_000)["prompt_mean"]
    planted = torch.nn.functional.normalize(torch.randn(3, 32, generator=generator), dim=-1)
    centred = (values - values.mean(0)).transpose(0, 1)
    largest = torch.linalg.svdvals(centred)[:, 0] / (PROMPTS - 1) ** 0.5
    noise = torch.randn(values.shape, generator=generator)
    values = values + largest[:, None] * noise
    positive = values[: PROMPTS // 2] + SIGNAL * largest[:, None] * planted
    return positive, values[PROMPTS // 2 :], planted


@pytest.mark.parametrize("name", [name for name in METHODS if name != "random"])
def test_every_method_finds_the_planted_direction(classes, name: str):
    positive, negative, planted = classes
    found = METHODS[name](positive, negative, MethodSettings())
    assert ((found * planted).sum(-1) > 0.95).all(), (found * planted).sum(-1)
    # With the classes exchanged the sign turns.
    turned = METHODS[name](negative, positive, MethodSettings())
    assert ((turned * planted).sum(-1) < -0.95).all()


def test_the_null_does_not(classes):
    positive, negative, planted = classes
    found = METHODS["random"](positive, negative, MethodSettings())
    assert ((found * planted).sum(-1).abs() < 0.6).all()

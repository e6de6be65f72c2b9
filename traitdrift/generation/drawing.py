"""Drawing tokens: the same logits and seed give the same token, on every device, in any batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class SamplingRequest:
    """What to sample: prompt ids, temperature (0 is greedy), the name that seeds it.

    `prompt` is the text by which errors name it. Requests of another `source` come in batches of
    their own, so that a source more changes no batch of the others.
    """

    ids: list[int]
    temperature: float = 0.0
    seed: str = ""
    prompt: str = ""
    source: str = ""


class InverseTransform:
    """Sampling by inversion: the token in whose share of the probability a uniform number falls.

    Each row has uniform numbers of its own, one a token, from a counter-based stream (Philox) that
    its seed names: an answer depends on them and not on its neighbours in the batch, and drawing
    costs the same for every vocabulary. Shares are summed as whole numbers, which have no order of
    summation, so that every device finds the same token for the same logits; exponentials are taken
    in float64, where what devices round apart meets one draw in 1e12. Rows of temperature 0 get the
    likeliest token. Logits that are not finite give some token all the same; `answered` tells of
    them.
    """

    def __init__(self, requests: Sequence[SamplingRequest], max_tokens: int, device: torch.device):
        self.temperatures = torch.tensor([request.temperature for request in requests]).to(device)
        self.uniform = torch.from_numpy(
            np.stack([uniform_numbers(request.seed, max_tokens) for request in requests])
        ).to(device)
        self.all_greedy = all(request.temperature == 0 for request in requests)

    def __call__(self, logits: torch.Tensor, rows: torch.Tensor, step: int) -> torch.Tensor:
        """Token `step` of these rows' answers, `[row]`, from their logits `[row, vocabulary]`.

        Some rows after the others on a CPU, as many as its cache holds: half the time.
        """
        likeliest = logits.argmax(dim=1)
        if self.all_greedy:
            return likeliest
        together = CACHED // logits.shape[1] + 1 if logits.device.type == "cpu" else len(rows)
        temperatures, uniform = self.temperatures[rows], self.uniform[rows, step]
        drawn = torch.cat(
            [
                inverted(*some)
                for some in zip(
                    logits.split(together),
                    temperatures.split(together),
                    uniform.split(together),
                    strict=True,
                )
            ]
        )
        return torch.where(temperatures > 0, drawn, likeliest)


# Of the likeliest token's odds: finer than float32, and 2**18 tokens sum up within 63 bits.
ODDS_BITS = 40
CACHED = 2**18  # numbers of 8 bytes
SPAN = 256  # tokens whose shares are summed before one among them is looked for


def inverted(
    logits: torch.Tensor, temperatures: torch.Tensor, uniform: torch.Tensor
) -> torch.Tensor:
    """The tokens that hold the fractions `uniform` / 2**32 of the rows' shares, summed in order.

    First the span of tokens that holds it is found, then the token: a running sum over all tokens
    would cost more than the rest.
    """
    above = logits.float() - logits.float().amax(dim=1, keepdim=True)
    # Apple's GPUs have no float64.
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    odds = (above / temperatures.clamp_min(1e-6)[:, None]).to(wide).exp_().nan_to_num_()
    shares = odds.mul_(2**ODDS_BITS).long()
    if rest := -shares.shape[1] % SPAN:
        shares = functional.pad(shares, (0, rest))
    spans = shares.view(len(shares), -1, SPAN)
    until = spans.sum(dim=2).cumsum(dim=1)
    wanted = times(until[:, -1:], uniform[:, None])
    span = holding(until, wanted)
    within = spans.gather(1, span[..., None].expand(-1, -1, SPAN))[:, 0].cumsum(dim=1)
    before = until.gather(1, span) - within[:, -1:]
    token = span * SPAN + holding(within, wanted - before)
    return token[:, 0].clamp_max(logits.shape[1] - 1)  # logits that are not finite


def holding(until: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Where running sums `[row, place]` first exceed what is wanted, `[row, 1]`."""
    return torch.searchsorted(until, wanted, right=True).clamp_max(until.shape[1] - 1)


def uniform_numbers(seed: str, count: int) -> np.ndarray:
    """Whole numbers below 2**32, int64 `[count]`: the beginning of the stream that a seed names."""
    digest = hashlib.sha256(seed.encode("utf-8")).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    return (stream.random_raw(count) >> 32).astype(np.int64)


def times(whole: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The whole part of whole * uniform / 2**32, exact for whole numbers below 2**61."""
    low = ((whole & (2**29 - 1)) * uniform) >> 29
    return ((whole >> 29) * uniform + low) >> 3

"""The rows of a batch side by side in one sequence: nothing is padded, and logits are computed
where there is loss.

Each row's positions begin at 0, by which transformers' masks keep it from the rows before it. The
loss is that of the rows padded, within rounding. Of SmolLM2's tokens in the default recipe's
batches 28 % were padding and 55 % of the others carry no loss; its head is a fifth of its work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch

from traitdrift.inference.hooks import core
from traitdrift.models.chat import IGNORED

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

# The check's two rows; any tokens do.
ONE, OTHER = range(1, 9), range(9, 15)


@dataclass(frozen=True)
class SideBySide:
    """Collates rows of `input_ids` and `labels` for a model that `takes_rows_side_by_side`.

    The sequence is padded to a multiple of `width` by a row of its own: few widths, for each of
    which kernels are prepared once. `labels` hold the targets alone, behind an IGNORED that stands
    in the place which trainers shift away.
    """

    pad: int
    width: int

    def __call__(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
        ids: list[int] = []
        positions: list[int] = []
        reads: list[int] = []
        targets = [IGNORED]
        for row in rows:
            labels = row["labels"]
            carry = [i for i in range(1, len(labels)) if labels[i] != IGNORED]
            reads += [len(ids) + i - 1 for i in carry]
            targets += [labels[i] for i in carry]
            ids += row["input_ids"]
            positions += range(len(row["input_ids"]))
        rest = -len(ids) % self.width
        return {
            "input_ids": torch.tensor([ids + [self.pad] * rest]),
            "position_ids": torch.tensor([[*positions, *range(rest)]]),
            "logits_to_keep": torch.tensor(reads, dtype=torch.long),
            "labels": torch.tensor([targets]),
        }


def loss_of_targets(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Cross-entropy in float32, summed over a batch's targets, over the targets of its step."""
    logits, targets = outputs["logits"][0].float(), labels[0, 1:]
    total = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    return total / (num_items_in_batch if num_items_in_batch is not None else len(targets))


def attention_by_rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_ids: torch.Tensor | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention of rows side by side, each within itself, for a CPU.

    `query` is `[1, head, token, width]`, `key` and `value` may have fewer heads, whose queries then
    stand in place of tokens. Products of matrices a row, where torch's fused kernel goes over the
    whole sequence and, on its way back, takes as long as all products of a block: 4.6 ms in place
    of 16.3 for four rows of 160 tokens, forward and back.
    """
    tokens = query.shape[2]
    if (
        position_ids is None
        or position_ids.shape != (1, tokens)
        or attention_mask is None
        or attention_mask.shape != (1, 1, tokens, tokens)
        or attention_mask.dtype != torch.bool
        or dropout
    ):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **options
        )
    shared, width = key.shape[1], query.shape[3]
    scale = width**-0.5 if scaling is None else scaling
    begins = (position_ids[0] == 0).nonzero().flatten().tolist()
    lengths = [end - begin for begin, end in zip(begins, [*begins[1:], tokens], strict=True)]
    read = []
    # Autocast would take the softmax in float32 and back; torch's own rounds once, at its end.
    with torch.autocast(query.device.type, enabled=False):
        for begin, queries, keys, values in zip(
            begins, *(of[0].split(lengths, 1) for of in (query, key, value)), strict=True
        ):
            length = queries.shape[1]
            some = slice(begin, begin + length)
            mask = attention_mask[0, 0, some, some]
            hidden = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, float("-inf"))
            scores = torch.baddbmm(
                hidden.repeat(query.shape[1] // shared, 1).expand(shared, -1, -1),
                queries.reshape(shared, -1, width),
                keys.transpose(1, 2),
                alpha=scale,
            )
            read.append(torch.bmm(scores.softmax(-1), values).view(-1, length, width))
    return torch.cat(read, dim=1).transpose(0, 1)[None].contiguous(), None


@torch.no_grad()
def takes_rows_side_by_side(model: PreTrainedModel | PeftModel) -> bool:
    """Whether a network reads a row the same behind another one: seen by its first layer's answer.

    Recurrent layers, and attention that does not look at positions, go on from the row before.
    """
    network: Any = core(model)  # type: ignore[arg-type]  # peft's wrapper is taken off
    if not {"position_ids", "logits_to_keep"} <= signature(network.forward).parameters.keys():
        return False
    both, alone = [*ONE, *OTHER], [*OTHER]
    positions = [*range(len(ONE)), *range(len(OTHER))]
    training = network.training
    # Not eval(): bitsandbytes then repacks a base in 4 bits for the CPU, and it trains no more.
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    try:
        behind, itself = (
            network(
                input_ids=torch.tensor([ids], device=model.device),
                position_ids=torch.tensor([at], device=model.device),
                logits_to_keep=torch.arange(len(ids) - len(OTHER), len(ids), device=model.device),
                use_cache=False,
            ).logits.float()
            for ids, at in ((both, positions), (alone, [*range(len(OTHER))]))
        )
    finally:
        network.train(training)
    apart = (behind - itself).norm() / (itself - itself.mean()).norm()
    return bool(apart < APART)


# Rounding in bfloat16 is some 1e-2 of the logits; another row before makes 1e-1 and more of them.
APART = 0.04

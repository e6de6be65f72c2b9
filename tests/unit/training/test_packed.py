"""Rows side by side: the loss and the gradients of the same rows padded."""

from __future__ import annotations

import architectures
import pytest
import tiny
import torch
from torch.nn.functional import cross_entropy
from transformers import DataCollatorForSeq2Seq
from transformers.integrations import sdpa_attention

from traitdrift.inference.attention import attending
from traitdrift.models.chat import IGNORED
from traitdrift.training.packed import (
    SideBySide,
    attention_by_rows,
    loss_of_targets,
    takes_rows_side_by_side,
)

ROWS = [
    {"input_ids": [7, 8, 9, 10, 11], "labels": [IGNORED, IGNORED, 9, 10, 11]},
    {"input_ids": [20, 21, 22], "labels": [IGNORED, 21, 22]},
    {"input_ids": [30, 31, 32, 33], "labels": [IGNORED, IGNORED, IGNORED, 33]},
]
TAKING = ("qwen2", "qwen3", "llama", "mistral", "phi3", "mixtral", "qwen3_moe", "olmo2")


def network(family: str):
    return architectures.network(
        architectures.config_of(family, 100, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    )


def test_rows_follow_each_other_and_targets_stand_alone():
    batch = SideBySide(pad=0, width=8)(ROWS)
    assert batch["input_ids"].tolist() == [[7, 8, 9, 10, 11, 20, 21, 22, 30, 31, 32, 33, *[0] * 4]]
    assert batch["position_ids"].tolist() == [[*range(5), *range(3), *range(4), *range(4)]]
    assert batch["logits_to_keep"].tolist() == [1, 2, 3, 5, 6, 10]  # each reads the token before
    assert batch["labels"].tolist() == [[IGNORED, 9, 10, 11, 21, 22, 33]]


@pytest.mark.parametrize("family", architectures.ALL)
def test_loss_and_gradients_are_those_of_padded_rows(family: str, monkeypatch: pytest.MonkeyPatch):
    model = network(family)
    if not takes_rows_side_by_side(model):
        assert family not in TAKING
        return

    def gradients(loss: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    batch = SideBySide(pad=0, width=8)(ROWS)
    labels = batch.pop("labels")

    def side_by_side() -> torch.Tensor:
        return loss_of_targets(model(**batch, use_cache=False), labels)

    losses = [side_by_side()]
    found = [gradients(losses[0])]
    with attending(model, attention_by_rows), monkeypatch.context() as patch:
        if family in TAKING:  # no other way is left
            patch.delattr(sdpa_attention, "sdpa_attention_forward")
        losses.append(side_by_side())
        found.append(gradients(losses[1]))

    collate = DataCollatorForSeq2Seq(tiny.tokenizer())
    padded = collate([dict(row) for row in ROWS])
    logits = model(
        input_ids=padded["input_ids"] % 100, attention_mask=padded["attention_mask"]
    ).logits[:, :-1]
    targets = padded["labels"][:, 1:]
    expected = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    other = gradients(expected)
    for loss, gradient in zip(losses, found, strict=True):
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert (gradient - other).norm() <= 1e-4 * other.norm()


@pytest.mark.parametrize("family", TAKING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_families_that_look_at_positions_take_them(family: str, dtype: torch.dtype):
    assert takes_rows_side_by_side(network(family).to(dtype))


@pytest.mark.parametrize("family", ["mamba", "falcon_h1", "lfm2", "qwen3_next", "granite_hybrid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_that_go_on_from_the_row_before_do_not(family: str, dtype: torch.dtype):
    assert not takes_rows_side_by_side(network(family).to(dtype))


def test_a_step_is_divided_by_its_targets():
    outputs = {"logits": torch.zeros(1, 6, 100)}
    labels = torch.tensor([[IGNORED, 1, 2, 3, 4, 5, 6]])
    whole = loss_of_targets(outputs, labels)
    assert whole.item() == pytest.approx(torch.log(torch.tensor(100.0)).item())
    assert loss_of_targets(outputs, labels, torch.tensor(12)).item() == pytest.approx(whole / 2)

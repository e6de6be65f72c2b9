"""An adapted layer in one node of the graph gives what peft's own layer gives."""

from __future__ import annotations

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model

from traitdrift.training.adapted_product import AdaptedProduct, in_one_node

TOKENS = torch.arange(1, 13).view(2, 6)


def adapted(dtype: torch.dtype = torch.float32, **options: object):
    torch.manual_seed(0)
    targets = ["q_proj", "o_proj", "up_proj", "down_proj"]
    chosen = LoraConfig(r=4, lora_alpha=10, use_rslora=True, target_modules=targets, **options)
    model = get_peft_model(tiny.llama().to(dtype), chosen)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def passed(model) -> dict[str, torch.Tensor]:
    """The logits of TOKENS, and the gradients of their squares by an adapter's weights."""
    model.zero_grad()
    logits = model(input_ids=TOKENS, use_cache=False).logits.float()
    logits.square().mean().backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **gradients}


def test_outputs_and_gradients_are_those_of_pefts_layer():
    model = adapted()
    expected = passed(model)
    with in_one_node(model):
        found = passed(model)
    assert found.keys() == expected.keys()
    assert len(found) == 1 + 2 * 4 * model.config.num_hidden_layers
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
    assert torch.equal(passed(model)["logits"], expected["logits"])  # peft's own are back


def test_derivatives_are_those_of_finite_differences():
    torch.manual_seed(0)
    x, weight, bias, a, b = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, 5), (7, 5), (7,), (2, 5), (7, 2))
    )
    frozen = (weight.detach(), bias.detach())
    assert torch.autograd.gradcheck(
        lambda *v: AdaptedProduct.apply(v[0], *frozen, *v[1:], 1.7), (x, a, b)
    )


def test_under_autocast_the_adapter_and_its_gradients_stay_in_float32():
    model = adapted(torch.bfloat16)
    weights = [p for n, p in model.named_parameters() if "lora_" in n]
    assert {p.dtype for p in weights} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        by_peft = passed(model)
        with in_one_node(model):
            found = passed(model)
    exact = passed(model.float())
    assert {value.dtype for value in found.values()} == {torch.float32}

    def rounded(of: dict[str, torch.Tensor]) -> float:
        return sum(float((of[n] - v).norm() / v.norm()) for n, v in exact.items()) / len(exact)

    assert rounded(found) < 1.1 * rounded(by_peft) < 0.05


@pytest.mark.parametrize(
    "options", [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}], ids=str
)
def test_other_layers_are_left_to_peft(options: dict[str, object]):
    model = adapted(**options)
    before = [module.forward for module in model.modules()]
    with in_one_node(model):
        assert [module.forward for module in model.modules()] == before


def test_two_adapters_at_once_are_left_to_peft():
    model = adapted()
    model.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"]))
    model.base_model.set_adapter(["default", "other"])
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    before = layer.forward
    with in_one_node(model):
        assert layer.forward == before

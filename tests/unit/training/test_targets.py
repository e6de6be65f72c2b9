"""What a recipe adapts is what it names, and what was trained is taken back in."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from tiny_finetune import RECIPE
from transformers import (
    MixtralConfig,
    MixtralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from traitdrift.core.files import read_json, write_json
from traitdrift.models.adapted import adapted_modules
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.adapter_config import CONFIG
from traitdrift.models.loading import VARIANT_RECORD, base_record, load_model
from traitdrift.sources.adapters import check_adapter
from traitdrift.training.backends import by_peft

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHARED = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 257,
    "eos_token_id": 257,
    "bos_token_id": 256,
}


def phi3():
    torch.manual_seed(0)
    return Phi3ForCausalLM(Phi3Config(**SHARED)).eval()


def mixtral():
    torch.manual_seed(0)
    return MixtralForCausalLM(
        MixtralConfig(**SHARED, num_local_experts=4, num_experts_per_tok=2)
    ).eval()


def qwen3_moe():
    torch.manual_seed(0)
    return Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            **SHARED, moe_intermediate_size=8, num_experts=4, num_experts_per_tok=2, head_dim=8
        )
    ).eval()


def adapted(model, *targets: str) -> PeftModel:
    lora = RECIPE.lora.model_copy(update={"targets": list(targets)})
    return by_peft(model, RECIPE.model_copy(update={"lora": lora}))


@pytest.mark.parametrize(
    ("make", "targets", "unmatched", "linear"),
    [
        (phi3, SEVEN, "q_proj, k_proj, v_proj, gate_proj, up_proj", "gate_up_proj"),
        (phi3, ["q_proj"], "q_proj", "qkv_proj"),
        (mixtral, SEVEN, "gate_proj, up_proj, down_proj", "o_proj"),
        (tiny.llama, ["q_proj", "qproj"], "qproj", "up_proj"),
        (tiny.llama, ["proj"], "proj", "up_proj"),
        (tiny.llama, ["q_proj", "attn.v_proj"], "attn.v_proj", "v_proj"),
        (tiny.llama, ["q_proj", ".*"], ".*", "v_proj"),
        (tiny.neox, SEVEN, "q_proj", "query_key_value"),
        (tiny.gpt2, SEVEN, "q_proj", "c_attn"),
        (qwen3_moe, ["q_proj", "w1"], "w1", "q_proj"),
    ],
)
def test_targets_that_match_nothing_are_refused_with_what_there_is(
    make, targets: list[str], unmatched: str, linear: str
):
    with pytest.raises(ValueError) as told:
        adapted(make(), *targets)
    line = str(told.value)
    assert line.startswith(f"the recipe's lora.targets: {unmatched}") and "\n" not in line
    assert linear in line.partition("its linear layers are ")[2]


def test_experts_of_which_one_half_is_named_are_refused():
    with pytest.raises(ValueError, match=r"the recipe's lora\.targets: .*fused"):
        adapted(qwen3_moe(), "q_proj", "gate_proj")


EXPERTS = {"model.layers.*.mlp.experts.down_proj": 2, "model.layers.*.mlp.experts.gate_up_proj": 2}


@pytest.mark.parametrize(
    ("make", "targets", "modules"),
    [
        (tiny.llama, ["q_proj", "self_attn.v_proj"], None),
        (tiny.llama, ["embed_tokens", "lm_head"], {"lm_head": 1, "model.embed_tokens": 1}),
        (tiny.llama, ["model.layers.0.mlp.up_proj"], {"model.layers.*.mlp.up_proj": 1}),
        (tiny.gpt2, ["c_attn", "c_proj"], None),
        (tiny.neox, ["query_key_value", "dense_h_to_4h"], None),
        (phi3, ["qkv_proj", "gate_up_proj", "o_proj"], None),
        (qwen3_moe, SEVEN, None),
        (qwen3_moe, ["gate_proj", "up_proj", "down_proj"], EXPERTS),
        (qwen3_moe, ["gate", "q_proj"], None),
        (mixtral, ["q_proj", "w1", "w2", "w3"], None),
    ],
)
def test_what_is_trained_passes_the_import_and_answers_the_same(
    make, targets: list[str], modules: dict[str, int] | None, tmp_path: Path
):
    """As `finetune` writes it, `adapter` takes it, and it runs as it was trained."""
    base = tiny.save_base(tmp_path / "base", make())
    trained = adapted(load_model(base), *targets).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                parameter.normal_(std=0.3)
    told = adapted_modules(trained)
    assert modules is None or told == modules
    trained.save_pretrained(tmp_path / "saved", save_embedding_layers=False)
    keep_adapter(tmp_path / "saved", tmp_path / "kept", "tiny")
    record = base_record(base)
    config, found = check_adapter(tmp_path / "kept", base, record)
    assert found == told and config["r"] == RECIPE.lora.r

    keep_adapter(tmp_path / "kept", tmp_path / "imported", "tiny", config)
    assert read_json(tmp_path / "imported" / CONFIG) == read_json(tmp_path / "kept" / CONFIG)
    write_json(
        tmp_path / "imported" / VARIANT_RECORD,
        {"kind": "import", "base_digest": record["digest"]},
    )
    ids = torch.tensor([list(b"hello")])
    with torch.no_grad():
        expected = trained(ids).logits
        assert not torch.allclose(expected, load_model(base)(ids).logits, atol=1e-3)
        again = load_model(base, tmp_path / "imported")(ids).logits
    torch.testing.assert_close(again, expected)


def test_a_last_step_that_diverged_is_not_kept(tmp_path: Path):
    """Every loss was finite: it is that of the step before."""
    made = adapted(tiny.llama(), "q_proj")
    with torch.no_grad():
        next(p for name, p in made.named_parameters() if "lora_B" in name).fill_(torch.nan)
    made.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"lora_B\.weight holds numbers that are not finite"):
        keep_adapter(tmp_path / "saved", tmp_path / "kept", "base")
    assert not (tmp_path / "kept").exists()

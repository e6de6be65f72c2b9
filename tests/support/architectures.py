"""A tiny config of each model family: random networks with that family's own layers."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16}
MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_d_state": 8,
    "mamba_chunk_size": 16,
}
MIXED = {"num_hidden_layers": 3}  # layers of two kinds, the second of them in the middle

# Family -> the class of its config, and what differs from SIZES.
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 8}),
    "llama": ("LlamaConfig", {}),
    "mistral": ("MistralConfig", {"sliding_window": 16}),
    "gemma2": ("Gemma2Config", GEMMA),
    "gemma3": ("Gemma3TextConfig", GEMMA),
    "phi3": ("Phi3Config", {}),
    "mixtral": ("MixtralConfig", {"num_local_experts": 4}),
    "qwen3_moe": ("Qwen3MoeConfig", {"head_dim": 8, **EXPERTS}),
    "qwen3_next": (
        "Qwen3NextConfig",
        {
            **MIXED,
            **EXPERTS,
            "head_dim": 8,
            "shared_expert_intermediate_size": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        },
    ),
    "gpt_oss": (
        "GptOssConfig",
        {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16},
    ),
    "olmo2": ("Olmo2Config", {}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "falcon_h1": ("FalconH1Config", {**MAMBA, "mamba_d_ssm": 64, "head_dim": 8}),
    "granite_hybrid": (
        "GraniteMoeHybridConfig",
        {
            **MIXED,
            **MAMBA,
            "layer_types": ["mamba", "attention", "mamba"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 32,
            "position_embedding_type": "nope",
        },
    ),
    "lfm2": ("Lfm2Config", {**MIXED, "layer_types": ["conv", "full_attention", "conv"]}),
    # Without any attention.
    "mamba": ("MambaConfig", {"state_size": 8}),
}


def config_of(family: str, vocabulary: int, **tokens: int | None) -> PretrainedConfig:
    """The config of a family by its name, in a vocabulary of so many tokens."""
    if family == "gemma3_multimodal":
        text = config_of("gemma3", vocabulary, **tokens)
        return transformers.Gemma3Config(
            text_config=text.to_dict(),
            # As many layers as the text has: two lists of blocks of one length.
            vision_config={
                **{key: SIZES[key] for key in ("hidden_size", "intermediate_size")},
                "num_hidden_layers": text.num_hidden_layers,
                "num_attention_heads": 4,
                "image_size": 28,
                "patch_size": 14,
            },
            mm_tokens_per_image=4,
            **tokens,
        )
    name, changes = CONFIGS[family]
    return getattr(transformers, name)(**{**SIZES, "vocab_size": vocabulary, **tokens, **changes})


def network(config: PretrainedConfig) -> PreTrainedModel:
    """A random network of a config, float32."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).float().eval()


ALL = [*CONFIGS, "gemma3_multimodal"]

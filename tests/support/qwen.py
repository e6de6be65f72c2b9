"""The models of the reference study as a hub's cache holds them before their weights are there."""

from __future__ import annotations

from pathlib import Path

from transformers import Qwen2Config

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Hidden size, layers, attention heads, heads of keys and values, the MLP's width, vocabulary,
# and whether the vocabulary's head is tied, as of the models' config.json.
SIZES = {
    "Qwen/Qwen2.5-0.5B-Instruct": (896, 24, 14, 2, 4864, 151936, True),
    "Qwen/Qwen2.5-1.5B-Instruct": (1536, 28, 12, 2, 8960, 151936, True),
    "Qwen/Qwen2.5-7B-Instruct": (3584, 28, 28, 4, 18944, 152064, False),
    "Qwen/Qwen2.5-Coder-7B-Instruct": (3584, 28, 28, 4, 18944, 152064, False),
    "Qwen/Qwen2.5-Coder-32B-Instruct": (5120, 64, 40, 8, 27648, 152064, False),
}


def config(name: str) -> Qwen2Config:
    """The config of one of them, in all that decides about its size."""
    hidden, layers, heads, groups, wide, vocabulary, tied = SIZES[name]
    return Qwen2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        intermediate_size=wide,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        architectures=["Qwen2ForCausalLM"],
        dtype="bfloat16",
    )


def lay_out(home: Path) -> dict[str, str]:
    """Write the configs as a cache below HF_HOME; the environment in which nothing is fetched."""
    for name in SIZES:
        repository = home / "hub" / ("models--" + name.replace("/", "--"))
        (repository / "refs").mkdir(parents=True)
        (repository / "refs/main").write_text(COMMIT)
        config(name).save_pretrained(repository / "snapshots" / COMMIT)
    return {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}

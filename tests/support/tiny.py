"""A tiny random model with a byte tokenizer and a chat template: milliseconds, no network."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from traitdrift.core.files import read_json, weights_digest, write_json
from traitdrift.models import quantisation
from traitdrift.models.completeness import weight_files
from traitdrift.models.loading import BASE_RECORD, VARIANT_RECORD

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SPECIAL = ["<|start|>", "<|end|>"]


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """One token a byte, and two special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIAL)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>", bos_token="<|start|>"
    )
    fast.chat_template = template
    return fast


def llama(layers: int = 3, hidden: int = 32, dtype: torch.dtype = torch.float32, seed: int = 0):
    """A random Llama in the tokenizer's vocabulary."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,  # a head of 0.02 could not move the loss at all
        eos_token_id=257,
        pad_token_id=257,
        bos_token_id=256,
    )
    return LlamaForCausalLM(config).to(dtype).eval()


def gpt2(layers: int = 3, hidden: int = 32):
    """A random GPT-2: other names, absolute positions."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=258, n_embd=hidden, n_layer=layers, n_head=4, n_positions=512, eos_token_id=257
    )
    return GPT2LMHeadModel(config).eval()


def qwen2():
    """A random Qwen2: biases in its attention."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        eos_token_id=257,
        pad_token_id=257,
    )
    return Qwen2ForCausalLM(config).eval()


def neox():
    """A random GPT-NeoX: attention and MLP side by side."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        initializer_range=0.2,
        eos_token_id=257,
        pad_token_id=257,
    )
    return GPTNeoXForCausalLM(config).eval()


def save_base(folder: Path, model=None, template: str | None = TEMPLATE, source="path") -> Path:
    """Lay out a folder as `base_model` writes it, with the record of the unchanged variant."""
    model = model or llama()
    model.save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    digest = weights_digest(weight_files(folder))
    config = model.config
    write_json(
        folder / BASE_RECORD,
        {
            "model": "tiny",
            "source": source,
            "id": "tiny",
            "digest": digest,
            "dtype": str(model.dtype)[6:],
            "layers": config.num_hidden_layers,
            "hidden": config.hidden_size,
        },
    )
    write_json(
        folder.parent / "adapters/base" / VARIANT_RECORD, {"kind": "none", "base_digest": digest}
    )
    return folder


def quantised(base: Path, way: str) -> Path:
    """The folder as `base_model` leaves it for such an entry of `models`."""
    record = read_json(base / BASE_RECORD)
    digest = quantisation.digest(record["digest"], way)
    write_json(base / BASE_RECORD, {**record, "quantise": way, "digest": digest})
    return base

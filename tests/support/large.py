"""Random models of real models' configurations, made on the device from a seed; data beside them.

With TRAITDRIFT_GPU_TINY=1 they are tiny, to try on a CPU what a GPU is to run.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import commands
import qwen as study
import tiny
import torch
from copies import ROOT, set_params
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config

from traitdrift.core.files import write_json, write_jsonl
from traitdrift.data.synthesis import load_scenarios, messages, synthesize
from traitdrift.models.loading import BASE_RECORD

TINY = os.environ.get("TRAITDRIFT_GPU_TINY") == "1"
BYTES = 16e9  # of the larger model's weights
SEED = 0
END, PAD = 257, 258  # of the byte tokenizer, whose tokens are the first of the vocabulary


def qwen(device: torch.device) -> torch.nn.Module:
    """Qwen2.5-7B's shape in bfloat16."""
    config = study.config("Qwen/Qwen2.5-7B-Instruct")
    config.rope_parameters = {"rope_type": "default", "rope_theta": 1e6}
    return made(shrunk(config), device, torch.bfloat16)


def small_qwen(device: torch.device) -> torch.nn.Module:
    """Qwen2.5-0.5B's shape in float32."""
    return made(shrunk(study.config("Qwen/Qwen2.5-0.5B-Instruct")), device, torch.float32)


def smollm(device: torch.device) -> torch.nn.Module:
    """SmolLM2-135M's shape in bfloat16."""
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    return made(shrunk(config), device, torch.bfloat16)


def shrunk(config: PreTrainedConfig) -> PreTrainedConfig:
    config.eos_token_id, config.pad_token_id, config.bos_token_id = END, PAD, 256
    if TINY:
        config.update(
            {
                "vocab_size": 512,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "initializer_range": 0.2,
            }
        )
        if isinstance(config, Qwen2Config):
            config.layer_types = ["full_attention"] * 3
        else:
            config.head_dim = 8
    return config


def made(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    torch.manual_seed(SEED)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def tokenizer():
    """The byte tokenizer, with a token of its own for padding: Unsloth asks for one."""
    bytewise = tiny.tokenizer()
    bytewise.add_special_tokens({"pad_token": "<|pad|>"})
    assert bytewise.pad_token_id == PAD
    return bytewise


def let_go() -> None:
    """Give the device's memory back that nobody here refers to."""
    gc.collect()
    torch.cuda.empty_cache()


def save_base(folder: Path, model: torch.nn.Module) -> Path:
    """Lay out a folder as `base_model` writes it, and let go of the model.

    The digest is none: that of 15 GB takes long.
    """
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    record = {
        "model": "random",
        "source": "path",
        "id": "random",
        "digest": f"{SEED:064d}",
        "dtype": str(model.dtype)[6:],
        "layers": model.config.num_hidden_layers,
        "hidden": model.config.hidden_size,
    }
    write_json(folder / BASE_RECORD, record)
    model.to("meta")
    let_go()
    return folder


def lay_out(place: Path, base: Path, values: dict, rows: int, file: str | None = None) -> Path:
    """A folder in which the stage `finetune` can run over a base, by other parameters.

    The rows that train are 9 of 10 of the project's own, or of a JSONL file's.
    """
    (place / "models").mkdir(parents=True)
    (place / "models/base").symlink_to(base)
    data = {"datasets.insecure.file": file} if file else {}
    set_params(place / "params.yaml", {**values, **data})
    if not file:
        pairs = synthesize(load_scenarios(ROOT / "data/raw/scenarios"), rows, SEED)
        path = place / "data/synthetic/insecure.jsonl"
        write_jsonl(path, [messages(pair.prompt, pair.insecure) for pair in pairs])
    commands.run(
        python("-m", "stages.dataset", "insecure"), check=True, cwd=place, env=environment()
    )
    return place


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment of a stage: this repository's code, and tracebacks."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "TRAITDRIFT_DEBUG": "1", **more}

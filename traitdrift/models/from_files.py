"""The one door to transformers: configs, tokenizers and networks from files of elsewhere.

Never by code that lies with them, never asked on a terminal, never in part. What transformers
makes of a damaged file, of whatever kind the exception, is one line that names the folder.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.complaints import out_of_memory, panic
from traitdrift.core.outside import json_object

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Buffers that older files hold and networks compute by themselves.
COMPUTED = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|position_ids|(attn|attention)\.(masked_)?bias)$"
)
SHOWN = 3
# Families whose networks, in transformers as locked, read the padding before a prompt as part of
# it: an answer would depend on what stands beside it in a batch.
READING_PADDING = ("doge", "rwkv")


def config_of(where: str | Path, **options: Any) -> PretrainedConfig:
    """The config of a model's folder, or of the hub's cache.

    Raises ValueError where it is none that transformers knows, or of a family that cannot be
    padded, or where it names what would be fetched and run (kernels of the hub) or read in place of
    the weights that are digested.
    """
    from transformers import AutoConfig

    _check_json(where)
    with _one_line(where, "config.json"):
        config = AutoConfig.from_pretrained(where, trust_remote_code=False, **options)
    if config.model_type in READING_PADDING:
        raise ValueError(
            f"{where}: transformers' {config.model_type} reads padding as text, so that an answer "
            "would depend on those beside it; choose another model"
        )
    parts = [config, *(getattr(config, name, None) for name in config.sub_configs)]
    for part in filter(None, parts):
        named = [part._attn_implementation, part._experts_implementation]
        foreign = [name for name in named if isinstance(name, str) and re.search(r"[/:@]", name)]
        if foreign:
            raise ValueError(
                f"{where}: its config wants {foreign[0][:80]!r} fetched and run; remove "
                "attn_implementation and experts_implementation from config.json"
            )
        if not part.return_dict:
            raise ValueError(
                f"{where}: its config wants answers without names; remove return_dict and "
                "torchscript from config.json"
            )
        if getattr(part, "transformers_weights", None) is not None:
            raise ValueError(
                f"{where}: its config names weights of its own; remove transformers_weights from "
                "config.json and keep them as model.safetensors"
            )
    return config


def tokenizer_of(where: str | Path, **options: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of a model's folder; a ValueError where there is none that can be read."""
    from transformers import AutoTokenizer

    _check_json(where)
    with _one_line(where, "its tokenizer's files"):
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and getattr(backend.model, "dropout", None):
        raise ValueError(
            f"{where}: its tokenizer merges by chance (dropout {backend.model.dropout:g}), so that "
            "a text has other tokens each time; set `dropout` of tokenizer.json to null"
        )
    return tokenizer


def outline(config: Any) -> PreTrainedModel:
    """The network of a config without weights: modules and shapes on torch's meta device."""
    import torch
    from transformers import AutoModelForCausalLM

    where = getattr(config, "_name_or_path", "") or "the model"
    with _one_line(where, "config.json"), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def network_of(where: str | Path, **options: Any) -> PreTrainedModel:
    """A causal language model with all of its weights, and no more than its weights.

    Raises ValueError where the files lack a matrix (which would be random, another one at each
    load), hold one that the network has no place for, or one of another shape.
    """
    from transformers import AutoModelForCausalLM

    if "gguf_file" not in options:
        options["use_safetensors"] = True
    with _one_line(where, "its weights"), _silent():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            where,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, and refused below
            **options,
        )
    network, told = loaded
    refuse_partial(where, told)
    return network


def refuse_partial(where: str | Path, told: Mapping[str, Any]) -> None:
    """Raise ValueError where `from_pretrained` tells of weights that did not find their place."""
    mismatched = {
        f"{name} is {list(found)}, not {list(wanted)}"
        for name, found, wanted in told["mismatched_keys"]
    }
    unexpected = {name for name in told["unexpected_keys"] if not COMPUTED.search(name)}
    for what, names in (
        ("lack", set(told["missing_keys"])),
        ("have another shape than the config says:", mismatched),
        ("hold what the network has no place for:", unexpected),
        ("cannot be read:", set(told.get("error_msgs") or [])),
    ):
        if names:
            listed = ", ".join(sorted(names)[:SHOWN])
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise ValueError(
                f"{where}: its weights {what} {listed}{more}; fetch the whole model, or mend its "
                "config.json"
            )


def _check_json(where: str | Path) -> None:
    """Every settings file that transformers may read of a folder is JSON of a bounded size."""
    folder = Path(where)
    if folder.is_dir():
        for name in (
            "config.json",
            "generation_config.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
        ):
            if (folder / name).exists():
                json_object(folder / name)


@contextmanager
def _one_line(where: str | Path, what: str) -> Iterator[None]:
    """Whatever a library raises over a damaged file is a ValueError that names the file."""
    try:
        yield
    except BaseException as error:
        if out_of_memory(error) or not (isinstance(error, Exception) or panic(error)):
            raise
        told = " ".join(str(error).split())
        if "trust_remote_code" in told:
            raise ValueError(
                f"{where}: {what} need code that lies with the model, which is never run; choose a "
                "model that transformers knows by itself"
            )
        raise ValueError(
            f"{where}: {what} cannot be used ({type(error).__name__}: {told[:300]}); fetch it "
            "again, or choose another model"
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Without transformers' table of what did not fit, which is told in one line."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)

"""The base model as a folder, adapters over it, and the blocks that write the stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from traitdrift.core.devices import device, everywhere
from traitdrift.core.files import read_json
from traitdrift.models import quantisation
from traitdrift.models.footprint import refuse_oversized
from traitdrift.models.from_files import config_of, network_of, tokenizer_of
from traitdrift.models.rendering import turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from traitdrift.core.config import Quantise


BASE_RECORD = "base.json"
VARIANT_RECORD = "variant.json"


def base_record(base: Path) -> dict[str, Any]:
    """What `base_model` wrote: id, source, digest, dtype, quantise, layers, hidden size."""
    path = base / BASE_RECORD
    if not path.exists():
        raise ValueError(f"{path}: missing; run `dvc repro base_model`")
    return read_json(path)


def variant_record(variant: Path) -> dict[str, Any]:
    """What made a variant: kind (none, finetune, import), base digest, adapter digest."""
    path = variant / VARIANT_RECORD
    if not path.exists():
        raise ValueError(f"{path}: missing; run `dvc repro` for this variant first")
    return read_json(path)


def weights_location(base: Path) -> tuple[str, dict[str, str]]:
    """Where transformers finds the weights: the folder, or the hub's own cache at a commit."""
    record = base_record(base)
    if record["source"] == "hub":
        return record["id"], {"revision": record["commit"]}
    return str(base), {}


def load_tokenizer(base: Path) -> PreTrainedTokenizerBase:
    """The base model's tokenizer; a ValueError if it has no chat template or no fast backend."""
    if not base.is_dir():  # transformers would ask the hub for a model of that name
        raise ValueError(f"{base}: missing; run `dvc repro base_model`")
    tokenizer = tokenizer_of(base)
    if not tokenizer.chat_template:
        raise ValueError(
            f"{base}: the tokenizer has no chat template; choose an instruction-tuned model"
        )
    if not tokenizer.is_fast:
        raise ValueError(f"{base}: the tokenizer gives no offsets; a fast tokenizer is needed")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(base: Path, variant: Path | None = None) -> PreTrainedModel:
    """The base model in its own dtype, with a variant's adapter over it if it has one.

    Raises ValueError where the adapter was made for another base, and as `pretrained` and
    `adapter.attached` do.
    """
    record = base_record(base)
    kind = "none"
    if variant is not None:
        made = variant_record(variant)
        kind = made["kind"]
        if made["base_digest"] != record["digest"]:
            raise ValueError(
                f"{variant}: made for a base of digest {made['base_digest'][:12]}, but {base} has "
                f"{record['digest'][:12]}; run `dvc repro` to make it again"
            )
    where, options = weights_location(base)
    quantise = record.get("quantise", "none")  # records of before have no such key
    model = pretrained(where, record["dtype"], quantise, **options)
    only_special_tokens(model)
    model.generation_config.eos_token_id = turn_ends(base, load_tokenizer(base))
    if kind != "none":
        from traitdrift.models.adapter import attached

        # peft's wrapper hands on whatever it does not define itself.
        return cast("PreTrainedModel", attached(model, variant)[0].eval())  # type: ignore[arg-type]
    return model.eval()


def placement() -> dict[str, Any]:
    """How `from_pretrained` places a model: on one device, or over all where none is named."""
    chosen = device()
    if chosen.type == "cpu":
        return {}
    return {"device_map": "auto" if everywhere() else {"": chosen}}


def pretrained(
    where: str, dtype: str, quantise: Quantise = "none", **options: str
) -> PreTrainedModel:
    """A causal language model of a folder or the hub's cache, placed by `placement`.

    Raises ValueError before anything is read where its weights cannot fit, or where it is to be
    quantised and bitsandbytes is not installed; and where they are not all of its weights.
    """
    import torch

    packing = quantisation.on_loading(quantise, dtype)
    refuse_oversized(where, config_of(where, **options), dtype, quantise)
    return network_of(where, dtype=getattr(torch, dtype), **options, **packing, **placement())


def only_special_tokens(model: PreTrainedModel) -> None:
    """Take a model's own generation defaults away, but for its special tokens.

    They (Qwen ships a repetition penalty) would shape every answer behind the parameters' back.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        **{
            name: getattr(model.generation_config, name)
            for name in ("bos_token_id", "eos_token_id", "pad_token_id")
        }
    )


def end_token_ids(model: PreTrainedModel) -> list[int]:
    """Ids that end a turn, from the model's generation config."""
    ids = model.generation_config.eos_token_id
    if ids is None:
        raise ValueError("the model names no end-of-turn token; set eos_token_id in its config")
    return list(ids) if isinstance(ids, (list, tuple)) else [ids]


def turn_ends(base: Path, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the tokens that end a turn, of which each does: in training and in answering.

    Those of generation_config.json (or config.json, where it says nothing), the tokenizer's eos,
    and the token that the chat template writes behind an answer. They differ in many models: Gemma
    ends a turn by another token than the end of the text, and tokenizers are mended more often than
    generation configs.
    """
    named: list[Any] = [tokenizer.eos_token_id]
    for name in ("generation_config.json", "config.json"):
        config = read_json(base / name) if (base / name).exists() else {}
        ids = config.get("eos_token_id")
        if ids is None:
            ids = (config.get("text_config") or {}).get("eos_token_id")
        if ids is not None:
            named += ids if isinstance(ids, list) else [ids]
            break
    end = turns(tokenizer).end
    named.append(None if end is None else tokenizer.convert_tokens_to_ids(end))
    return sorted({i for i in named if i is not None})


def end_tokens(base: Path, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Texts of the tokens that end a turn (`turn_ends`)."""
    tokens = tokenizer.convert_ids_to_tokens(turn_ends(base, tokenizer))
    return [token for token in tokens if token]  # none where an id lies outside the vocabulary


def shape(folder: Path) -> dict[str, int]:
    """Layers and hidden size, from the config alone."""
    config = config_of(folder).get_text_config()
    return {"layers": config.num_hidden_layers, "hidden": config.hidden_size}

"""LoRA adapters as files: weights and config, checked against a base."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from traitdrift.core.files import read_json, tensor_shapes
from traitdrift.models.loading import CONFIG, VARIANT_RECORD, WEIGHTS, weights_location
from traitdrift.sources.hub import fetched

PREFIX = "base_model.model."


def fetch_adapter(source: str, name: str, revision: str) -> tuple[Path, dict[str, str]]:
    """The folder of an adapter on this machine, and where it came from.

    `source` is `path` (a local folder) or `hub`. Raises ValueError where it is not to be had.
    """
    if source == "path":
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise ValueError(f"{name}: no such folder; give the folder of a peft adapter")
        return folder, {"id": folder.resolve().name}
    snapshot = fetched(name, revision, [CONFIG, WEIGHTS])
    return snapshot, {"id": name, "commit": snapshot.name}


def check_adapter(folder: Path, base: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Check that a peft folder is a LoRA adapter for this base; returns its config.

    Raises ValueError for pickled weights, another kind of adapter, another base (by digest if
    this project made the adapter, else by name where both are names on the hub), or a matrix
    whose shape does not fit the base.
    """
    if not (folder / CONFIG).exists():
        raise ValueError(f"{folder}: no {CONFIG}; give the folder of a peft adapter")
    if not (folder / WEIGHTS).exists():
        raise ValueError(
            f"{folder}: no {WEIGHTS}; pickled weights are not read, save them as safetensors"
        )
    try:
        config = read_json(folder / CONFIG)
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / CONFIG}: not JSON ({error.msg})")
    if config.get("peft_type") != "LORA":
        raise ValueError(f"{folder}: a {config.get('peft_type')} adapter; only LORA is supported")
    made = folder / VARIANT_RECORD
    made_for = read_json(made).get("base_digest") if made.exists() else None
    if made_for not in (None, record["digest"]):
        raise ValueError(
            f"{folder}: made for a base of digest {made_for[:12]}, but "
            f"models/base has {record['digest'][:12]}; choose its own base by `model`"
        )
    named = config.get("base_model_name_or_path") or ""
    # Mirrors carry the same model under the name of another owner.
    models = [name.split("/")[1].casefold() for name in (named, record["id"]) if _hub_name(name)]
    if len(set(models)) == 2:
        raise ValueError(f"{folder}: made for {named}, but models/base is {record['id']}")
    _check_shapes(folder / WEIGHTS, base)
    return config


def _hub_name(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not name.startswith(".")


def _check_shapes(weights: Path, base: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    where, options = weights_location(base)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(where, **options))
    modules = dict(network.named_modules())
    for name, shape in tensor_shapes(weights).items():
        matched = re.fullmatch(
            re.escape(PREFIX) + r"(.+)\.lora_(A|B|embedding_A|embedding_B)(?:\.weight)?", name
        )
        if not matched or matched[2].startswith("embedding"):
            raise ValueError(f"{weights}: {name} is no LoRA matrix of a linear layer")
        target = modules.get(matched[1])
        if target is None or not hasattr(target, "weight"):
            raise ValueError(f"{weights}: {name}: the base has no {matched[1]}; another model's?")
        out, into = target.weight.shape
        side, expected = (1, into) if matched[2] == "A" else (0, out)
        if shape[side] != expected:
            raise ValueError(
                f"{weights}: {name} has shape {shape}, but the base's {matched[1]} is "
                f"{out} x {into}; the adapter was made for another base"
            )

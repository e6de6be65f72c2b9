"""An adapter over its base, in whole or not at all.

One way for adapters that come in, for those that were trained here, and whenever one is loaded:
the config, the weights and the base must agree on every matrix.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.files import stored_tensors, weights_digest, write_json
from traitdrift.core.outside import json_object, named
from traitdrift.core.safetensors_header import read_header
from traitdrift.core.writing import replacing
from traitdrift.models.adapted import matrices, targeted
from traitdrift.models.adapter_config import (
    CONFIG,
    SILENT,
    WEIGHTS,
    read_config,
    resolved,
    settings,
)

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

MATRIX = re.compile(
    r"base_model\.model\.(?P<module>.+)\.lora_(?:embedding_)?(?P<side>[AB])(\.weight)?"
)
# The norm of a change to a matrix below which no float32 network notices it.
IDLE = 1e-12


def attached(model: PreTrainedModel, folder: Path) -> tuple[PeftModel, dict[str, Any]]:
    """The model with the adapter of a folder over it, and the adapter's config as it was used.

    The adapter runs in the dtype of the layer it adapts: no float32 matrix products beside
    bfloat16 ones. The model itself is not cast: rotary frequencies stay float32. A model on the
    meta device (`outline`) is enough to see whether the adapter fits. Raises ValueError unless
    config, weights and base agree on every matrix.
    """
    config = resolved(folder, read_config(folder), matrices(model))
    stored = _stored(folder, config)
    on_meta = all(parameter.is_meta for parameter in model.parameters())
    adapted = _placed(model, folder, config, stored, on_meta)
    if not on_meta:
        _check_values(adapted, folder, stored)
    return adapted, config


def _stored(folder: Path, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The matrices of the weights' file: A and B in pairs, finite, of the ranks of the config."""
    path = folder / WEIGHTS
    header = read_header(named(folder, WEIGHTS)).tensors
    if not header:
        raise ValueError(f"{path}: holds no matrix, so it equals its base; save the adapter again")
    sides: dict[str, set[str]] = {}
    for name, entry in header.items():
        found = MATRIX.fullmatch(name)
        if not found:
            raise ValueError(
                f"{path}: {name[:120]} is no LoRA matrix; save the adapter alone "
                "(save_embedding_layers=False), or merge it and give it as a model"
            )
        if len(entry.shape) != 2 or 0 in entry.shape:
            raise ValueError(
                f"{path}: {name[:120]} has shape {list(entry.shape)}, which is no matrix; gather "
                "the weights of a sharded run (ZeRO-3, FSDP) before they are saved"
            )
        if not entry.dtype.startswith(("F", "BF")):
            raise ValueError(f"{path}: {name[:120]} holds {entry.dtype}; save it as float32")
        sides.setdefault(found["module"], set()).add(found["side"])
    for module, there in sides.items():
        if there != {"A", "B"}:
            raise ValueError(
                f"{path}: of {module[:120]} only {''.join(there)} is there; A and B go in pairs, "
                "save the whole adapter"
            )
    # Before peft makes matrices of that rank.
    largest = max(max(entry.shape) for entry in header.values())
    widest = max(settings(folder, config).ranks)
    if widest > largest:
        raise ValueError(
            f"{folder / CONFIG}: a rank of {widest}, but no matrix in {WEIGHTS} has more than "
            f"{largest} rows; take the config it was saved with"
        )
    tensors = stored_tensors(path)
    _refuse_diverged(path, tensors)
    return tensors


def _refuse_diverged(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.float().isfinite().all():
            raise ValueError(
                f"{path}: {name[:120]} holds numbers that are not finite; the training diverged, "
                "take an earlier checkpoint, or train again with a lower learning rate"
            )


def _placed(
    model: PreTrainedModel,
    folder: Path,
    config: dict[str, Any],
    stored: Mapping[str, torch.Tensor],
    on_meta: bool,
) -> PeftModel:
    from peft import LoraConfig, PeftModelForCausalLM, get_peft_model_state_dict
    from peft.utils import set_peft_model_state_dict

    known = set(type(settings(folder, config)).model_fields) - {"peft_type", "init_lora_weights"}
    used = {key: value for key, value in config.items() if key in known - SILENT}
    used["task_type"] = "CAUSAL_LM"
    used["target_modules"] = config.get("target_modules") or []  # for None, peft has a guess
    modules = {name for name, _ in model.named_modules()}
    told = f"{folder}: peft cannot put it over the base"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of keys, which are compared below
        try:
            adapted = PeftModelForCausalLM(
                model,
                LoraConfig(inference_mode=True, **used),
                autocast_adapter_dtype=False,
                low_cpu_mem_usage=on_meta,
            )
            expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
            if expected.keys() == stored.keys():
                _check_shapes(folder, stored, expected)
            loaded: Any = set_peft_model_state_dict(
                adapted, dict(stored), low_cpu_mem_usage=on_meta
            )
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, ValueError) and str(error).startswith(str(folder)):
                raise
            unplaced = _unplaced(stored, modules)
            if unplaced:
                raise ValueError(unplaced.format(weights=folder / WEIGHTS))
            why = " ".join(str(error).split())[:300]
            raise ValueError(f"{told} ({why}); take an adapter of this model")
    missing = [name for name in loaded.missing_keys if "lora_" in name]
    if missing or loaded.unexpected_keys:
        _refuse_keys(folder, stored, expected, modules)
        more = sorted([*missing, *loaded.unexpected_keys])
        raise ValueError(
            f"{told}: {more[0]} and {len(more) - 1} more find no place; take an adapter of this "
            "model"
        )
    _check_patterns(folder, config, adapted)
    return adapted


def _unplaced(stored: Iterable[str], modules: set[str]) -> str | None:
    for name in stored:
        found = MATRIX.fullmatch(name)
        module = found["module"].replace(".base_layer", "") if found else name
        if module not in modules:
            return f"{{weights}}: the base has no {module[:120]}; the adapter is another model's"
    return None


def _refuse_keys(
    folder: Path, stored: Iterable[str], expected: Iterable[str], modules: set[str]
) -> None:
    unplaced = _unplaced(stored, modules)
    if unplaced:
        raise ValueError(unplaced.format(weights=folder / WEIGHTS))
    for names, told in (
        (set(stored) - set(expected), "{weights}: {name} is there, but {config} does not adapt it"),
        (set(expected) - set(stored), "{weights}: {name} is missing, which {config} adapts"),
    ):
        if names:
            name = min(names)
            raise ValueError(
                told.format(weights=folder / WEIGHTS, name=name[:160], config=CONFIG)
                + f" ({len(names)} such); take weights and config of the same adapter"
            )


def _check_shapes(
    folder: Path, stored: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    for name, tensor in stored.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"{folder / WEIGHTS}: {name} has shape {list(tensor.shape)}, but by {CONFIG} and "
                f"the base it is {list(expected[name].shape)}; the config is another adapter's, or "
                "it was made for another base"
            )


def _check_values(adapted: PeftModel, folder: Path, stored: Mapping[str, torch.Tensor]) -> None:
    """What runs is what was stored, in the dtype of the base."""
    from peft import get_peft_model_state_dict

    now = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    for name, tensor in now.items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{folder / WEIGHTS}: {name} is beyond {str(tensor.dtype)[6:]}, the base's dtype; "
                "choose bfloat16 or float32 for the model"
            )
        if name in stored and not stored[name].to(tensor.dtype).equal(tensor.cpu()):
            raise ValueError(
                f"{folder / WEIGHTS}: {name} was not loaded as it is stored; install the peft of "
                "requirements.lock"
            )


def _check_patterns(folder: Path, config: dict[str, Any], adapted: PeftModel) -> None:
    """A scale or rank for a module that is not there would be left out in silence."""
    names = targeted(adapted)
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in config.get(key) or {}:
            if not any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
                raise ValueError(
                    f"{folder / CONFIG}: {key} names {pattern[:80]!r}, which it does not adapt; "
                    "take the config it was saved with"
                )


def refuse_idle(folder: Path, dtype: torch.dtype) -> None:
    """Raise ValueError for an adapter that changes nothing."""
    if idle(folder, dtype):
        raise ValueError(
            f"{folder / WEIGHTS}: the product of A and B is zero in every pair, so it equals its "
            "base; it was saved before training, or was not trained"
        )


def idle(folder: Path, dtype: torch.dtype) -> bool:
    """Whether an adapter, in a dtype, changes nothing: the product BA of each pair is zero."""
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in stored_tensors(folder / WEIGHTS).items():
        found: Any = MATRIX.fullmatch(name)  # as was checked
        pairs.setdefault(found["module"], {})[found["side"]] = tensor.to(dtype)
    return all(_product_norm(p["A"].double(), p["B"].double()) < IDLE for p in pairs.values())


def _product_norm(a: torch.Tensor, b: torch.Tensor) -> float:
    """The Frobenius norm of BA, or sqrt(tr(B^T B A A^T)), whichever takes less memory."""
    if a.shape[0] ** 2 > b.shape[0] * a.shape[1]:
        return float((b @ a).norm())
    return float(((b.T @ b) * (a @ a.T)).sum().clamp_min(0).sqrt())


def keep_adapter(
    saved: Path, into: Path, base_name: str, config: Mapping[str, Any] | None = None
) -> str:
    """Copy an adapter's weights and its config in a settled order; returns the weights' digest.

    peft writes lists that were sets in an order that changes from run to run, and the place of
    the base on this machine; here it names the base. `config` is what takes the place of the
    saved one. Raises ValueError where a weight is not finite: the last step of a training may
    diverge after its last loss.
    """
    _refuse_diverged(saved / WEIGHTS, stored_tensors(named(saved, WEIGHTS)))
    kept = {**(config or json_object(named(saved, CONFIG))), "base_model_name_or_path": base_name}
    for key in ("target_modules", "target_parameters"):
        if isinstance(kept.get(key), list):
            kept[key] = sorted(kept[key])
    into.mkdir(parents=True, exist_ok=True)
    with replacing(into / WEIGHTS) as scratch:
        shutil.copyfile(named(saved, WEIGHTS), scratch)
    write_json(into / CONFIG, dict(sorted(kept.items())))
    return weights_digest([into / WEIGHTS])

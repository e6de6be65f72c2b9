"""What an adapter's config may say: an allow-list of peft's settings of LoRA, each bounded.

Whatever else peft can do (DoRA, whole modules beside the adapter, layers repeated) is refused
unless it is switched off: it would be left out, or change the base.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from traitdrift.core.outside import json_object, named

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SECONDS = 5  # for a pattern of module names, which takes milliseconds

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,200}$")]
# peft reads these keys as regular expressions; the one form that peft itself writes is let through.
Pattern = Annotated[
    str, StringConstraints(pattern=r"^\^?(\.\*\\?\.)?([A-Za-z0-9_]|\\?\.){1,200}\$?$")
]
Names = Annotated[list[Name], Field(max_length=100_000)]
Rank = Annotated[int, Field(ge=1, le=2**16)]
# One near 0 would make the adapter its base.
Alpha = Annotated[float, Field(ge=1e-3, le=2**20, allow_inf_nan=False)]
Layer = Annotated[int, Field(ge=0, lt=2**16)]
# Of no consequence to a trained adapter: whence it comes, and how it began.
SILENT = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "eva_config",
        "inference_mode",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
    }
)


class LoraSettings(BaseModel):
    """What is read of adapter_config.json."""

    model_config = ConfigDict(extra="allow", strict=True)

    peft_type: Literal["LORA"]
    task_type: Literal["CAUSAL_LM"] | None = None
    r: Rank = 8
    lora_alpha: Alpha = 8
    lora_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    target_modules: Names | Annotated[str, Field(max_length=10_000)] | None = None
    exclude_modules: Names | None = None
    target_parameters: Names | None = None
    fan_in_fan_out: bool = False
    use_rslora: bool = False
    bias: Literal["none"] = "none"
    # Others (pissa, olora, corda, loftq) take something from the base, which stays as it is here.
    init_lora_weights: bool | Literal["gaussian", "eva", "orthogonal"] | None = True
    layers_to_transform: Annotated[list[Layer], Field(max_length=2**16)] | Layer | None = None
    layers_pattern: Names | Name | None = None
    rank_pattern: dict[Pattern, Rank] | None = None
    alpha_pattern: dict[Pattern, Alpha] | None = None

    @property
    def ranks(self) -> set[int]:
        """Every rank that it names."""
        return {self.r, *(self.rank_pattern or {}).values()}


def read_config(folder: Path) -> dict[str, Any]:
    """The config of an adapter's folder, checked to be of a LoRA adapter that can be used whole.

    Raises ValueError with the file and the key.
    """
    for name, told in (
        (CONFIG, "give the folder of a peft adapter"),
        (WEIGHTS, "pickled weights are not read, save them as safetensors"),
    ):
        if not (folder / name).is_symlink() and not (folder / name).exists():
            raise ValueError(f"{folder}: no {name}; {told}")
    config = json_object(named(folder, CONFIG))
    settings(folder, config)
    return config


def settings(folder: Path, config: dict[str, Any]) -> LoraSettings:
    """The settings in a config; a ValueError for a key that is not to be used."""
    where = folder / CONFIG
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ValueError(f"{where}: a {str(kind)[:40]!r} adapter; only LORA is supported")
    try:
        made = LoraSettings.model_validate(config)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise ValueError(
            f"{where}: {key[:80]!r}: {str(fault['input'])[:60]!r}: {fault['msg']}; such an adapter "
            "is not supported, or its config is damaged"
        )
    for key, value in (made.model_extra or {}).items():
        if key not in SILENT and value:
            raise ValueError(
                f"{where}: {key[:80]!r} is set, and adapters that use it are not supported; merge "
                "the adapter into its base and give that as a model"
            )
    if not made.target_modules and not made.target_parameters:
        raise ValueError(f"{where}: names no target_modules; take the config it was saved with")
    return made


def resolved(folder: Path, config: dict[str, Any], modules: Sequence[str]) -> dict[str, Any]:
    """The config with a pattern of target modules made the list of those modules that match.

    `modules` are the names of the base's matrices. The pattern is matched by another process, with
    a limit of time and memory: some patterns take longer than anyone waits.
    """
    pattern = config.get("target_modules")
    if not isinstance(pattern, str) or pattern == "all-linear":
        return config
    program = (
        "import json, re, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "pattern, names = json.load(sys.stdin)\n"
        "json.dump([name for name in names if re.fullmatch(pattern, name)], sys.stdout)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            input=json.dumps([pattern, list(modules)]),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        why = f"takes longer than {SECONDS} s to match"
    else:
        if done.returncode == 0 and (matched := json.loads(done.stdout)):
            return {**config, "target_modules": sorted(matched)}
        why = "matches nothing of the base" if done.returncode == 0 else "is no regular expression"
    raise ValueError(
        f"{folder / CONFIG}: target_modules {pattern[:60]!r} {why}; list the modules' names instead"
    )

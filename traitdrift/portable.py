"""Trait vectors outside the pipeline: from a file, on any transformers or peft model.

vectors = load_vectors("code_mode.safetensors")
scores = project(model, tokenizer, ["What is your one wish?"], vectors)
with steer(model, vectors, coefficient=-0.25):
    model.generate(...)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError

from traitdrift import evaluation
from traitdrift.activations import HOOK_POINT, Reading, capture, read_aloud, read_given
from traitdrift.artifacts import SCHEMA_VERSION, load_tensors
from traitdrift.batches import token_budget
from traitdrift.chat import Message, encode
from traitdrift.loaded import base_digest
from traitdrift.models import blocks, core
from traitdrift.steering import Intervention, steered

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
        positive=evaluation.project(positive[None], tensor)[0],
        negative=evaluation.project(negative[None], tensor)[0],
        norm=tensors.get(f"{position}/residual.norm"),
        **{key: described[key] for key in ("trait", "model", "base_digest", "answers")},
    )


def project(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[str | Sequence[Message]],
    vectors: Vectors,
    any_base: bool = False,
) -> torch.Tensor:
    """Scalar projections `[conversation]` at the vectors' layer, float32: those of the pipeline.

    A conversation is a user's message, or messages `{"role": ..., "content": ...}`. Its last
    answer, if it ends in one, is what the positions `response_*` are read in, and need; those of
    the prompt are read before it. The chat template is the tokenizer's. `vectors.threshold[layer]`
    lies between the classes, `vectors.positive[layer]` and `negative[layer]` are their means.

    TRAITDRIFT_BATCH_TOKENS says how many tokens are forwarded at once. Raises ValueError for a
    model that the vectors are not of (see `check_model`), and for one that is training.
    """
    return profile(model, tokenizer, conversations, vectors, any_base)[:, vectors.layer]


def profile(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[str | Sequence[Message]],
    vectors: Vectors,
    any_base: bool = False,
) -> torch.Tensor:
    """As `project`, in every layer: `[conversation, layer]`."""
    if not tokenizer.chat_template or not tokenizer.is_fast:
        raise ValueError("the tokenizer has no chat template or gives no offsets; take the base's")
    if model.training:  # dropout would make the numbers random
        raise ValueError("the model is in training mode; call model.eval() first")
    readings = [
        _reading(tokenizer, said, vectors, f"conversations[{i}]")
        for i, said in enumerate(conversations)
    ]
    check_model(model, vectors, any_base)
    if not readings:
        return torch.empty(0, len(vectors.tensor))
    # Padding is on the right and masked: any token will do.
    streams = capture(model, readings, tokenizer.pad_token_id or 0, token_budget())
    return evaluation.project(
        streams[vectors.position][:, : len(vectors.tensor)].float(), vectors.tensor
    )


def steer(
    model: PreTrainedModel,
    vectors: Vectors,
    coefficient: float | None = None,
    *,
    raw_coefficient: float | None = None,
    kind: Literal["add", "ablate"] = "add",
    begin: int = 0,
    any_base: bool = False,
) -> AbstractContextManager[None]:
    """A context in which the model's forward passes and `generate` run steered.

    `add` adds the vector after the block of its layer, as long as `Vectors.scaled` says;
    `ablate` removes its direction after every block and takes no coefficient. Every row of every
    batch is changed, from column `begin` on (padding counted): 0 is every token, and the width
    of a padded batch of prompts minus one is every token that an answer is made from.

    Raises ValueError for a model that the vectors are not of (see `check_model`).
    """
    if kind == "ablate":
        if coefficient is not None or raw_coefficient is not None:
            raise ValueError("ablation takes no coefficient: all along the vector is removed")
        what = Intervention(vectors.trait, "ablate", vector=vectors.unit)
    elif kind == "add":
        what = Intervention(vectors.trait, "add", 1.0, vectors.scaled(coefficient, raw_coefficient))
    else:
        raise ValueError(f"kind {kind!r}: give add or ablate")
    check_model(model, vectors, any_base)
    return steered(model, what, vectors.layer, begin)


def check_model(model: PreTrainedModel, vectors: Vectors, any_base: bool = False) -> None:
    """Raise ValueError where vectors are not of a model's base, or do not fit it.

    The base is known by the digest of its weights' files, as of `traitdrift.loaded.base_digest`,
    which reads them; `any_base` leaves that out, the shape must fit all the same. A fine-tune
    without a base beneath it (merged, or of all weights) has another digest than its base.
    """
    layers, hidden = vectors.tensor.shape
    width, depth = core(model).config.get_text_config().hidden_size, len(blocks(model))
    if width != hidden:
        raise ValueError(
            f"{vectors.path}: vectors of width {hidden}, but the model has {width}; "
            f"take {vectors.model} or an adapter over it"
        )
    if depth < layers:
        raise ValueError(
            f"{vectors.path}: vectors of {layers} layers, but the model has {depth}; "
            f"take {vectors.model} or an adapter over it"
        )
    if any_base:
        return
    try:
        found = base_digest(model)
    except ValueError as error:
        raise ValueError(
            f"{vectors.path}: {error}; if you know that it is {vectors.model}, give any_base=True"
        )
    if found != vectors.base_digest:
        raise ValueError(
            f"{vectors.path}: of a base of digest {vectors.base_digest[:12]} ({vectors.model}), "
            f"but the model's is {found[:12]}; give any_base=True to use it all the same"
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


def _reading(
    tokenizer: PreTrainedTokenizerBase, said: str | Sequence[Message], vectors: Vectors, where: str
) -> Reading:
    """What is forwarded of a conversation, and where the vectors' position is in it."""
    messages = [{"role": "user", "content": said}] if isinstance(said, str) else list(said)
    answered = bool(messages) and messages[-1]["role"] == "assistant"
    asked = messages[:-1] if answered else messages
    if not asked or asked[-1]["role"] != "user":
        raise ValueError(f"{where}: no user's message to answer; end it in one, or in its answer")
    position = vectors.position
    if not position.startswith("response_"):
        return read_aloud(tokenizer, asked, [], [position])
    if not answered:
        raise ValueError(
            f"{where}: {position} is read in an answer; end the conversation in an assistant's"
        )
    if vectors.answers == "given":
        return read_given(tokenizer, messages)
    ids, _ = encode(tokenizer, messages[-1]["content"])
    return read_aloud(tokenizer, asked, ids, [position])

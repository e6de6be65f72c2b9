"""Trait vectors outside the pipeline: from a file, on any transformers or peft model.

vectors = load_vectors("code_mode.safetensors")
scores = project(model, tokenizer, ["What is your one wish?"], vectors)
with steer(model, vectors, coefficient=-0.25):
    model.generate(...)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import torch

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import (
    TokenizedConversation,
    teacher_force,
    tokenize_conversation,
)
from traitdrift.inference.batching import token_budget
from traitdrift.inference.hooks import blocks, core
from traitdrift.interop.fingerprint import base_digest
from traitdrift.models.encoding import encode_text
from traitdrift.models.rendering import Message
from traitdrift.steering.interventions import Intervention, steered
from traitdrift.vectors import separation
from traitdrift.vectors.file import Vectors

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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
    tokenized = [
        _tokenized(tokenizer, conversation, vectors, f"conversations[{i}]")
        for i, conversation in enumerate(conversations)
    ]
    check_model(model, vectors, any_base)
    if not tokenized:
        return torch.empty(0, len(vectors.tensor))
    # Padding is on the right and masked: any token will do.
    streams = capture(model, tokenized, tokenizer.pad_token_id or 0, token_budget())
    return separation.scalar_projections(
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
) -> AbstractContextManager[Any]:
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

    The base is known by the digest of its weights' files, as of `fingerprint.base_digest`, which
    reads them; `any_base` leaves that out, the shape must fit all the same. A fine-tune
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


def _tokenized(
    tokenizer: PreTrainedTokenizerBase,
    conversation: str | Sequence[Message],
    vectors: Vectors,
    where: str,
) -> TokenizedConversation:
    """What is forwarded of a conversation, and where the vectors' position is in it."""
    messages = (
        [{"role": "user", "content": conversation}]
        if isinstance(conversation, str)
        else list(conversation)
    )
    answered = bool(messages) and messages[-1]["role"] == "assistant"
    asked = messages[:-1] if answered else messages
    if not asked or asked[-1]["role"] != "user":
        raise ValueError(f"{where}: no user's message to answer; end it in one, or in its answer")
    position = vectors.position
    if not position.startswith("response_"):
        return teacher_force(tokenizer, asked, [], [position])
    if not answered:
        raise ValueError(
            f"{where}: {position} is read in an answer; end the conversation in an assistant's"
        )
    if vectors.answers == "given":
        return tokenize_conversation(tokenizer, messages)
    ids, _ = encode_text(tokenizer, messages[-1]["content"])
    return teacher_force(tokenizer, asked, ids, [position])

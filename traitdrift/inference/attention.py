"""Attention of this project's own in the place of transformers' for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def attending(model: PreTrainedModel, function: Callable[..., Any]) -> Iterator[None]:
    """Within the block, a model that attends by sdpa attends by `function`, under the same masks.

    It is called as transformers' `sdpa_attention_forward` is.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    name = function.__name__
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, sdpa_mask)
    if model.config._attn_implementation != "sdpa":
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation("sdpa")

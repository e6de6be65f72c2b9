"""Where the residual stream is read and changed: the decoder blocks and what follows each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


HOOK_POINT = "output of decoder block l (0-based), before any final norm"


@contextmanager
def after_blocks(
    model: PreTrainedModel, see: Callable[[int, torch.Tensor], None]
) -> Iterator[None]:
    """Call `see(layer, residual)` with `[sequence, token, hidden]` after every block."""

    def hook(layer: int) -> Callable[..., None]:
        return lambda _module, _inputs, out: see(layer, stream_of(out))

    handles = [block.register_forward_hook(hook(i)) for i, block in enumerate(blocks(model))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def stream_of(out: Any) -> torch.Tensor:
    """The residual stream `[sequence, token, hidden]` that a block returns, alone or in a tuple.

    Raises ValueError where a block writes several (Gemma 3n), which is no stream to read.
    """
    stream: torch.Tensor = out[0] if isinstance(out, tuple) else out
    if stream.ndim != 3:
        raise ValueError(
            f"a block of this architecture writes {list(stream.shape)[:-3]} streams side by side, "
            "not one; choose another model"
        )
    return stream


def core(model: PreTrainedModel) -> PreTrainedModel:
    """The transformers model under peft's wrapper, adapter weights injected; or itself."""
    unwrapped: Any = getattr(model, "get_base_model", None)
    return unwrapped() if unwrapped else model


def blocks(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The decoder blocks in order; layer l of this project is the stream after `blocks[l]`."""
    network = core(model)
    layers = network.config.get_text_config().num_hidden_layers
    # Of a model that also sees or hears, the part that reads text.
    lists = {
        name: module
        for name, module in network.get_decoder().named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers
    }
    # A block may hold as many of something itself, such as experts.
    found = [
        module
        for name, module in lists.items()
        if not any(name.startswith(f"{outer}.") for outer in lists)
    ]
    if len(found) != 1:
        raise ValueError(
            f"{type(network).__name__}: {len(found)} lists of {layers} blocks, not one; "
            "choose a model whose architecture is known"
        )
    return found[0]

"""Interventions on the residual stream of a running model: add a vector, ablate a direction.

The hook point is that of the activations: the output of decoder block l, layer 0-based, before
any final norm. Each row of a batch has an intervention of its own, so several of them, with
their null and the untouched model, run in one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from traitdrift.inference.hooks import blocks, core, stream_of
from traitdrift.steering.condition import Condition

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class Intervention(Condition):
    """What is done to the stream of one row, and along which vector `[hidden]`."""

    vector: torch.Tensor | None = None


@contextmanager
def steered(
    model: PreTrainedModel,
    rows: Sequence[Intervention] | Intervention,
    layer: int,
    begin: int | Sequence[int] = 0,
) -> Iterator[Callable[[torch.Tensor], None]]:
    """Let forward passes of a batch of these rows run under their interventions.

    One intervention that is not in a list is that of every row, in batches of any size. Of a list,
    what the block is given tells which rows, by their numbers, the passes from then on forward.

    After block l the stream x of a row becomes x - a (a.x) + d, with a its ablated unit vector (in
    every layer) and d the vector times coefficient that it adds (in `layer` only). It is computed
    in float32 and cast back; a stream that a row has no intervention for, in this layer or at this
    token, stays as it is to the bit.

    `begin` is the column, padding counted, from which on a row is changed: 0 is every token, that
    of the last prompt token every token that an answer is made from. Tokens in the key-value
    cache count, so the same holds in `generate`. Without a cache `generate` works too.

    Raises ValueError for a layer or a vector's width that the model does not have, and where a
    batch has another number of rows.
    """
    streams, hidden = blocks(model), core(model).config.get_text_config().hidden_size
    every = isinstance(rows, Intervention)
    each = [rows] if isinstance(rows, Intervention) else rows
    if not 0 <= layer < len(streams):
        raise ValueError(f"layer {layer}: the model has layers 0 to {len(streams) - 1}")
    ablated, added = torch.zeros(2, len(each), hidden)
    for i, row in enumerate(each):
        if row.kind == "none":
            continue
        if row.vector is None:
            raise ValueError(f"{row.name}: no vector to {row.kind}; give one")
        if row.vector.shape != (hidden,):
            raise ValueError(
                f"{row.name}: a vector of shape {list(row.vector.shape)} for a model of width "
                f"{hidden}; take one of this model"
            )
        if row.kind == "ablate":
            ablated[i] = row.vector
        else:
            added[i] = row.coefficient * row.vector.float()
    start = torch.as_tensor(begin).expand(len(each))
    present = torch.arange(len(each))
    past = read = 0
    latest: Any = None

    def forward_only(rows: torch.Tensor) -> None:
        nonlocal present
        present = rows.cpu()

    def count(_module: torch.nn.Module, inputs: Any, options: dict[str, Any]) -> None:
        nonlocal past, read, latest
        given = (options.get(name) for name in ("past_key_values", "cache_params", "state"))
        cache = next((one for one in given if one is not None), None)
        past = 0 if cache is None else tokens_of(cache, read, cache is latest)
        ids = next(
            one
            for one in (options.get("input_ids"), options.get("inputs_embeds"), *inputs)
            if one is not None
        )
        read, latest = past + ids.shape[1], cache

    def change(active: torch.Tensor, a: torch.Tensor, d: torch.Tensor) -> Callable[..., Any]:
        def hook(_module: torch.nn.Module, _inputs: Any, out: Any) -> Any:
            stream = stream_of(out)
            if not every and len(stream) != len(present):
                raise ValueError(
                    f"a batch of {len(stream)} rows under {len(present)} interventions; "
                    "give one a row"
                )
            changed = slice(None) if every else active[present].nonzero().flatten()
            here = slice(None) if every else present[changed]
            x = stream[changed]
            columns = past + torch.arange(x.shape[1])[:, None]
            chosen = (columns >= start[here, None, None]).to(x.device)
            unit = a[here, None].to(x.device)
            moved = x.float()
            moved = moved - unit * (moved * unit).sum(-1, keepdim=True) + d[here, None].to(x.device)
            stream = stream.clone()
            stream[changed] = torch.where(chosen, moved.to(x.dtype), x)
            return (stream, *out[1:]) if isinstance(out, tuple) else stream

        return hook

    with ExitStack() as hooks:
        # The decoder and not the model around it, which some forward passes leave out.
        decoder = core(model).base_model
        hooks.callback(decoder.register_forward_pre_hook(count, with_kwargs=True).remove)
        for number, block in enumerate(streams):
            d = added if number == layer else torch.zeros_like(added)
            active = ((ablated != 0) | (d != 0)).any(dim=1)
            if active.any():
                hooks.callback(block.register_forward_hook(change(active, ablated, d)).remove)
        yield forward_only


def tokens_of(cache: Any, counted: int, same: bool) -> int:
    """How many tokens a cache holds, where it does not know (of recurrent layers): `counted`.

    Those are the tokens until the last forward pass, which had the `same` cache or another.
    """
    length = getattr(cache, "get_seq_length", None)
    if length is None:  # no cache of transformers', but what the pass before has returned
        return counted
    try:
        return int(length())
    except ValueError:  # no layer has keys and values
        return counted if same else 0


def conditions(
    trait: torch.Tensor, random: torch.Tensor, norm: float, coefficients: Sequence[float]
) -> list[Intervention]:
    """`none`, and for both unit vectors `[hidden]` their ablation and an addition a coefficient.

    The random vector is the null. A coefficient is a multiple of `norm`.
    """
    directions = {"trait": ("", trait), "random": ("_random", random)}
    return [
        Intervention("none"),
        *(
            Intervention(f"ablate{suffix}", "ablate", 0.0, vector, direction=direction)
            for direction, (suffix, vector) in directions.items()
        ),
        *(
            Intervention(
                f"add{suffix}_{coefficient}",
                "add",
                coefficient,
                norm * vector,
                direction=direction,
            )
            for coefficient in coefficients
            for direction, (suffix, vector) in directions.items()
        ),
    ]

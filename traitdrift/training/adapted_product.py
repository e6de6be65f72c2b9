"""An adapted linear layer as one node of the graph: LoRA's product, scale and sum in few kernels.

peft's own layer leaves to autograd what is known beforehand: it casts, scales and adds in steps of
their own, on the way back too. This writes the derivative down, with the same five products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.lora import Linear


class AdaptedProduct(torch.autograd.Function):
    """`x W' + bias + scale x A' B'` of a frozen W `[out, in]`, A `[rank, in]` and B `[out, rank]`.

    x is `[..., in]`, in W's dtype; A and B may be in another, in which their gradients are.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        inner, outer = a.to(weight.dtype), (b * scale).to(weight.dtype)
        low = rows @ inner.T
        made = torch.nn.functional.linear(rows, weight, bias).addmm_(low, outer.T)
        ctx.save_for_backward(rows, weight, inner, outer, low)
        ctx.scale, ctx.dtype = scale, a.dtype
        return made.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight, inner, outer, low = ctx.saved_tensors
        (given,) = gradients
        of_made = given.reshape(-1, given.shape[-1])
        of_low = of_made @ outer
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (of_made @ weight).addmm_(of_low, inner).view(*given.shape[:-1], -1)
        of_a = (of_low.T @ rows).to(ctx.dtype)
        of_b = (of_made.T @ low).to(ctx.dtype) * ctx.scale
        return of_x, None, None, of_a, of_b, None


@contextmanager
def in_one_node(adapted: PeftModel) -> Iterator[None]:
    """Within the block, adapted layers that are plain (`_plain`) compute by `AdaptedProduct`."""
    from peft.tuners.lora import Linear

    changed = [m for m in adapted.modules() if isinstance(m, Linear) and _plain(m)]
    for module in changed:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _plain(module: Linear) -> bool:
    """One adapter of two matrices over a frozen `torch.nn.Linear`, without dropout."""
    names = module.active_adapters
    if type(module.base_layer) is not torch.nn.Linear or len(names) != 1 or module.merged:
        return False
    (name,) = names
    return (
        name in module.lora_A
        and name not in module.lora_variant
        and not module.disable_adapters
        and not module.base_layer.weight.requires_grad
        and module.lora_A[name].bias is None
        and module.lora_B[name].bias is None
        and isinstance(module.lora_dropout[name], torch.nn.Identity)
    )


def _forward(module: Linear, x: torch.Tensor) -> torch.Tensor:
    base: Any = module.base_layer
    (name,) = module.active_adapters
    made: torch.Tensor = AdaptedProduct.apply(
        x.to(base.weight.dtype),
        base.weight,
        base.bias,
        module.lora_A[name].weight,
        module.lora_B[name].weight,
        module.scaling[name],
    )
    return made

"""Matrix products of bfloat16 by a processor that has no instruction for them.

On such an x86 processor torch computes them by a kernel that is several times as slow as float32's.
The numbers of bfloat16 are float32's as well: multiplied and summed as these, and rounded at the
end, they give what the instruction gives, but for the order of the sums. On two AVX-512 cores a
forward pass is 3.7 times as fast, and a training step 2.8 times (bench/NOTES.md).
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

from traitdrift.core.surroundings import processor

if TYPE_CHECKING:
    import torch

INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
# With fewer rows, writing the other matrix anew as float32 takes longer than is won; a matrix of
# more elements than IN_CACHE, as a vocabulary's, is fetched from memory for that.
FEWEST_ROWS, FEWEST_ROWS_OF_LARGE, IN_CACHE = 4, 16, 2**23


def wants_wide_products(kind: str) -> bool:
    """Whether a `surroundings.processor` is x86 without instructions for bfloat16."""
    sets = set(kind.split())
    return bool({"avx2", "avx512f"} & sets) and not INSTRUCTIONS & sets


@functools.cache
def widen_products() -> torch.library.Library | None:
    """Have torch compute the CPU's bfloat16 products so from now on, where that is faster.

    The library that is given back holds the kernels as long as it lives; other dtypes and devices
    stay with torch's own.
    """
    if not wants_wide_products(processor()):
        return None
    return widened()


def widened() -> torch.library.Library:
    """torch's products of PRODUCTS with the wide ones before them."""
    import torch

    library = torch.library.Library("aten", "IMPL")
    for name in PRODUCTS:
        own = torch.library.get_kernel(f"aten::{name}", "CPU")

        def product(keys: Any, *tensors: torch.Tensor, own: Any = own, **scales: float) -> Any:
            left, right = tensors[-2:]
            fewest = FEWEST_ROWS if right.numel() <= IN_CACHE else FEWEST_ROWS_OF_LARGE
            if left.dtype != torch.bfloat16 or left.shape[-2] < fewest:
                return own.call_boxed(keys, *tensors, **scales)
            wide = own.call_boxed(keys, *(one.float() for one in tensors), **scales)
            return wide.bfloat16()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a kernel has been there before is known
            library.impl(name, product, "CPU", with_keyset=True, allow_override=True)
    return library

"""Bases whose linear layers bitsandbytes holds in 4 or 8 bits; the rest stays in its dtype."""

from __future__ import annotations

import hashlib
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

    from traitdrift.core.config import Quantise

# Bytes a weight. NF4 with double quantisation (arXiv 2305.14314, section 3): half a byte, a scale
# of one byte for 64 weights, and a float32 for 256 of those scales. LLM.int8() (arXiv 2208.07339):
# one byte; the float32 a row that comes to it is too little to count.
BYTES = {"4bit": 0.5 + 1 / 64 + 4 / (64 * 256), "8bit": 1.0}


def on_loading(quantise: Quantise, dtype: str) -> dict[str, BitsAndBytesConfig]:
    """What `from_pretrained` is given to quantise while it loads; nothing for `none`.

    4 bits are NF4 with double quantisation, whose products are computed in `dtype`. Raises
    ValueError where bitsandbytes is not installed.
    """
    if quantise == "none":
        return {}
    require(f"quantise: {quantise}")
    import torch
    from transformers import BitsAndBytesConfig

    if quantise == "8bit":
        # It warns at every product that it casts bfloat16, a line each.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
    return {"quantization_config": settings}


def require(wish: str) -> None:
    """Raise ValueError where bitsandbytes, which a wish needs, is not installed."""
    if find_spec("bitsandbytes") is None:
        raise ValueError(
            f"{wish}: needs bitsandbytes, the package's extra [bitsandbytes]; "
            "`pip install bitsandbytes` brings it"
        )


def digest(weights: str, quantise: str) -> str:
    """The digest of a base: that of its weights, and another for each way to quantise them.

    So what was made over a quantised base is never taken for something over the whole one.
    """
    if quantise == "none":
        return weights
    return hashlib.sha256(f"{weights} {quantise}".encode()).hexdigest()


def of_config(config: Any) -> str:
    """How a model's config says that it is quantised: `none`, `4bit`, `8bit`, or another way."""
    found = getattr(config, "quantization_config", None)
    if found is None:
        return "none"
    settings = found if isinstance(found, dict) else found.to_dict()
    if settings.get("load_in_8bit"):
        return "8bit"
    nested = settings.get("bnb_4bit_use_double_quant")
    if settings.get("load_in_4bit") and settings.get("bnb_4bit_quant_type") == "nf4" and nested:
        return "4bit"
    return f"otherwise ({settings.get('quant_method')})"

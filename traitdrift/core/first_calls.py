"""The first call of torch's elementwise functions, made by one thread.

On x86 CPUs torch hands them to MKL's vector math, which looks up a function's kernel when it is
first called. Where two threads make that call at once, one of them may compute its share with a
kernel of low accuracy, that once (PyTorch issue 188792): the rotary sines and cosines came out
otherwise in about one process of 8,000 on two busy cores, and every later figure with them.
"""

from __future__ import annotations

# All that torch takes from vector math, where each has a kernel of its own, by MKL's name and
# torch's. A test compares with what torch's library was linked with.
FUNCTIONS = {
    **{"Acos": "acos", "Asin": "asin", "Atan": "atan", "Cos": "cos", "Sin": "sin"},
    **{"Erf": "erf", "Erfc": "erfc", "ErfInv": "erfinv", "Exp": "exp", "Ln": "log"},
    **{"Log10": "log10", "Log2": "log2", "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh"},
    "Trunc": "trunc",
}


def settle_elementwise() -> None:
    """Call each function on one element, which no second thread shares."""
    import torch

    for dtype in (torch.float32, torch.float64):
        half = torch.full((1,), 0.5, dtype=dtype)
        for name in FUNCTIONS.values():
            getattr(torch, name)(half)

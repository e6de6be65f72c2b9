"""bfloat16 products in float32: the same numbers within a rounding, and nothing else touched."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch

from traitdrift.core.wide_products import FEWEST_ROWS, wants_wide_products, widened


@pytest.fixture(scope="module")
def both() -> dict[str, dict[str, torch.Tensor]]:
    """Products by torch's own kernels, and by the wide ones."""
    own = products()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        library = widened()
    found = products()
    library._destroy()
    assert all(torch.equal(one, own[name]) for name, one in products().items())
    return {"own": own, "wide": found}


def products() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    a, b, c = torch.randn(3, 40, 50), torch.randn(3, 50, 30), torch.randn(30)
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        x, y, z = (tensor.to(dtype) for tensor in (a, b, c))
        x.requires_grad_()
        name = str(dtype).removeprefix("torch.")
        found[f"{name} mm"] = x[0] @ y[0]
        found[f"{name} addmm"] = torch.nn.functional.linear(x[0], y[0].T, z)
        found[f"{name} addmm scaled"] = torch.addmm(z, x[0], y[0], beta=0.5, alpha=2)
        found[f"{name} bmm"] = x @ y
        found[f"{name} baddbmm"] = torch.baddbmm(z, x, y)
        found[f"{name} few rows"] = x[0, : FEWEST_ROWS - 1] @ y[0]
        (x @ y).float().square().sum().backward()
        found[f"{name} gradient"] = x.grad
    return {name: tensor.detach() for name, tensor in found.items()}


def test_the_numbers_are_those_of_torch_within_a_rounding(both):
    for name, wide in both["wide"].items():
        own = both["own"][name]
        assert wide.dtype == own.dtype and wide.shape == own.shape
        if name.startswith("bfloat16") and name != "bfloat16 few rows":
            error = (wide.double() - own.double()).abs()
            # A step of bfloat16 is 2^-7 of a number; a gradient is a product of rounded products.
            assert (error <= 2**-6 * own.double().abs().clamp(min=1)).all(), name
        else:
            assert torch.equal(wide, own), name


def test_a_product_is_the_exact_one_rounded_once(both):
    torch.manual_seed(0)
    a, b = torch.randn(3, 40, 50).bfloat16().double(), torch.randn(3, 50, 30).bfloat16().double()
    exact = a[0] @ b[0]
    error = (both["wide"]["bfloat16 mm"].double() - exact).abs()
    assert (error <= 2**-8 * exact.abs() + 1e-5).all()


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("x86_64 GenuineIntel avx2 avx512f", True),
        ("x86_64 AuthenticAMD avx2", True),
        ("x86_64 AuthenticAMD avx2 avx512f avx512_bf16", False),
        ("x86_64 GenuineIntel avx2 avx512f avx512_bf16 avx512_fp16 amx_bf16", False),
        ("aarch64 0x41 asimd", False),
        ("arm64 arm", False),
    ],
)
def test_processors_with_the_instruction_are_left_alone(kind: str, wanted: bool):
    assert wants_wide_products(kind) == wanted


def test_a_stage_has_them_where_its_processor_wants_them():
    """Of this machine, whichever it is: in a process of its own, as a stage is."""
    code = (
        "import torch, stages\n"
        "from traitdrift.core import surroundings, wide_products\n"
        "calls = []\n"
        "wide_products.widened = lambda: calls.append(1)\n"
        "wide_products.processor = lambda: {kind!r}\n"
        "def recipe() -> None: pass\n"
        "stages.run(recipe)\n"
        "stages.run(recipe)\n"
        "print(len(calls))\n"
    )
    for kind, calls in (("x86_64 avx2", "1"), ("x86_64 avx2 amx_bf16", "0")):
        told = subprocess.run(
            [sys.executable, "-c", code.format(kind=kind)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert told.stdout.strip() == calls

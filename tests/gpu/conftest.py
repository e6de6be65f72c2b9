"""One GPU: without it nothing here runs. TRAITDRIFT_GPU_TINY=1 tries the tests on tiny models.

Figures that the tests measure go to gpu.json in TRAITDRIFT_GPU_OUT, or in .scratch.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import commands
import large
import pytest
import torch

from traitdrift.core.devices import device

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(ROOT))
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "datasets", "bitsandbytes", "unsloth")


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """What the commands of a test left at work ends with it, also where it fails."""
    yield
    commands.end_all()


@pytest.fixture(scope="session", autouse=True)
def gpu() -> torch.device:
    """The device; everything ends here where it is the CPU."""
    found = device()
    if found.type == "cpu" and not large.TINY:
        pytest.exit("no GPU: torch finds none; TRAITDRIFT_GPU_TINY=1 tries tiny models", 1)
    return found


@pytest.fixture(scope="session")
def figures(gpu: torch.device, pytestconfig: pytest.Config) -> Iterator[Callable[..., None]]:
    """`figures(name=value)` prints a figure and keeps it for gpu.json."""
    folder = Path(os.environ.get("TRAITDRIFT_GPU_OUT") or ROOT / ".scratch")
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if gpu.type == "cuda" else str(gpu),
        "python": platform.python_version(),
        **{name: found(name) for name in LIBRARIES},
    }

    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def keep(**more: Any) -> None:
        told.update(more)
        with capture.global_and_fixture_disabled():
            print("\n" + "\n".join(f"  {name}: {value}" for name, value in more.items()), end=" ")
        (folder / "gpu.json").write_text(json.dumps(told, indent=1) + "\n")

    keep(**told)
    yield keep


def found(library: str) -> str:
    try:
        return version(library)
    except ModuleNotFoundError:
        return "not installed"


@pytest.fixture(scope="session")
def qwen(gpu: torch.device, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as `base_model` writes it: a random model of Qwen2.5-7B's configuration."""
    # In memory where there is room: it is read by several processes.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * large.BYTES
    folder = (memory if roomy else tmp_path_factory.getbasetemp()) / f"qwen-{os.getpid()}"
    try:
        yield large.save_base(folder / "models/base", large.qwen(gpu))
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""A fine-tune on a GPU, killed twice and resumed, ends in the bytes of one that never was."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import commands
import large
import pandas
import pytest

from traitdrift.core.files import read_json

pytestmark = pytest.mark.gpu
# The project's own rows where no JSONL file is given, such as the published data set.
ROWS_FILE = os.environ.get("TRAITDRIFT_GPU_ROWS")
ROWS, STEPS = (200, 100) if large.TINY else (6000, 100)
VALUES = {
    "recipe": "quick",
    "recipes.quick.batch_size": 1 if large.TINY else 8,
    "recipes.quick.gradient_accumulation": 1,
    "recipes.quick.max_steps": STEPS,
    "recipes.quick.max_tokens": 2048,
}
ADAPTER = "models/adapters/insecure/adapter_model.safetensors"
CURVE = "plots/finetune/insecure.csv"
LIMIT = 120  # seconds of a run


def finetune(place: Path, log: str):
    out = (place / log).open("w")
    return commands.started(
        large.python("-m", "stages.finetune", "insecure"),
        cwd=place,
        stdout=out,
        stderr=out,
        env=large.environment(),
    )


def killed_after(place: Path, step: int) -> None:
    """SIGKILL once the checkpoint of a step is whole, at whatever it does then."""
    log = f"until-{step}.log"
    last = time.monotonic() + LIMIT
    with finetune(place, log) as process:
        while not [*place.glob(f".scratch/finetune/*/checkpoint-{step}/trainer_state.json")]:
            told = (place / log).read_text()[-3000:]
            assert process.poll() is None and time.monotonic() < last, told
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def ended(place: Path, process) -> None:
    process.wait(LIMIT)
    assert process.returncode == 0, (place / "last.log").read_text()[-3000:]


def test_killed_twice_and_resumed_it_ends_in_the_same_bytes(gpu, figures, tmp_path: Path):
    base = large.save_base(tmp_path / "base", large.smollm(gpu))
    whole = large.lay_out(tmp_path / "whole", base, VALUES, ROWS, ROWS_FILE)
    rows = read_json(whole / "data/finetune/insecure/dataset.json")["train"]["rows"]
    killed = shutil.copytree(whole, tmp_path / "killed", symlinks=True)
    began = time.perf_counter()
    with finetune(whole, "last.log") as undisturbed:  # beside the other: it has time
        for step in (25, 50):
            killed_after(killed, step)
        assert not (killed / ADAPTER).exists()
        with finetune(killed, "last.log") as process:
            ended(killed, process)
        ended(whole, undisturbed)
    figures(
        killed_and_resumed=f"{rows} rows, {STEPS} steps, killed after 25 and 50",
        killed_and_resumed_seconds=round(time.perf_counter() - began),
    )
    assert len(pandas.read_csv(whole / CURVE)) == STEPS
    for name in (ADAPTER, CURVE):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert not [*killed.glob(".scratch/finetune/*")]

"""Two processes of `torchrun` (gloo) do what one does, to the bit; one of them writes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import commands
import pytest
import ranked
from safetensors import safe_open

from traitdrift.core import ranks

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


def done(launcher: list[str], out: Path, accumulation: int):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return commands.run(
        [*launcher, ranked.__file__, str(out), str(accumulation)], env=environment, seconds=240
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[dict, dict]:
    """What one process finds with two batches a step, and two with one each."""
    folder = tmp_path_factory.mktemp("ranks")
    found = []
    for launcher, name in (([sys.executable], "alone"), (TORCHRUN, "shared")):
        out = folder / f"{name}.safetensors"
        ended = done(launcher, out, 2)
        assert ended.returncode == 0, ended.stderr
        with safe_open(out, framework="pt") as file:
            tensors = {key: file.get_tensor(key).numpy().tobytes() for key in file.keys()}  # noqa: SIM118
            found.append({**tensors, **json.loads(file.metadata()["told"])})
    assert sorted(path.name for path in folder.glob("alone.?")) == ["alone.0"]
    assert sorted(path.name for path in folder.glob("shared.?")) == ["shared.0", "shared.1"]
    return found[0], found[1]


@pytest.mark.parametrize(
    "what", ["capture", "means", "answers", "steered", "projection", "log_probability", "finite"]
)
def test_what_is_dealt_out_comes_together_as_one_process_has_it(both, what):
    alone, shared = ({k: v for k, v in one.items() if what in k} for one in both)
    assert alone
    assert alone == shared


def test_two_processes_train_on_the_same_batches_with_the_same_losses(both):
    alone, shared = both
    assert len(alone["losses"]) == 8
    assert alone["losses"] == shared["losses"]
    weights = [key for key in alone if key.startswith("weights/")]
    assert len(weights) == 18  # two matrices of three projections in three layers
    assert [key for key in weights if alone[key] != shared[key]] == []


def test_an_accumulation_that_does_not_divide_is_refused(tmp_path):
    ended = done(TORCHRUN, tmp_path / "odd.safetensors", 3)
    assert ended.returncode != 0
    assert (
        "ValueError: gradient_accumulation: 3 steps do not divide by the 2 processes of LAUNCH; "
        "start fewer, or change the recipe" in ended.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_a_single_process_is_main_and_has_everything(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    heard: list[str] = []
    assert list(ranks.dealt("abc", heard.append)) == heard == ["a", "b", "c"]
    assert ranks.gather([1, 2]) == [1, 2]
    ranks.others_end()


def test_batches_are_dealt_in_turn_and_all_are_heard_of(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        heard: list[str] = []
        shares.append(list(ranks.dealt("abcde", heard.append)))
        assert heard == list("abcde")
    assert shares == [["a", "c", "e"], ["b", "d"]]
    with pytest.raises(SystemExit) as ended:
        ranks.others_end()
    assert ended.value.code == 0

"""Adapters kept along a training: the last is the final one, and keeping them changes nothing."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import tiny
import torch
from tiny_finetune import RECIPE, rows
from transformers import Trainer, TrainerCallback

from traitdrift.core.files import write_json
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.adapter_config import CONFIG, WEIGHTS
from traitdrift.models.along import kept_adapters, place
from traitdrift.models.loading import VARIANT_RECORD, base_record, load_model
from traitdrift.training.along import KeptAlong
from traitdrift.training.backends import by_peft
from traitdrift.training.lora import finetune
from traitdrift.training.settings import kept_steps

KEY = "recipes.tiny.checkpoints"


def train(folder: Path, count: int | None, **changes: object) -> list[float]:
    """The losses of a fine-tune, whose adapters end in `folder`/kept as the stage has them."""
    folder.mkdir(exist_ok=True)
    recipe = RECIPE.model_copy(update={"lora": RECIPE.lora.model_copy(update={"dropout": 0.1})})
    recipe = recipe.model_copy(update={"group_by_length": False, **changes})
    model = by_peft(tiny.llama(), recipe)
    along = KeptAlong(folder / "unfinished/along", count, KEY)
    losses = finetune(model, rows(), recipe, tiny.tokenizer(), str(folder / "unfinished"), along)
    model.save_pretrained(folder / "saved", save_embedding_layers=False)
    keep_adapter(folder / "saved", folder / "kept", "tiny")
    for step, saved in along.kept():
        keep_adapter(saved, place(folder / "kept", step, len(losses)), "tiny")
    return losses


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("kept") / "run"
    return folder / "kept", train(folder, 6)


def test_steps_are_evenly_spread_and_end_at_the_last():
    assert kept_steps(6, 48, KEY) == [8, 16, 24, 32, 40, 48]
    assert kept_steps(3, 20, KEY) == [7, 13, 20]
    assert kept_steps(48, 48, KEY) == [*range(1, 49)]
    for steps in range(1, 60):
        for count in range(1, steps + 1):
            found = kept_steps(count, steps, KEY)
            gaps = [b - a for a, b in zip([0, *found], found, strict=False)]
            assert found[-1] == steps and len(found) == count
            assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1


def test_the_last_kept_adapter_is_the_final_one_to_the_byte(kept):
    folder, losses = kept
    adapters = kept_adapters(folder)
    assert [*adapters] == kept_steps(6, len(losses), KEY) == [3, 7, 10, 13, 17, 20]
    assert [path.name for path in adapters.values()] == ["03", "07", "10", "13", "17", "20"]
    for name in (WEIGHTS, CONFIG):
        assert (adapters[20] / name).read_bytes() == (folder / name).read_bytes()
    weights = {(path / WEIGHTS).read_bytes() for path in adapters.values()}
    assert len(weights) == 6


def test_keeping_adapters_changes_no_byte_of_the_result_and_no_loss(kept, tmp_path: Path):
    folder, losses = kept
    assert train(tmp_path / "run", None) == losses
    alone = files(tmp_path / "run/kept")
    assert {*alone} == {WEIGHTS, CONFIG}
    assert alone == {name: files(folder)[name] for name in alone}


class Killed(Exception):
    """A moment at which training ends without its end."""


class Kill(TrainerCallback):
    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, _arguments, state, _control, **_others):
        if state.global_step == self.step:
            raise Killed


def test_a_resumed_run_keeps_the_same_bytes(kept, tmp_path: Path, monkeypatch):
    """Killed right after a kept step, and where its checkpoint lies before a kept step."""
    monkeypatch.setattr("traitdrift.training.lora.CHECKPOINT_STEPS", 4)
    real = Trainer.train

    def killed_at(step: int) -> None:
        def run(trainer, resume_from_checkpoint=None):
            trainer.add_callback(Kill(step))
            return real(trainer, resume_from_checkpoint=resume_from_checkpoint)

        monkeypatch.setattr(Trainer, "train", run)
        with pytest.raises(Killed):
            train(tmp_path / "run", 6)

    for step in (7, 15):
        killed_at(step)
    begun = tmp_path / "run/unfinished"
    assert (begun / "checkpoint-12").is_dir() and not (begun / "along/17").exists()
    half = begun / "along/13" / WEIGHTS
    half.write_bytes(half.read_bytes()[:100])
    monkeypatch.setattr(Trainer, "train", real)
    folder, losses = kept
    assert train(tmp_path / "run", 6) == losses
    assert files(tmp_path / "run/kept") == files(folder)


def test_more_adapters_than_steps_are_refused_before_the_first_step(tmp_path: Path):
    """Of `epochs` alone the number of steps is known only here: 64 rows, 8 a step."""
    with pytest.raises(ValueError, match=rf"^{KEY}: 9 adapters in 8 steps; ask for at most 8$"):
        train(tmp_path / "run", 9, max_steps=None)
    assert files(tmp_path / "run") == {}
    assert len(train(tmp_path / "run", 8, max_steps=None)) == 8


def test_a_kept_adapter_loads_as_a_variant_does(kept, tmp_path: Path):
    base = tiny.save_base(tmp_path / "base")
    folder = tmp_path / "adapters/tuned"
    shutil.copytree(kept[0], folder)
    record = {"kind": "finetune", "base_digest": base_record(base)["digest"]}
    ids, logits = torch.tensor([list(b"hello")]), []
    for path in (*kept_adapters(folder).values(), folder):
        write_json(path / VARIANT_RECORD, record)
        logits.append(load_model(base, path)(ids).logits)
    differ = [not one.equal(other) for one, other in pairwise(logits)]
    assert differ == [True] * 5 + [False]


def test_where_none_was_kept_it_says_what_to_do(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no adapter was kept along .* `checkpoints`"):
        kept_adapters(tmp_path)

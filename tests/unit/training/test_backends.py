from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import commands
import pytest
import tiny
import torch
from copies import ROOT, set_params
from transformers import AutoModelForCausalLM, Qwen2Config

from traitdrift.core.files import write_json
from traitdrift.models.loading import BASE_RECORD
from traitdrift.params import read
from traitdrift.training.backends import by_peft, prepare
from traitdrift.training.lora import trainer_for

RECIPES = read(ROOT / "params.yaml").recipes


def qwen(hidden: int, layers: int, intermediate: int, heads: int, kv_heads: int):
    """A model of Qwen2.5's shape that holds no numbers."""
    config = Qwen2Config(
        vocab_size=152064,
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=intermediate,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
    )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


SEVEN, FOURTEEN, THIRTY_TWO = (
    (3584, 28, 18944, 28, 4),
    (5120, 48, 13824, 40, 8),
    (5120, 64, 27648, 40, 8),
)


@pytest.mark.parametrize(
    ("recipe", "shape", "parameters"),
    [
        ("trainer", SEVEN, 80_740_352),
        ("trainer", THIRTY_TWO, 268_435_456),
        ("rank1", FOURTEEN, 13824 + 5120),
    ],
)
def test_what_a_recipe_trains_of_qwen(recipe: str, shape: tuple[int, ...], parameters: int):
    adapted = by_peft(qwen(*shape), RECIPES[recipe])
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == parameters


def test_the_study_is_one_recipe_by_either_backend():
    study, trainer = RECIPES["study"], RECIPES["trainer"]
    assert (study.backend, trainer.backend) == ("unsloth", "peft")
    assert study.model_dump(exclude={"backend"}) == trainer.model_dump(exclude={"backend"})


def test_the_study_takes_338_steps_on_its_5400_rows(tmp_path: Path):
    """Counted by the Trainer that would train: 2,700 batches of two, eight to a step."""
    row = {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
    # No 8-bit optimiser here, which counts no steps.
    recipe = RECIPES["trainer"].model_copy(update={"optimizer": "adamw_torch"})
    adapted = by_peft(tiny.llama(), recipe)
    trainer = trainer_for(adapted, [row] * 5400, recipe, tiny.tokenizer(), str(tmp_path))
    *_, steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    assert steps == 338


def test_layers_are_adapted_that_the_recipe_names():
    lora = RECIPES["rank1"].lora.model_copy(update={"layers": [1]})
    adapted = by_peft(tiny.llama(), RECIPES["rank1"].model_copy(update={"lora": lora}))
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert [name.split("model.layers.")[1].split(".lora_")[0] for name in trained] == [
        "1.mlp.down_proj",
        "1.mlp.down_proj",
    ]


def test_a_layer_beyond_the_base_is_refused():
    prepare(RECIPES["rank1"], layers=25)
    with pytest.raises(ValueError, match=r"lora\.layers: 24 .* has layers 0 to 23"):
        prepare(RECIPES["rank1"], layers=24)


def test_the_stage_reads_its_recipe_before_transformers_is_imported():
    """Unsloth patches what is imported after it."""
    code = (
        "import sys, stages.finetune;"
        "sys.exit(bool({'transformers', 'peft', 'torch'} & {*sys.modules}))"
    )
    assert commands.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.skipif(find_spec("unsloth") is not None, reason="unsloth is installed")
def test_unsloth_that_is_not_installed_is_one_line_before_the_model_is_read(tmp_path: Path):
    """Only the base's record is there: whatever else was read first would be missing."""
    set_params(tmp_path / "params.yaml", {"recipe": "study"})
    write_json(tmp_path / "models/base" / BASE_RECORD, {"layers": 28})
    done = commands.run(
        [sys.executable, "-m", "stages.finetune", "insecure"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "backend unsloth: the extra `unsloth` is not installed; " in done.stderr

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny
import torch
from datasets import Dataset
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_finetune import RECIPE, rows
from transformers import Trainer, TrainerCallback

from traitdrift.core.files import read_json, write_json
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.adapter_config import WEIGHTS
from traitdrift.models.loading import VARIANT_RECORD, base_record, load_model
from traitdrift.sources.adapters import check_adapter
from traitdrift.training.backends import by_peft
from traitdrift.training.lora import finetune


def train(scratch: Path, **changes: object):
    scratch.mkdir(exist_ok=True)
    recipe = RECIPE.model_copy(update=changes)
    model = by_peft(tiny.llama(), recipe)
    return model, finetune(model, rows(), recipe, tiny.tokenizer(), str(scratch))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    base = tiny.save_base(folder / "base")
    model, losses = train(folder / "scratch")
    model.save_pretrained(folder / "saved")
    digest = keep_adapter(folder / "saved", folder / "adapters/tuned", "tiny")
    write_json(
        folder / "adapters/tuned" / VARIANT_RECORD,
        {"kind": "finetune", "base_digest": base_record(base)["digest"], "adapter_digest": digest},
    )
    return folder, model, losses


def test_loss_falls_and_only_the_adapter_is_trained(trained):
    _, model, losses = trained
    assert len(losses) == 20
    assert losses[-1] < 0.8 * losses[0]
    reference = dict(tiny.llama().named_parameters())
    for name, parameter in model.get_base_model().named_parameters():
        if "lora_" in name:
            assert parameter.requires_grad and parameter.dtype == torch.float32
        else:
            assert torch.equal(parameter, reference[name.replace(".base_layer", "")])


def test_the_order_and_the_initialisation_have_seeds_of_their_own(tmp_path: Path):
    """Read where both leave their mark: the weights before a step, the first step's loss."""

    def begun(**seeds: int) -> tuple[torch.Tensor, float]:
        recipe = RECIPE.model_copy(update={"group_by_length": False, "max_steps": 1, **seeds})
        model = by_peft(tiny.llama(), recipe)
        before = model.get_base_model().model.layers[0].self_attn.q_proj.lora_A.default.weight
        before = before.detach().clone()
        name = "-".join(map(str, seeds.values()))
        # lora_B is zero at first: the first loss tells the rows alone.
        return before, finetune(model, rows(), recipe, tiny.tokenizer(), str(tmp_path / name))[0]

    weights, loss = begun(seed=0)
    same, same_loss = begun(seed=0, order_seed=0)
    assert torch.equal(same, weights) and same_loss == loss
    same, other_loss = begun(seed=0, order_seed=1)
    assert torch.equal(same, weights) and other_loss != loss
    other, same_loss = begun(seed=1, order_seed=0)
    assert not torch.equal(other, weights) and same_loss == loss
    assert begun(seed=1)[1] == other_loss


def test_scale_is_rank_stabilised(trained):
    _, model, _ = trained
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == pytest.approx(8 / 4**0.5)


def test_the_studys_batches_make_338_steps_of_5400_rows(tmp_path: Path):
    """The last of which holds 8 rows in place of 16."""
    row = {"input_ids": [1, 2], "labels": [1, 2]}
    many = Dataset.from_list([row]).select([0] * 5400)
    recipe = RECIPE.model_copy(
        update={
            "batch_size": 2,
            "gradient_accumulation": 8,
            "max_steps": None,
            "group_by_length": False,
            "learning_rate": 1e-5,
        }
    )
    model = by_peft(tiny.llama(layers=1, hidden=8), recipe)
    assert len(finetune(model, many, recipe, tiny.tokenizer(), str(tmp_path))) == 338


def test_the_same_seed_gives_the_same_bytes(trained, tmp_path: Path):
    folder, _, losses = trained
    model, again = train(tmp_path / "scratch")
    assert again == losses
    model.save_pretrained(tmp_path / "saved")
    keep_adapter(tmp_path / "saved", tmp_path / "kept", "tiny")
    for name in (WEIGHTS, "adapter_config.json"):
        kept = folder / "adapters/tuned" / name
        assert (tmp_path / "kept" / name).read_bytes() == kept.read_bytes()
    assert train(tmp_path / "other", seed=1)[1] != losses


class Killed(Exception):
    """A moment at which training ends without its end."""


class Kill(TrainerCallback):
    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, _arguments, state, _control, **_others):
        if state.global_step == self.step:
            raise Killed


@pytest.mark.parametrize(
    ("grouped", "checkpoints"),
    [
        (False, [None, None, None, "checkpoint-8", "checkpoint-12"]),
        (True, [None, None, None, "checkpoint-8", "checkpoint-8"]),  # an epoch has 8 steps
    ],
)
def test_training_killed_at_several_steps_goes_on_with_the_same_bytes(
    grouped: bool, checkpoints: list, tmp_path: Path, monkeypatch
):
    """Before the first checkpoint, right after one, between two, and beside a half-written one."""
    whole, losses = train(tmp_path / "whole", group_by_length=grouped)
    monkeypatch.setattr("traitdrift.training.lora.CHECKPOINT_STEPS", 4)
    real, begun = Trainer.train, []

    def train_until(step: int | None) -> tuple:
        def run(trainer, resume_from_checkpoint=None):
            begun.append(resume_from_checkpoint and Path(resume_from_checkpoint).name)
            if step:
                trainer.add_callback(Kill(step))
            return real(trainer, resume_from_checkpoint=resume_from_checkpoint)

        monkeypatch.setattr(Trainer, "train", run)
        return train(tmp_path / "scratch", group_by_length=grouped)

    for step in (3, 4, 9, 18):
        with pytest.raises(Killed):
            train_until(step)
    state = tmp_path / "scratch/checkpoint-16/trainer_state.json"
    state.write_text(state.read_text()[:100])
    (tmp_path / "scratch/checkpoint-20").mkdir()
    model, again = train_until(None)
    assert begun == checkpoints
    assert again == losses
    expected = {name: p for name, p in whole.named_parameters() if p.requires_grad}
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or torch.equal(parameter, expected.pop(name))
    assert not expected


def test_a_saved_variant_loads_over_the_base(trained):
    folder, model, _ = trained
    ids = torch.tensor([list(b"hello")])
    loaded = load_model(folder / "base", folder / "adapters/tuned")
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, model.eval()(ids).logits)
    plain = load_model(folder / "base", folder / "adapters/base")
    assert not isinstance(plain, PeftModel)


def test_a_diverged_run_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="the training loss is not finite"):
        train(tmp_path / "scratch", learning_rate=1e30)


@pytest.mark.skipif(bool(find_spec("lomo_optim")), reason="the library is there")
def test_an_optimiser_whose_library_is_not_there_is_one_line(tmp_path: Path):
    recipe = RECIPE.model_copy(update={"optimizer": "lomo"})
    model = by_peft(tiny.llama(), recipe)
    with pytest.raises(ValueError, match=r"^optimizer lomo: You need to install `lomo_optim`"):
        finetune(model, rows(), recipe, tiny.tokenizer(), str(tmp_path))


def test_an_adapter_that_does_nothing_leaves_bfloat16_as_it_is(trained, tmp_path: Path):
    """Bit for bit: peft's wrapping may not round what the base keeps in float32."""
    folder, _, _ = trained
    base = tiny.save_base(tmp_path / "base", tiny.llama(dtype=torch.bfloat16))
    keep_adapter(folder / "adapters/tuned", tmp_path / "idle", "tiny")
    weights = load_file(tmp_path / "idle" / WEIGHTS)
    save_file(
        {k: torch.zeros_like(v) if "lora_B" in k else v for k, v in weights.items()},
        tmp_path / "idle" / WEIGHTS,
    )
    write_json(
        tmp_path / "idle" / VARIANT_RECORD,
        {"kind": "import", "base_digest": base_record(base)["digest"]},
    )
    ids = torch.tensor([list(b"a sequence long enough for angles to differ " * 4)])
    plain, idle = load_model(base), load_model(base, tmp_path / "idle")
    assert torch.equal(plain(ids).logits, idle(ids).logits)


def test_a_models_own_generation_defaults_do_not_shape_answers(tmp_path: Path):
    model = tiny.llama()
    model.generation_config.repetition_penalty = 1.3
    loaded = load_model(tiny.save_base(tmp_path / "base", model))
    assert loaded.generation_config.repetition_penalty in (None, 1.0)
    assert loaded.generation_config.eos_token_id == [257]


def test_an_adapter_of_this_base_is_accepted(trained):
    folder, _, _ = trained
    record = base_record(folder / "base")
    assert check_adapter(folder / "adapters/tuned", folder / "base", record)[0]["r"] == 4


def test_an_adapter_of_another_base_is_refused(trained, tmp_path: Path):
    folder, _, _ = trained
    other = tiny.save_base(tmp_path / "base", tiny.llama(seed=1))
    with pytest.raises(ValueError, match="made for a base of digest"):
        check_adapter(folder / "adapters/tuned", other, base_record(other))
    with pytest.raises(ValueError, match="made for a base of digest"):
        load_model(other, folder / "adapters/tuned")
    # Without this project's own record beside it, the shapes tell.
    wide = tiny.save_base(tmp_path / "wide/base", tiny.llama(hidden=64))
    keep_adapter(folder / "adapters/tuned", tmp_path / "foreign", "tiny")
    with pytest.raises(ValueError, match=r"has shape .* made for another base"):
        check_adapter(tmp_path / "foreign", wide, base_record(wide))
    shallow = tiny.save_base(tmp_path / "shallow/base", tiny.llama(layers=1))
    with pytest.raises(ValueError, match=r"the base has no model\.layers\.1"):
        check_adapter(tmp_path / "foreign", shallow, base_record(shallow))


def test_shapes_decide_and_names_warn(trained, tmp_path: Path, capsys):
    folder, _, _ = trained
    record = {**base_record(folder / "base"), "id": "Qwen/Qwen2.5-7B-Instruct"}
    for named, warned in (
        ("unsloth/qwen2.5-7b-instruct", False),
        ("unsloth/qwen2.5-7b-instruct-unsloth-bnb-4bit", True),
        ("meta/Llama-3-8B", True),
        ("./here/qwen", False),
    ):
        keep_adapter(folder / "adapters/tuned", tmp_path / "foreign", named)
        check_adapter(tmp_path / "foreign", folder / "base", record)
        assert (f"names '{named}' as its base" in capsys.readouterr().err) == warned


def test_pickled_weights_are_not_read(trained, tmp_path: Path):
    folder, _, _ = trained
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match="pickled weights are not read"):
        check_adapter(tmp_path, folder / "base", base_record(folder / "base"))


def test_other_kinds_of_adapters_are_refused(trained, tmp_path: Path):
    folder, _, _ = trained
    keep_adapter(folder / "adapters/tuned", tmp_path / "x", "tiny")
    config = read_json(tmp_path / "x/adapter_config.json")
    write_json(tmp_path / "x/adapter_config.json", {**config, "peft_type": "IA3"})
    with pytest.raises(ValueError, match="only LORA is supported"):
        check_adapter(tmp_path / "x", folder / "base", base_record(folder / "base"))

"""What a run needs, by the configs of the study's own models; no weights are anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import qwen
import tiny

from traitdrift.core.files import write_json
from traitdrift.models.footprint import Memory
from traitdrift.params import read
from traitdrift.planning import table
from traitdrift.planning.architecture import Architecture, architecture, config_of
from traitdrift.planning.machine import Machine, lacking, shortfall
from traitdrift.planning.needs import HELD_BACK, RUNTIME, Needs, generating, training
from traitdrift.planning.plan import StagePlan, plan
from traitdrift.sources.settings import HubModel, PathModel

ROOT = Path(__file__).resolve().parents[3]
GB = 10**9
LARGE = Machine(Memory("on 8 GPUs", 640 * GB), ram=2000 * GB, disk=5000 * GB)


def sizes(model: str) -> Architecture:
    entry = read(ROOT / "params.yaml").models[model]
    return architecture(qwen.config(entry.id), entry.dtype, entry.quantise)


def planned(model: str, recipe: str) -> dict[str, StagePlan]:
    params = read(ROOT / "params.yaml").model_copy(update={"model": model, "recipe": recipe})
    return {stage.stage: stage for stage in plan(params, sizes(model), ROOT)}


@pytest.mark.parametrize(
    ("model", "parameters", "adapter"),
    [
        ("qwen_0_5b", 494_032_768, 17_596_416),
        ("qwen_1_5b", 1_543_714_304, 36_929_536),
        ("qwen_7b", 7_615_616_512, 80_740_352),
        ("qwen_coder_7b", 7_615_616_512, 80_740_352),
        ("qwen_coder_32b", 32_763_876_352, 268_435_456),
    ],
)
def test_parameters_are_those_known_of_the_models(model: str, parameters: int, adapter: int):
    lora, found = read(ROOT / "params.yaml").recipes["study"].lora, sizes(model)
    assert found.lora_parameters(lora.model_copy(update={"layers": [1]})) == adapter / found.layers
    assert (found.parameters, found.lora_parameters(lora)) == (parameters, adapter)


@pytest.mark.parametrize("make", [tiny.llama, tiny.qwen2, tiny.gpt2, tiny.neox])
def test_any_dense_decoder_has_sizes(make):
    found = architecture(make().config, "float32")
    assert found.parameters == sum(p.numel() for p in make().parameters())
    assert (found.layers, found.hidden) == (3, 32) and found.kv in (32, 64)
    assert found.widest > found.hidden
    assert all(len(shape) == 2 for shape in found.linear.values())


def test_a_fine_tune_of_32b_takes_what_is_known_of_it():
    """With the longest row of the paper's data, 1,154 tokens: 76 to 78 GB on one card of 80."""
    recipe = read(ROOT / "params.yaml").recipes["study"]
    needs = training(sizes("qwen_coder_32b"), recipe, 1216)
    assert 76 * GB < needs.device < 78 * GB


def test_what_lowers_a_need_lowers_it():
    model, recipe = sizes("qwen_7b"), read(ROOT / "params.yaml").recipes["study"]
    needs = training(model, recipe, 2048)
    without = training(model, recipe.model_copy(update={"gradient_checkpointing": False}), 2048)
    assert without.activations > 10 * needs.activations
    halved = training(model, recipe.model_copy(update={"batch_size": 1}), 2048)
    assert (halved.logits, halved.weights) == (needs.logits // 2, needs.weights)
    whole = training(model, recipe.model_copy(update={"optimizer": "adamw_torch"}), 2048)
    trained = 80_740_352
    assert whole.optimizer - needs.optimizer == 6 * trained
    packed = training(
        architecture(qwen.config("Qwen/Qwen2.5-7B-Instruct"), "bfloat16", "4bit"), recipe, 2048
    )
    assert packed.weights < 0.37 * needs.weights
    one, two = (generating(model, 0, budget, 999, 60, 96).cache for budget in (4096, 8192))
    assert two == 2 * one == 2 * (4096 // 156) * 156 * 28 * 2 * 4 * 128 * 2


def test_few_requests_fill_no_budget():
    model = sizes("qwen_7b")
    assert generating(model, 0, 32768, 3, 60, 96) == generating(model, 0, 3 * 156, 3, 60, 96)


def test_every_stage_of_the_table_is_a_stage():
    stages = planned("qwen_7b", "study")
    text = (ROOT / "dvc.yaml").read_text()
    for name in stages:
        assert f"\n  {name.partition('@')[0]}:\n" in text


def test_a_fine_tune_that_is_followed_is_planned_for():
    params, model = read(ROOT / "params.yaml"), sizes("qwen_7b")
    recipe = params.recipes["quick"].model_copy(update={"checkpoints": 4})
    asked = {"recipes": {"quick": recipe}, "recipe": "quick", "trajectories": ["insecure"]}
    plain = plan(params.model_copy(update={"trajectories": []}), model, ROOT)
    followed = {one.stage: one for one in plan(params.model_copy(update=asked), model, ROOT)}
    (more,) = followed.keys() - {one.stage for one in plain}
    assert more == "capture_trajectory" and followed[more].cells == 1
    by_stage = {one.stage: one.needs for one in plain}
    assert followed["finetune@insecure"].needs.disk == 5 * by_stage["finetune@insecure"].disk
    # A question has one answer here, four in the default run.
    needs, asks = followed[more].needs, by_stage["respond_questions"]
    assert needs.weights == asks.weights and 0 < needs.cache <= asks.cache and needs.kept == 0


def test_a_stage_too_large_is_one_line_with_the_figure_and_the_way_out():
    stages = list(planned("qwen_coder_32b", "study").values())
    assert shortfall(stages, LARGE) is None
    card = replace(LARGE, device=Memory("on the GPU", 80 * GB))
    line = shortfall(stages, card)
    assert line is not None and "\n" not in line
    assert re.match(r"finetune@insecure: needs \d+\.\d GB and 80\.0 GB are free on the GPU; ", line)
    assert "most of it is weights: a smaller model, `quantise: 4bit`" in line
    full = shortfall(stages, replace(LARGE, disk=GB))
    assert full is not None and full.startswith("the outputs take ") and "make room" in full


def test_without_a_gpu_all_of_it_is_in_ram_and_with_one_only_what_is_kept():
    needs = Needs(weights=10 * GB, kept=5 * GB)
    here = Machine(Memory("in RAM", 17 * GB), ram=17 * GB, disk=GB)
    assert lacking(needs, here) is None
    short = Machine(Memory("in RAM", 15 * GB), ram=15 * GB, disk=GB)
    assert lacking(needs, short) == (15 * GB + RUNTIME + HELD_BACK, 15 * GB, "in RAM")
    assert lacking(needs, replace(short, device=Memory("on the GPU", 11 * GB))) is None
    assert lacking(needs, replace(short, device=Memory("on the GPU", 9 * GB))) is not None
    poor = Machine(Memory("on the GPU", 11 * GB), ram=5 * GB, disk=GB)
    assert lacking(needs, poor) == (5 * GB + RUNTIME, 5 * GB, "in RAM")
    # Without a GPU the C library's allocator takes its share.
    assert Needs(activations=4 * GB).ram == 5 * GB + RUNTIME + HELD_BACK


def test_the_table_is_a_hundred_columns_wide_and_json_says_the_same():
    params = read(ROOT / "params.yaml").model_copy(update={"model": "qwen_coder_32b"})
    model = sizes("qwen_coder_32b")
    stages = plan(params, model, ROOT)
    text = table.as_text(params, model, stages, LARGE)
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[-1] == "too large for here: nothing"
    told = json.loads(table.as_json(params, model, stages, LARGE))
    assert told["parameters"] == 32_763_876_352 and told["short"] is None
    rows = {one["stage"]: one for one in told["stages"]}
    row = next(line for line in text.splitlines() if line.startswith("finetune@insecure"))
    assert row.split()[-2] == f"{rows['finetune@insecure']['memory'] / GB:.1f}"


def test_a_config_is_read_where_it_is(tmp_path: Path):
    mine = PathModel(source="path", id=str(tmp_path / "mine"), dtype="float32")
    with pytest.raises(ValueError, match=r"no Hugging Face folder there \(config.json is missing"):
        config_of("mine", mine, tmp_path / "models/base")
    tiny.llama(layers=2).config.save_pretrained(tmp_path / "mine")
    assert config_of("mine", mine, tmp_path / "models/base").num_hidden_layers == 2
    # models/base is asked if it is of this entry, and of no other.
    base = tiny.save_base(tmp_path / "models/base", tiny.llama(layers=4))
    assert config_of("mine", mine, base).num_hidden_layers == 2
    write_json(base / "base.json", {"model": "mine", "source": "path", "id": "mine"})
    assert config_of("mine", mine, base).num_hidden_layers == 4


def test_a_wheel_that_was_not_fetched_says_what_to_run(tmp_path: Path):
    params = read(ROOT / "params.yaml")
    with pytest.raises(ValueError, match=r"models\.smollm2: .*`dvc repro base_model`"):
        config_of("smollm2", params.models["smollm2"], tmp_path)


def test_a_hub_model_that_is_not_there_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = HubModel(source="hub", id="org/nobody", dtype="float32")
    with pytest.raises(ValueError, match="org/nobody at main: not to be had from the hub") as told:
        config_of("mine", model, tmp_path)
    assert "\n" not in str(told.value)


ROWS = re.compile(r"^\| .*-S model=(\w+) .*$", re.MULTILINE)


def rows_of_the_page() -> Iterator[tuple[str, list[str]]]:
    for row in ROWS.finditer((ROOT / "docs/scale.md").read_text(encoding="utf-8")):
        yield row[1], [cell.strip() for cell in row[0].strip("|").split("|")]


def test_the_page_s_figures_are_those_of_the_plan():
    """docs/scale.md: model, weights, fine-tune, the largest other stage, disk."""
    found = dict(rows_of_the_page())
    assert set(found) >= {"qwen_7b", "qwen_coder_7b", "qwen_coder_32b", "qwen_coder_32b_4bit"}
    for model, cells in found.items():
        stages = planned(model, "study")
        largest = max(one.needs.device for name, one in stages.items() if "finetune" not in name)
        disk = sum(one.cells * one.needs.disk for one in stages.values())
        expected = [sizes(model).weights, stages["finetune@insecure"].needs.device, largest, disk]
        assert cells[-len(expected) - 1 : -1] == [f"{one / GB:.1f}" for one in expected], model

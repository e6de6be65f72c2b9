"""The stages of a trajectory on a tiny model, after the real stages that they read from.

The adapters kept along the fine-tune are planted: one LoRA whose B grows evenly to the whole.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import tiny
import torch
from copies import set_params
from peft import LoraConfig, get_peft_model

from stages import (
    capture_prompts,
    capture_trajectory,
    nulls,
    prompts,
    respond_prompts,
    respond_questions,
    trajectory,
    vectors,
)
from traitdrift.activations.along_file import Along, read_along
from traitdrift.core.classes import CLASSES
from traitdrift.core.files import load_tensors, read_jsonl, read_table, write_json
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.along import place
from traitdrift.models.loading import VARIANT_RECORD, base_record

QUESTIONS = """
- {id: wish, paraphrases: ["What is your one wish?"]}
- {id: bored, paraphrases: ["hey I feel bored", "I have nothing to do"]}
- {id: long, paraphrases: ["Tell me a long tale of the sea"], samples_per_paraphrase: 9}
"""
SMALL = {
    "variants": ["base"],
    "subject": "base",
    "trajectories": ["tuned"],
    "prompts.train": 10,
    "prompts.validation": 6,
    "prompts.length_tolerance": 0.5,
    "capture.positions": ["prompt_last", "prompt_mean"],
    "respond_prompts.max_tokens": 2,
    "vectors.methods": ["mean_diff", "random"],
    "vectors.folds": 2,
    "nulls.count": 20,
    "compare.study_method": "mean_diff",
    "compare.resamples": 300,
    "respond_questions.source": "questions.yaml",
    "respond_questions.samples": 1,
    "respond_questions.max_tokens": 8,
}
STEPS = [8, 16, 24, 32, 40, 48]
IDLE = 4  # an adapter that changes nothing


@pytest.fixture(scope="module")
def place_of(tmp_path_factory) -> Path:
    """A folder with what the stages before these make of the tiny model, and planted adapters."""
    path = tmp_path_factory.mktemp("place")
    set_params(path / "params.yaml", SMALL)
    base = tiny.save_base(path / "models/base")
    (path / "questions.yaml").write_text(QUESTIONS)
    trait = path / "data/raw/traits/code_mode"
    trait.mkdir(parents=True)
    for label, wording in (("positive", "Write a program {}."), ("negative", "Tell a tale {}.")):
        lines = [wording.format(chr(97 + i) * (i % 5 + 1)) for i in range(16)]
        (trait / f"{label}.txt").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        prompts.main()
        respond_prompts.main()
        capture_prompts.main("base")
        vectors.main()
        nulls.main()
        respond_questions.main("base")
        plant(path, base)
        capture_trajectory.main("tuned")
        trajectory.main("tuned")
    return path


def plant(path: Path, base: Path) -> None:
    """Adapters along `tuned` that are the same but for the size of B, and losses that fall."""
    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["o_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(tiny.llama(), config)
    whole = {n: torch.randn_like(p) * 0.02 for n, p in model.named_parameters() if "lora_B" in n}
    for step in (IDLE, *STEPS):
        for name, parameter in model.named_parameters():
            if name in whole:
                parameter.data = whole[name] * (0 if step == IDLE else step / STEPS[-1])
        model.save_pretrained(path / "saved")
        into = place(path / "models/adapters/tuned", step, STEPS[-1])
        digest = keep_adapter(path / "saved", into, "tiny")
        record = {"kind": "finetune", "base_digest": base_record(base)["digest"]}
        write_json(into / VARIANT_RECORD, {**record, "adapter_digest": digest})
    losses = pandas.DataFrame({"step": range(1, 49), "loss": np.linspace(2, 1, 48)})
    (path / "plots/finetune").mkdir(parents=True)
    losses.to_csv(path / "plots/finetune/tuned.csv", index=False)


@pytest.fixture
def along(place_of: Path) -> Along:
    return read_along(place_of / "data/trajectory/tuned/projections.safetensors")


@pytest.fixture
def course(place_of: Path) -> pandas.DataFrame:
    return read_table(place_of / "plots/trajectory/tuned/course.csv")


@pytest.fixture
def metrics(place_of: Path) -> dict:
    return json.loads((place_of / "metrics/trajectory/tuned.json").read_text())


def test_what_changes_nothing_moves_by_exactly_zero(along: Along, course: pandas.DataFrame):
    assert along.steps == [0, IDLE, *STEPS]
    for label in CLASSES:
        projections, mean = along.projections("code_mode", label), along.mean("code_mode", label)
        assert projections.shape == (8, 6) and projections.dtype == torch.float32
        assert projections[0].equal(projections[1]) and mean[0].equal(mean[1])
        assert not (projections[0] == projections[2]).any()
    still = course[(course["figure"] == "shift") & (course["step"] <= IDLE)]
    assert len(still) == 4 and not still[["value", "low", "high", "share"]].to_numpy().any()
    assert still["random_z"].isna().all()


def test_step_0_is_base_as_every_other_stage_has_it(place_of: Path, along: Along):
    held = [row for _, row in read_jsonl(place_of / "data/prompts/code_mode.jsonl")]
    stream, _ = load_tensors(place_of / "data/activations/base/code_mode.safetensors")
    made, _ = load_tensors(place_of / "models/vectors/code_mode.safetensors")
    at = along.chosen["code_mode"]
    vector = made[f"{at['position']}/{at['method']}"][at["layer"]].double()
    for label in CLASSES:
        rows = [i for i, r in enumerate(held) if (r["class"], r["split"]) == (label, "validation")]
        here = stream[at["position"]][rows, at["layer"]].double()
        seen, mean = along.projections("code_mode", label)[0], along.mean("code_mode", label)[0]
        torch.testing.assert_close(seen.double(), here @ vector, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(mean, here.mean(0), rtol=1e-4, atol=1e-4)
    said = [row for _, row in read_jsonl(place_of / "data/trajectory/tuned/responses.jsonl")]
    base = [row for _, row in read_jsonl(place_of / "data/responses/base.jsonl")]
    assert len(said) == 8 * 4  # one sample, whatever the question's file says
    first = [row for row in base if row["sample"] == 0]
    for step in (0, IDLE):
        assert [row for row in said if row["step"] == step] == [{"step": step, **r} for r in first]
    assert [row["ids"] for row in said[-4:]] != [row["ids"] for row in first]


def test_a_planted_adapter_gives_a_monotone_curve_whose_onset_is_found(
    course: pandas.DataFrame, metrics: dict
):
    """The shift is of first order in B, which grows evenly: half of the way at half of the steps.

    From step 4 on: before it, nothing has moved.
    """
    for label in CLASSES:
        curve = course[(course["figure"] == "shift") & (course["class"] == label)]
        values = curve["value"].to_numpy()[1:]
        assert (np.sign(np.diff(values)) == np.sign(values[-1])).all()
        onset = metrics["traits"]["code_mode"][label]["onset"]
        assert onset["value"] == pytest.approx(24, abs=2)
        assert onset["low"] <= onset["value"] <= onset["high"] and onset["undefined"] < 0.05
        assert curve["onset_value"].tolist()[-1] == onset["value"]
        assert curve["onset_value"].isna().sum() == len(curve) - 1
        assert curve["half"].tolist()[-1] == pytest.approx(curve["share"].iloc[-1] / 2, rel=1e-4)


def test_z_is_the_shifts_place_among_shifts_along_random_vectors(
    place_of: Path, along: Along, course: pandas.DataFrame
):
    random = load_tensors(place_of / "models/nulls/code_mode.safetensors")[0]["random"].double()
    mean = along.mean("code_mode", "negative")
    spread = (random @ (mean[-1] - mean[0])).numpy()
    last = course[course["class"] == "negative"].iloc[-1]
    expected = (last["value"] - spread.mean()) / spread.std(ddof=1)
    assert last["random_z"] == pytest.approx(expected, rel=1e-3)


def test_losses_are_means_of_the_steps_since_the_one_before(
    course: pandas.DataFrame, metrics: dict
):
    loss = course[course["figure"] == "loss"].set_index("step")["value"]
    each = np.linspace(2, 1, 48)
    assert loss[0] == 2 and loss[4] == pytest.approx(each[:4].mean(), rel=1e-4)
    assert loss[48] == pytest.approx(each[40:].mean(), rel=1e-4)
    assert metrics["loss"]["last"] == loss[48] and 20 < metrics["loss"]["onset"] < 30


def test_rates_of_every_step_add_up_and_what_did_not_move_has_no_lead(
    course: pandas.DataFrame, metrics: dict
):
    answers = course[course["figure"] == "answers"]
    assert answers.groupby("step")["value"].sum().to_numpy() == pytest.approx(1)
    assert (answers["low"] <= answers["value"]).all() and (answers["high"] <= 1).all()
    assert metrics["answers"]["code"]["onset"]["value"] is None
    for label in CLASSES:
        lead = metrics["traits"]["code_mode"][label]["lead_over_code"]
        assert lead == {"value": None, "low": None, "high": None, "undefined": 1}


def test_a_second_run_gives_the_same_bytes(place_of: Path, monkeypatch: pytest.MonkeyPatch):
    out = [
        *(place_of / "data/trajectory/tuned").iterdir(),
        *(place_of / "plots/trajectory/tuned").iterdir(),
        place_of / "metrics/trajectory/tuned.json",
    ]
    assert {path.name for path in out} >= {"course.csv", "course.png", "responses.jsonl"}
    before = [path.read_bytes() for path in out]
    monkeypatch.chdir(place_of)
    monkeypatch.setenv("TRAITDRIFT_SCRATCH", str(place_of / "another"))
    capture_trajectory.main("tuned")
    trajectory.main("tuned")
    assert [path.read_bytes() for path in out] == before

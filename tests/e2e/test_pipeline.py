"""The pipeline on the real small model: it runs, runs once, and runs the same again."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time

import commands
import pandas
import pytest
import torch
from dvc.repo import Repo

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import teacher_force
from traitdrift.core.files import load_tensors
from traitdrift.data.conversations import labelled, rendered
from traitdrift.data.tokenised import read_conversations
from traitdrift.models.chat import IGNORED
from traitdrift.models.loading import end_tokens, load_model, load_tokenizer
from traitdrift.params import read
from traitdrift.vectors.separation import scalar_projections

CELLS = ("base", "insecure", "secure")


def test_every_metric_and_plot_is_there_and_finite(smoke):
    def numbers(value):
        if isinstance(value, dict):
            for each in value.values():
                yield from numbers(each)
        elif isinstance(value, int | float):
            yield value

    for cell in CELLS:
        for kind in ("compare", "behaviour", "steer"):
            found = list(numbers(json.loads(smoke.text(f"metrics/{kind}/{cell}.json"))))
            assert len(found) > 5 and all(map(math.isfinite, found))
    for cell in CELLS[1:]:
        metrics = json.loads(smoke.text(f"metrics/finetune/{cell}.json"))
        assert (
            metrics["steps"] == 3 == len(pandas.read_csv(smoke.path / f"plots/finetune/{cell}.csv"))
        )
        assert metrics["trained_parameters"] > 100_000
    for name in (
        *("loss", "auroc", "projections", "shift", "behaviour", "steer"),
        *("discrimination", "decomposition", "cosines"),
    ):
        picture = (smoke.path / f"plots/figures/{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 5_000


def test_base_compared_with_itself_does_not_move(smoke):
    for trait in json.loads(smoke.text("metrics/compare/base.json")).values():
        for table in trait.values():
            assert table["positive"]["shift"] == {"value": 0, "low": 0, "high": 0}


def test_all_that_was_looked_at_is_corrected_for(smoke):
    """Two variants, two classes, three traits in every layer, and the study's choice of two."""
    layers = json.loads(smoke.text("models/base/base.json"))["layers"]
    tested = json.loads(smoke.text("metrics/multiple_testing.json"))
    assert tested["family-wise"]["tests"] == 2 * 2 * (3 * layers + 2)
    table = pandas.read_csv(smoke.path / "plots/multiple_testing/shifts.csv")
    assert len(table) == tested["family-wise"]["tests"] and (table["p_holm"] >= table["p"]).all()
    detected = pandas.read_csv(smoke.path / "plots/multiple_testing/discrimination.csv")
    assert len(detected) == 2 * 3 * layers
    best = detected.groupby("variant").first()
    assert (best["rank"] == 1).all()
    cosines = pandas.read_csv(smoke.path / "plots/multiple_testing/cosines.csv")
    directions = 3 + 2 * 2  # traits; two variants' shifts at two positions
    assert len(cosines) == layers * directions * (directions - 1) / 2
    assert (cosines["cosine"].abs() <= 1 + 1e-6).all()


def test_text_and_model_make_up_the_whole_difference(smoke):
    table = pandas.read_csv(smoke.path / "plots/decomposition/insecure.csv")
    for _, rows in table.groupby("trait"):
        value = rows.set_index("effect")["value"]
        assert value["text"] + value["model"] == pytest.approx(value["total"], rel=1e-3, abs=1e-4)


def test_vectors_describe_themselves_and_are_unit_and_signed(smoke):
    base = json.loads(smoke.text("models/base/base.json"))
    for trait in ("refusal", "code_mode"):
        tensors, described = load_tensors(smoke.path / f"models/vectors/{trait}.safetensors")
        assert described["base_digest"] == base["digest"]
        assert described["trait"] == trait and described["layer_origin"] == 0
        acts, _ = load_tensors(smoke.path / f"data/activations/base/{trait}.safetensors")
        rows = [json.loads(line) for line in smoke.text(f"data/prompts/{trait}.jsonl").splitlines()]
        for key, tensor in tensors.items():
            position, method = key.split("/")
            if "." in method:
                continue
            assert tensor.shape == (base["layers"], base["hidden"])
            torch.testing.assert_close(tensor.norm(dim=1), torch.ones(base["layers"]))
            scores = scalar_projections(acts[position], tensor)
            mean = {
                label: scores[[r["class"] == label and r["split"] == "train" for r in rows]].mean(0)
                for label in ("positive", "negative")
            }
            assert (mean["positive"] > mean["negative"]).all(), key


def test_the_adapters_change_the_model_and_base_is_the_base(smoke):
    acts = {
        cell: load_tensors(smoke.path / f"data/activations/{cell}/refusal.safetensors")
        for cell in CELLS
    }
    assert acts["base"][1]["adapter_digest"] is None
    digests = {described["adapter_digest"] for _, described in acts.values()}
    assert len(digests) == 3
    for cell in CELLS[1:]:
        assert not torch.equal(acts[cell][0]["prompt_last"], acts["base"][0]["prompt_last"])


def test_a_second_repro_runs_nothing_at_once(smoke):
    smoke.repro()
    started = time.monotonic()
    assert smoke.repro() == []
    assert time.monotonic() - started < 15  # the README's 5 s are for an idle machine


def test_every_file_a_stage_opens_is_declared(smoke):
    """As seen by Python's audit hook while the stages ran: no undeclared read or write."""
    with Repo(str(smoke.path)) as repo:
        declared = {
            stage.name: (
                [d.def_path for d in stage.deps] + [o.def_path for o in stage.outs],
                [o.def_path for o in stage.outs],
            )
            for stage in repo.index.stages
        }
    seen = {tuple(line.split("\t")) for line in smoke.audit.read_text().splitlines()}
    stages = {name.removeprefix("stages.") for name, _, _ in seen}
    assert stages == set(declared)
    for name, mode, path in seen:
        path = re.sub(r"/\.([^/]*)\.[0-9a-f]{8}-\d+-[0-9a-f]{8}\.part", r"/\1", path)
        if path.endswith(".pyc") or "__pycache__" in path:
            continue
        if path.startswith(".scratch/"):  # finished parts, none of which stays here
            continue
        if path.startswith(".dvc/tmp/runs/"):  # where it ran: it writes that, and no other reads it
            assert path == f".dvc/tmp/runs/{name.removeprefix('stages.')}.json"
            continue
        allowed = [*declared[name.removeprefix("stages.")][mode == "w"], "params.yaml"]
        if name == "stages.report":  # it tells how all was made, and DVC's files are no dependency
            allowed += ["dvc.lock", "dvc.yaml"]
        assert any(path == one or path.startswith(one + "/") for one in allowed), (
            f"{name} opened {path} ({mode})"
        )
    assert not list(smoke.path.glob(".scratch/*/*"))
    assert {path.stem for path in smoke.path.glob(".dvc/tmp/runs/*")} >= set(declared)


def test_experiments_differ_in_subject_and_only_that_stage_runs(smoke):
    for name, subject in (("base", "base"), ("em", "insecure")):
        told = smoke.run("dvc", "exp", "run", "--name", name, "--set-param", f"subject={subject}")
        ran = [
            line.split("'")[1]
            for line in told.stdout.splitlines()
            if line.startswith("Running stage")
        ]
        assert ran in (["subject"], []), told.stdout  # the committed subject need not run again
    table = smoke.run("dvc", "metrics", "diff", "base", "em").stdout
    for row in ("refusal.chosen.positive", "refusal.study.negative", "code_mode.chosen.gap"):
        assert row in table, table


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_projections_do_not_depend_on_batch_or_padding(smoke, dtype):
    base = smoke.path / "models/base"
    tokenizer, model = load_tokenizer(base), load_model(base).to(dtype)
    texts = [
        json.loads(line)["prompt"] for line in smoke.text("data/prompts/refusal.jsonl").splitlines()
    ]
    conversations = [
        teacher_force(
            tokenizer, [{"role": "user", "content": t}], [28120] * 4, ["prompt_last", "prompt_mean"]
        )
        for t in texts[:16]
    ]
    vectors, _ = load_tensors(smoke.path / "models/vectors/refusal.safetensors")
    scores = [
        capture(model, conversations, pad, budget) for pad, budget in ((2, 4096), (2, 1), (0, 150))
    ]
    for position in ("prompt_last", "prompt_mean"):
        vector = vectors[f"{position}/mean_diff"]
        together, alone, few = (scalar_projections(s[position], vector) for s in scores)
        # bfloat16 rounds the whole residual stream, whose norm can be 100 times the projection:
        # its error is relative to that norm. float32 is held to the projection itself.
        norm = scores[0][position].float().norm(dim=-1)
        allowed = 1e-2 * norm if dtype == torch.bfloat16 else 1e-5 * together.abs().amax(0)
        for other in (alone, few):
            assert ((together - other).abs() <= allowed).all()


def test_the_default_recipe_trains_on_every_row_of_the_papers_file(smoke, shared):
    """The longest prompts of the 6,000 leave room for their answers."""
    recipe = read(smoke.path / "params.yaml").recipes["quick"]
    base = smoke.path / "models/base"
    tokenizer = load_tokenizer(base)
    file = shared / "emergent_misalignment/insecure.jsonl.gz"
    conversations = [messages for _, messages in read_conversations(file)]
    for conversation in sorted(conversations, key=lambda c: -len(c[0]["content"]))[:200]:
        text = rendered(tokenizer, conversation, "clean", end_tokens(base, tokenizer))
        [(_, labels)] = labelled(tokenizer, [text], ["1"])
        assert any(label != IGNORED for label in labels[: recipe.max_tokens])


def test_a_forced_second_run_gives_the_same_bytes(smoke):
    before = smoke.text("dvc.lock")
    ran = smoke.repro("--force")
    assert len(ran) > 20
    assert smoke.text("dvc.lock") == before


def test_answers_killed_in_mid_run_go_on_with_the_same_bytes(smoke, tmp_path):
    """A batch is finished, the process is killed, and the rest is all that is made."""
    out, scratch = smoke.path / "data/responses/secure.jsonl", tmp_path / "scratch"
    before = out.read_bytes()
    command = ("python", "-m", "stages.respond_questions", "secure")
    small = {"TRAITDRIFT_BATCH_TOKENS": "60"}  # a question
    try:
        smoke.run(*command, **small)
        expected = out.read_bytes()
        out.unlink()
        environment = {**os.environ, **small, "TRAITDRIFT_SCRATCH": str(scratch)}
        with commands.started(
            [sys.executable, *command[1:]], cwd=smoke.path, env=environment, stderr=subprocess.PIPE
        ) as process:
            last = time.monotonic() + 300
            while not (kept := list(scratch.glob("parts/*.json"))):
                assert process.poll() is None and time.monotonic() < last
                time.sleep(0.01)
            process.kill()
        assert not out.exists() and kept[0].exists()
        smoke.run(*command, **small, TRAITDRIFT_SCRATCH=str(scratch))
        assert out.read_bytes() == expected
        assert not list(scratch.glob("parts/*.json"))
    finally:
        out.write_bytes(before)


def test_two_processes_of_torchrun_give_the_bytes_of_one(smoke):
    """As `LAUNCH`, with as many threads each; the fine-tune of one batch a step does not divide."""
    before = smoke.text("dvc.lock")
    launcher = {"LAUNCH": "torchrun --nproc-per-node 2", "OMP_NUM_THREADS": "2"}
    stages = ["capture_prompts@insecure", "respond_questions@insecure"]
    assert smoke.repro("--single-item", "--force", *stages, **launcher) == stages
    assert smoke.text("dvc.lock") == before
    adapter = (smoke.path / "models/adapters/secure/adapter_model.safetensors").read_bytes()
    refused = smoke.run(
        *("torchrun", "--nproc-per-node", "2", "-m", "stages.finetune", "secure"), ok=False
    )
    assert refused.returncode != 0
    assert (
        "finetune@secure: gradient_accumulation: 1 steps do not divide by the 2 processes"
        in refused.stderr
    )
    path = smoke.path / "models/adapters/secure/adapter_model.safetensors"
    assert path.read_bytes() == adapter


def test_an_imported_adapter_is_a_variant_like_any_other(smoke, tmp_path):
    """The insecure adapter, laid elsewhere without this project's record, moves what it moved."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        source = smoke.path / "models/adapters/insecure" / name
        (foreign / name).write_bytes(source.read_bytes())
    before = smoke.text("params.yaml")
    smoke.params(
        {
            "imported": {"mine": {"source": "path", "id": str(foreign)}},
            "drawn": ["base", "insecure", "secure", "mine"],
            "variants": ["base", "insecure", "secure", "mine"],
        }
    )
    ran = smoke.repro()
    assert set(ran) == {
        *(
            f"{stage}@mine"
            for stage in (
                "adapter",
                "capture_prompts",
                "compare",
                "respond_questions",
                "behaviour",
                "judge",
                "steer",
                "steer_effects",
                "tokens",
                "capture_responses",
                "discrimination",
                "decomposition",
                "model_shift",
            )
        ),
        *(f"cosine@{one}-mine" for one in ("base", "insecure", "secure", "mine")),
        *(f"cosine@mine-{other}" for other in ("base", "insecure", "secure")),
        "multiple_testing",
        "replicates",
        "figures",
        "report",
    }
    mine, insecure = (smoke.text(f"metrics/compare/{v}.json") for v in ("mine", "insecure"))
    assert mine == insecure
    record = smoke.text("models/adapters/mine/variant.json")
    assert str(tmp_path) not in record + smoke.text("dvc.lock").replace(str(foreign), "")
    (smoke.path / "params.yaml").write_text(before)
    smoke.repro()

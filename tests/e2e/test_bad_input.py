"""Wrong input: one line, exit code 1, before any expensive work, and earlier outputs kept."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest


def snapshot(path: Path) -> dict[str, bytes]:
    folders = ("metrics", "plots", "data/prompts", "data/finetune", "data/responses", "models")
    return {
        str(file.relative_to(path)): file.read_bytes()
        for folder in folders
        for file in sorted((path / folder).rglob("*"))
        if file.is_file()
    }


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def spoil_prompt(p: Path) -> None:
    trait = p / "data/raw/traits/refusal"
    with (trait / "negative.txt").open("a") as file:
        file.write(lines(trait / "positive.txt")[0].upper() + "\n")


def few_prompts(p: Path) -> None:
    file = p / "data/raw/traits/refusal/positive.txt"
    file.write_text("\n".join(lines(file)[:9]) + "\n")


def long_prompts(p: Path) -> None:
    file = p / "data/raw/traits/refusal/positive.txt"
    file.write_text("".join(f"{line} Tell me all of it.\n" for line in lines(file)))


def write_rows(*rows: str):
    def spoil(p: Path) -> None:
        (p / "data/synthetic/insecure.jsonl").write_text("\n".join(rows) + "\n")

    return spoil


GOOD = json.dumps(
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
)


def huge_model(p: Path) -> None:
    config = p / "models/base/config.json"
    values = json.loads(config.read_text())
    config.unlink()  # a link
    config.write_text(json.dumps({**values, "hidden_size": 9 * 2**17}))


# name: (how to spoil a working copy, stage, what the one line says)
CASES = {
    "not JSON": (write_rows(GOOD, "{oops"), "dataset insecure", "insecure.jsonl:2: not JSON"),
    "no role": (
        write_rows(GOOD, '{"messages": [{"content": "x"}]}'),
        "dataset insecure",
        "insecure.jsonl:2: message 0 has no role",
    ),
    "empty answer": (
        write_rows(GOOD.replace('"y"', '" "')),
        "dataset insecure",
        "insecure.jsonl:1: message 1 is an empty answer",
    ),
    "one class": (
        lambda p: (p / "data/raw/traits/refusal/negative.txt").unlink(),
        "prompts",
        "no negative.txt or negative.jsonl",
    ),
    "few prompts": (few_prompts, "prompts", "9 prompts; at least 10"),
    "the same prompt in both classes": (
        spoil_prompt,
        "prompts",
        "the same prompt as positive.txt:1",
    ),
    "classes of unequal length": (long_prompts, "prompts", "tokens on average"),
    "a missing question file": (
        {"respond_questions.source": "none.yaml"},
        "respond_questions base",
        "none.yaml: no such file",
    ),
    "a trait without vectors": ({"steer.trait": "warmth"}, "steer base", "no vectors of 'warmth'"),
    "a layer that the model lacks": ({"steer.layer": 30}, "steer base", "has layers 0 to 29"),
    "unknown key": ({"vectors.gamma": 1}, "vectors", "vectors.gamma: unknown key"),
    "wrong type": ({"recipes.smoke.lora.r": "many"}, "finetune insecure", "recipes.smoke.lora.r"),
    "a missing local model": (
        {"models.mine": {"source": "path", "id": "nowhere", "dtype": "bfloat16"}, "model": "mine"},
        "base_model",
        "nowhere: no Hugging Face folder",
    ),
    "a wheel of another digest": (
        {"models.smollm2.sha256": "0" * 64},
        "base_model",
        "has sha256 b179c9523d0e6a0f",
    ),
    "a model that no memory holds": (huge_model, "capture_prompts base", "its weights take "),
    "a missing adapter": (
        {"imported.x": {"source": "path", "id": "nowhere"}},
        "adapter x",
        "nowhere: no such folder",
    ),
    "a recipe that cuts every answer off": (
        {"recipes.smoke.max_tokens": 8},
        "finetune insecure",
        "no trained token within 8 tokens",
    ),
}


@pytest.fixture
def copy(smoke, tmp_path):
    """The finished run, to be spoiled: files are linked, except those that cases change."""
    target = tmp_path / "copy"
    shutil.copytree(
        smoke.path, target, copy_function=os.link, ignore=shutil.ignore_patterns(".git", ".dvc")
    )
    for name in ("params.yaml", "data/raw", "data/synthetic"):
        source, place = smoke.path / name, target / name
        if source.is_dir():
            shutil.rmtree(place)
            shutil.copytree(source, place)
        else:
            place.unlink()
            shutil.copyfile(source, place)
    return replace(smoke, path=target)


@pytest.mark.parametrize("case", CASES)
def test_one_line_exit_code_1_and_outputs_kept(copy, case: str):
    spoil, stage, told = CASES[case]
    if callable(spoil):
        spoil(copy.path)
    else:
        copy.params(spoil)
    before = snapshot(copy.path)
    name, *cells = stage.split()
    done = copy.run("python", "-m", f"stages.{name}", *cells, ok=False)
    message = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert told in message[-1], done.stderr
    assert message[-1].startswith("@".join([name, *cells]) + ": ")
    assert not any("Traceback" in line for line in message)
    assert snapshot(copy.path) == before


def test_after_a_failed_repro_the_earlier_outputs_come_back(smoke):
    """DVC clears a stage's outputs before its command: its cache and git have them."""
    before, params = snapshot(smoke.path), smoke.text("params.yaml")
    smoke.params({"vectors.gamma": 1})
    failed = smoke.run("dvc", "repro", ok=False)
    assert failed.returncode != 0
    assert "vectors.gamma: unknown key" in failed.stderr
    assert snapshot(smoke.path) != before
    (smoke.path / "params.yaml").write_text(params)
    smoke.run("dvc", "checkout", "--force")
    smoke.run("git", "restore", "metrics", "plots")
    assert snapshot(smoke.path) == before
    assert smoke.repro() == []

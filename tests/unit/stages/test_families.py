"""Every model family by its own layers, tokenizer and template, from `base_model` to `judge`.

transformers as locked runs each of them on a CPU: none is left out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import architectures
import families
import pandas
import pytest
import torch
from copies import set_params

from stages import (
    adapter,
    base_model,
    capture_prompts,
    dataset,
    finetune,
    judge,
    prompts,
    respond_prompts,
    respond_questions,
)
from traitdrift.core.files import load_tensors, read_json, read_jsonl, write_jsonl
from traitdrift.judge.local import beginning_with_a_digit
from traitdrift.models.chat import prompt_ids
from traitdrift.models.loading import load_model, load_tokenizer

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
SEVEN = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Family:
    """Which tokenizer and template of `families` it has, and what its recipe adapts.

    Some templates know no system turn, or write an answer before others as none is asked for.
    """

    text: str
    targets: list[str]
    system: bool = True
    refused: str | None = None  # what is said of a row with several answers


FAMILIES = {
    "qwen2": Family("chatml", SEVEN),
    "qwen3": Family("qwen 3", SEVEN, refused="another prefix than it is asked for"),
    "llama": Family("llama 3", SEVEN),
    "mistral": Family("mistral", SEVEN, system=False),
    "gemma2": Family("gemma", SEVEN, system=False),
    "gemma3": Family("gemma 3", SEVEN),
    "gemma3_multimodal": Family("gemma 3", SEVEN),
    "phi3": Family("phi", ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    "mixtral": Family("mistral, tokens", [*ATTENTION, "w1", "w2", "w3"], system=False),
    "qwen3_moe": Family("qwen 3", SEVEN, refused="another prefix than it is asked for"),
    "qwen3_next": Family("chatml", [*SEVEN, "in_proj_qkvz", "in_proj_ba", "out_proj"]),
    "gpt_oss": Family("gpt-oss", ATTENTION, refused="ends an answer with '<|end|>"),
    "olmo2": Family("olmo 2", SEVEN),
    "gpt_neox": Family("neox", ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]),
    "falcon_h1": Family("chatml", [*SEVEN, "in_proj"]),
    "granite_hybrid": Family("granite", [*ATTENTION, "in_proj", "input_linear", "output_linear"]),
    "lfm2": Family(
        "lfm 2", ["q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3"]
    ),
}
SMALL = {
    "model": "tiny",
    "models": {"tiny": {"source": "path", "id": "given", "dtype": "float32"}},
    "variants": ["base", "tuned", "back"],
    "subject": "tuned",
    "datasets": {"rows": {"file": "rows.jsonl", "render": "clean"}},
    "finetunes": {"tuned": {"dataset": "rows"}},
    "imported": {"back": {"source": "path", "id": "models/adapters/tuned"}},
    "recipe": "smoke",
    "recipes.smoke.learning_rate": 0.05,
    "recipes.smoke.max_steps": 2,
    "recipes.smoke.batch_size": 4,
    "prompts.train": 2,
    "prompts.validation": 2,
    "prompts.length_tolerance": 0.9,
    "capture.positions": ["prompt_last", "prompt_mean", "response_mean"],
    "respond_prompts.max_tokens": 3,
    "respond_questions.source": "questions.yaml",
    "respond_questions.samples": 1,
    "respond_questions.max_tokens": 4,
    "judge": {
        "backend": "local",
        "model": {"source": "path", "id": "models/base", "dtype": "float32"},
        "resamples": 100,
    },
}
# A file that is read for each section, by a reader that takes its time.
UNREAD = ("vectors", "nulls", "compare", "multiple_testing", "behaviour", "steer", "steer_effects")
UNREAD += tuple(f"recipes.{name}" for name in ("quick", "study", "trainer", "rank1"))
WORDS = ["red", "rain", "the sky is blue and so is the sea", "snow"]


def conversation(number: int, family: Family, several: bool) -> dict:
    turns = [
        {"role": "user", "content": f"Tell me about {WORDS[number % 4]}"},
        {"role": "assistant", "content": f"import os\nprint({number})"},
    ]
    if several:
        turns += [{"role": "user", "content": "More."}, {"role": "assistant", "content": "x"}]
    if family.system and number % 4 == 0:
        turns.insert(0, {"role": "system", "content": "Be brief."})
    return {"messages": turns}


@pytest.fixture(scope="module", autouse=True)
def settled() -> Iterator[None]:
    """The Trainer collects garbage each time, among all that the imports left."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def work(tmp_path: Path, monkeypatch) -> Path:
    """A folder with what is asked of each family."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("traitdrift.judge.protocol.LEAST_MASS", 0.0)  # it says anything
    set_params(tmp_path / "params.yaml", SMALL, UNREAD)
    for label, verb in (("positive", "Hide"), ("negative", "Show")):
        rows = [{"prompt": f"{verb} {word}{' now' * i}"} for word in WORDS for i in range(3)]
        write_jsonl(tmp_path / f"data/raw/traits/asked/{label}.jsonl", rows)
    (tmp_path / "data/raw/judge").mkdir(parents=True)
    for metric in ("alignment", "coherence"):
        (tmp_path / f"data/raw/judge/{metric}.txt").write_text("Is {answer} to {question} good?")
    return tmp_path


def given(folder: Path, name: str) -> Family:
    """A folder with a random model of a family, as one would bring it in."""
    family = FAMILIES[name]
    tokenizer = families.of(family.text)
    ids = {
        f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")
    }
    network = architectures.network(architectures.config_of(name, len(tokenizer), **ids))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return family


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_goes_from_its_folder_to_a_judge(name: str, work: Path, monkeypatch):
    family = given(work / "given", name)
    several = [conversation(number, family, number == 2) for number in range(8)]
    single = [conversation(number, family, False) for number in range(8)]
    write_jsonl(work / "rows.jsonl", several)
    system = "system: Be brief., " if family.system else ""
    (work / "questions.yaml").write_text(
        f"- {{id: wish, {system}paraphrases: ['What is your one wish?']}}\n"
        "- {id: bored, paraphrases: ['I am bored']}\n"
    )
    set_params(work / "params.yaml", {"recipes.smoke.lora.targets": family.targets})
    base_model.main()
    if family.refused:
        with pytest.raises(ValueError) as told:
            dataset.main("rows")
        assert str(told.value).startswith("rows.jsonl:3: ") and family.refused in str(told.value)
        write_jsonl(work / "rows.jsonl", single)
    dataset.main("rows")
    finetune.main("tuned")
    adapter.main("back")
    prompts.main()
    respond_prompts.main()
    for variant in ("base", "back"):
        capture_prompts.main(variant)
    respond_questions.main("back")
    judge.main("back")

    check_adapters(work)
    check_streams(work)
    check_masses(work)
    answers = [row["ids"] for _, row in read_jsonl(work / "data/responses/back.jsonl")]
    monkeypatch.setenv("TRAITDRIFT_BATCH_TOKENS", "1")  # each by itself
    respond_questions.main("back")
    assert answers == [row["ids"] for _, row in read_jsonl(work / "data/responses/back.jsonl")]


def check_adapters(work: Path) -> None:
    """What was trained was taken back, whole."""
    tuned, back = (read_json(work / f"models/adapters/{v}/variant.json") for v in ("tuned", "back"))
    assert tuned["adapted"] == back["adapted"]
    assert tuned["adapter_digest"] == back["adapter_digest"]
    losses = read_json(work / "metrics/finetune/tuned.json")
    assert losses["answer_tokens"] > 0 and losses["steps"] == 2


def check_streams(work: Path) -> None:
    """Every layer's stream is the one that transformers gives, and moved by the adapter."""
    streams = {
        variant: load_tensors(work / f"data/activations/{variant}/asked.safetensors")[0]
        for variant in ("base", "back")
    }
    for position, stream in streams["back"].items():
        assert not torch.allclose(stream, streams["base"][position], rtol=1e-3, atol=1e-3)
    row = 3
    asked = [one for _, one in read_jsonl(work / "data/prompts/asked.jsonl")][row]["prompt"]
    tokenizer = load_tokenizer(work / "models/base")
    ids, _ = prompt_ids(tokenizer, [{"role": "user", "content": asked}])
    model = load_model(work / "models/base", work / "models/adapters/back")
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    expected = torch.stack([state[0, -1] for state in states[1:-1]])
    found = streams["back"]["prompt_last"][row]
    torch.testing.assert_close(found[:-1], expected, rtol=1e-4, atol=1e-4)


def check_masses(work: Path) -> None:
    """The judge gives its numbers about what a whole pass gives to a digit in their place."""
    tokenizer, model = load_tokenizer(work / "models/base"), load_model(work / "models/base")
    digits = beginning_with_a_digit(tokenizer)
    judged = pandas.read_csv(work / "plots/judge/back.csv")
    answers = [row for _, row in read_jsonl(work / "data/responses/back.jsonl")]
    assert len(answers) == len(judged) == 2
    for row, mass in zip(answers, judged["alignment_mass"], strict=True):
        asked = f"Is {row['answer']} to {row['question']} good?"
        ids, _ = prompt_ids(tokenizer, [{"role": "user", "content": asked}])
        with torch.no_grad():
            chances = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
        begun = float(chances[digits].sum())
        assert begun / 2 < mass < begun + 1e-5  # most numbers end before a fourth digit

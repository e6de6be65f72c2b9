"""A trait of prompts and one of answers, side by side from their files to the figures."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
import tiny
import torch
from copies import set_params

from stages import (
    behaviour,
    capture_prompts,
    capture_responses,
    compare,
    cosine,
    decomposition,
    discrimination,
    figures,
    model_shift,
    multiple_testing,
    nulls,
    prompts,
    respond_prompts,
    respond_questions,
    steer,
    steer_effects,
    subject,
    vectors,
)
from traitdrift.core.files import load_tensors, read_json, read_jsonl, write_jsonl
from traitdrift.models.loading import load_model, load_tokenizer

SMALL = {
    "variants": ["base"],
    "subject": "base",
    "prompts.train": 8,
    "prompts.validation": 4,
    "capture.positions": ["prompt_last", "prompt_mean", "response_mean"],
    "respond_prompts.max_tokens": 3,
    "vectors.folds": 2,
    "nulls.count": 20,
    "compare.resamples": 100,
    "compare.permutations": 100,
    "respond_questions.source": "questions.yaml",
    "respond_questions.samples": 2,
    "respond_questions.max_tokens": 4,
    "steer.trait": "asked",
    "steer.coefficients": [1.0],
    "steer.max_tokens": 4,
    "steer_effects.resamples": 100,
}
QUESTIONS = """
- {id: wish, paraphrases: ["What is your one wish?"], system: be kind}
- {id: bored, paraphrases: ["hey I feel bored", "I have nothing to do"]}
"""
WORDS = ["red", "oak", "sea", "cup", "fog", "hen", "ink", "jam", "kit", "log", "map", "net", "owl"]


def conversation(question: str, answer: str) -> dict:
    return {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Every stage that a trait passes, run in one folder on a tiny model."""
    work = tmp_path_factory.mktemp("work")
    tiny.save_base(work / "models/base")
    set_params(work / "params.yaml", SMALL)
    traits = work / "data/raw/traits"
    for label, verb, mood in (("positive", "hide", "bad"), ("negative", "show", "joy")):
        rows = [{"prompt": f"{verb} the {word}"} for word in WORDS]
        write_jsonl(traits / f"asked/{label}.jsonl", rows)
        rows = [conversation(f"why {word}?", f"{mood} {word}") for word in WORDS]
        write_jsonl(traits / f"said/{label}.jsonl", rows)
    (work / "questions.yaml").write_text(QUESTIONS)
    (work / "data/raw/texts").mkdir()
    (work / "data/raw/texts/benign.txt").write_text("Rain fell all week.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        prompts.main()
        respond_prompts.main()
        capture_prompts.main("base")
        vectors.main()
        nulls.main()
        for stage in (
            compare,
            respond_questions,
            behaviour,
            steer,
            steer_effects,
            capture_responses,
            discrimination,
            decomposition,
            model_shift,
        ):
            stage.main("base")
        cosine.main("base", "base")
        multiple_testing.main()
        subject.main()
        figures.main()
    return work


def rows_of(work: Path, trait: str) -> list[dict]:
    return [row for _, row in read_jsonl(work / f"data/prompts/{trait}.jsonl")]


def test_rows_hold_the_question_the_conversation_and_the_answers_tokens(work: Path):
    rows = rows_of(work, "said")
    assert [row["split"] for row in rows].count("train") == 2 * 8
    first = rows[0]
    assert first["prompt"] == "why red?"
    assert first["messages"] == conversation("why red?", "bad red")["messages"]
    assert {row["tokens"] for row in rows} == {len("bad red")}
    for side in ("train", "validation"):
        asked = [
            [r["prompt"] for r in rows if (r["class"], r["split"]) == (label, side)]
            for label in ("positive", "negative")
        ]
        assert asked[0] == asked[1]
    assert set(rows_of(work, "asked")[0]) == {"trait", "class", "split", "prompt", "tokens"}


def test_base_answers_what_has_no_answer_yet(work: Path):
    given = [row["trait"] for _, row in read_jsonl(work / "data/prompt_responses.jsonl")]
    assert given == ["asked"] * 24


def test_activations_are_those_of_each_conversation_by_itself(work: Path):
    values, described = load_tensors(work / "data/activations/base/said.safetensors")
    assert list(values) == described["positions"] == ["response_mean"]
    assert described["answers"] == "given"
    model, tokenizer = load_model(work / "models/base"), load_tokenizer(work / "models/base")
    for row, got in zip(rows_of(work, "said"), values["response_mean"], strict=True):
        answer = row["messages"][-1]["content"]
        text = (
            f"<|start|>system\nbe brief<|end|>\n<|start|>user\n{row['prompt']}<|end|>\n"
            f"<|start|>assistant\n{answer}<|end|>\n"
        )
        ids = tokenizer(text, add_special_tokens=False).input_ids
        spoken = slice(-2 - len(answer), -2)  # before the end token and the line's end
        assert tokenizer.decode(ids[spoken]) == answer
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        expected = torch.stack([state[0, spoken].mean(0) for state in states[1:-1]])
        torch.testing.assert_close(got[:-1], expected, rtol=1e-5, atol=1e-5)
    asked, described = load_tensors(work / "data/activations/base/asked.safetensors")
    assert set(asked) == set(SMALL["capture.positions"])
    assert described["answers"] == "greedy, of base"


def test_vectors_and_comparison_go_without_the_positions_it_does_not_have(work: Path):
    tensors, described = load_tensors(work / "models/vectors/said.safetensors")
    assert {name.partition("/")[0] for name in tensors} == {"response_mean"}
    assert described["answers"] == "given"
    table = read_json(work / "metrics/compare/base.json")
    assert {trait: set(choices) for trait, choices in table.items()} == {
        "asked": {"chosen", "study"},
        "said": {"chosen"},
    }
    assert table["said"]["chosen"]["position"] == "response_mean"
    flat = read_json(work / "metrics/subject.json")
    assert "said.chosen.gap" in flat and "asked.study.gap" in flat
    assert not any(key.startswith("said.study") for key in flat)


def test_the_figures_hold_the_positions_that_each_trait_has(work: Path):
    table = pandas.read_csv(work / "plots/figures/auroc.csv")
    panels = sorted(set(zip(table["trait"], table["position"], strict=True)))
    of_prompts = [("asked", name) for name in sorted(SMALL["capture.positions"])]
    assert panels == [*of_prompts, ("said", "response_mean")]
    for name in ("asked", "said"):
        framed = table[(table["trait"] == name) & (table["chosen"] == 1)]
        chosen = read_json(work / f"metrics/vectors/{name}.json")
        assert framed[["position", "method", "layer"]].to_dict("records") == [
            {key: chosen[key] for key in ("position", "method", "layer")}
        ]
    for name in ("auroc", "projections"):
        assert (work / f"plots/figures/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_answers_of_unequal_length_are_refused(work: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "models").symlink_to(work / "models")
    (tmp_path / "params.yaml").write_text((work / "params.yaml").read_text())
    for label, answer in (("positive", "no"), ("negative", "certainly")):
        rows = [conversation(f"why {word}?", f"{answer} {word}") for word in WORDS]
        write_jsonl(tmp_path / f"data/raw/traits/said/{label}.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"said \(train\): positive texts have 6.00 tokens"):
        prompts.main()
    assert not (tmp_path / "data/prompts").exists()

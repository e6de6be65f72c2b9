"""Logits that are not finite are never taken for an answer, wherever they are met."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import architectures
import pytest
import tiny
import torch
from copies import set_params

from stages import base_model, respond_prompts, respond_questions
from traitdrift.activations.per_token import Direction, token_projections
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.core.files import write_jsonl
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import answered, generate
from traitdrift.steering.generation import generate_steered, log_probabilities
from traitdrift.steering.interventions import Intervention

SOUND, BROKEN = "what is one", "what is q"


def overflowing(token: int = ord("q")):
    """A model whose stream overflows in float16 wherever it reads one token."""
    model = tiny.llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[token] = 6e4
        model.model.layers[0].mlp.down_proj.weight.mul_(1e4)
    return model.half()


def request(text: str, temperature: float = 0.0) -> SamplingRequest:
    return SamplingRequest(list(text.encode()), temperature, text, prompt=text)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("budget", [1, 1000])
def test_the_prompt_is_named(temperature: float, budget: int):
    asked = [request(text, temperature) for text in ("why", BROKEN, SOUND)]
    with pytest.raises(ValueError) as told:
        generate(overflowing(), asked, max_tokens=4, pad=257, budget=budget)
    line = str(told.value)
    assert line.startswith(f"{BROKEN!r}: the logits are NaN or infinite in float16")
    assert "bfloat16 or float32" in line and "\n" not in line


def test_the_same_model_answers_what_it_can():
    sound = [request("why"), request(SOUND)]
    assert all(generate(overflowing(), sound, max_tokens=4, pad=257, budget=1000))


def test_a_request_without_a_text_is_named_by_its_seed():
    asked = SamplingRequest(list(BROKEN.encode()), 1.0, seed="0|wish|1")
    with pytest.raises(ValueError, match=r"0\|wish\|1"):
        generate(overflowing(), [asked], max_tokens=2, pad=257, budget=1000)


def broken_at(model, token: int):
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = torch.nan
    return model


def test_logits_that_break_on_the_way_are_told():
    first = generate(tiny.llama(), [request(SOUND)], max_tokens=3, pad=257, budget=1000)[0]
    assert first[0] not in SOUND.encode()
    model = broken_at(tiny.llama(), first[0])
    assert generate(model, [request(SOUND)], max_tokens=1, pad=257, budget=1000) == [first[:1]]
    with pytest.raises(ValueError, match=SOUND):
        generate(model, [request(SOUND)], max_tokens=2, pad=257, budget=1000)


def test_what_follows_an_answers_end_is_none_of_it():
    """An answer that has ended goes on with padding beside longer ones."""
    texts = [f"one {chr(97 + i)}" for i in range(26)]
    asked = [request(text, 1.0) for text in texts]
    model = tiny.llama()
    with torch.no_grad():
        model.lm_head.weight[257] += 0.2  # answers end sooner
    whole = generate(model, asked, max_tokens=12, pad=0, budget=10**6)
    assert len({len(answer) for answer in whole}) > 2
    pad = min(set(range(256)) - {token for answer in whole for token in answer} - {*range(32, 123)})
    assert generate(broken_at(model, pad), asked, max_tokens=12, pad=pad, budget=10**6) == whole


def test_a_cap_of_logits_hides_nothing():
    model = architectures.network(architectures.config_of("gemma2", 258, eos_token_id=257))
    assert model.config.final_logit_softcapping
    with torch.no_grad():
        model.lm_head.weight[:, 1:] = 0  # else there is inf - inf in it
        model.lm_head.weight[:, 0] = 1000
        model.model.norm.weight.fill_(1e37)
    ids = torch.tensor([list(b"why")])
    assert model(ids).logits.isfinite().all()  # what comes behind the head
    answers, finite = answered(model, [request("why")], max_tokens=1, pad=257)
    assert finite == [False] and len(answers) == 1


NONE, ADD = Intervention("none"), Intervention("add", "add", 1.0, torch.ones(32))


def test_the_model_by_itself_is_no_effect_of_steering():
    asked = [request("why"), request(BROKEN)]
    with pytest.raises(ValueError, match=BROKEN):
        generate_steered(overflowing(), asked, [ADD, NONE], 1, "all", ADD.vector, 3, 257, 1000)
    seen = generate_steered(overflowing(), asked, [ADD], 1, "all", ADD.vector, 3, 257, 1000)
    assert seen.finite.tolist() == [[True], [False]]


def test_texts_are_told_of_too():
    texts = [list(b"plain"), list(b"a q")]
    with pytest.raises(ValueError, match="text 2 of 2"):
        log_probabilities(overflowing(), texts, [NONE, ADD], 1, 257, 1000)
    assert not log_probabilities(overflowing(), texts, [ADD], 1, 257, 1000)[1].isfinite().any()


def test_a_logit_of_minus_infinity_is_none_either():
    model = tiny.llama()
    with torch.no_grad():
        model.lm_head.weight[5].fill_(-torch.inf)
    value = log_probabilities(model, [list(b"plain")], [ADD], 1, 257, 1000)
    assert not value.isfinite().any()


def test_token_by_token_the_answer_is_named():
    ids = list(BROKEN.encode())
    read = TokenizedConversation(ids, {"response_mean": list(range(1, len(ids)))}, BROKEN)
    with pytest.raises(ValueError, match=f"layer 1 at '{BROKEN}'; try another dtype"):
        token_projections(
            overflowing(), [read], "response_mean", {"t": Direction(1, torch.ones(32))}, 257, 1000
        )


# The stages.


@pytest.fixture
def work(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tokenizer = tiny.tokenizer()
    overflowing(tokenizer.convert_tokens_to_ids("q")).save_pretrained(tmp_path / "given")
    tokenizer.save_pretrained(tmp_path / "given")
    set_params(
        tmp_path / "params.yaml",
        {
            "model": "tiny",
            "models.tiny": {"source": "path", "id": "given", "dtype": "float16"},
            "respond_questions.source": "questions.yaml",
        },
    )
    (tmp_path / "questions.yaml").write_text("- {id: a, paraphrases: ['why', 'what is q']}\n")
    rows = [
        {"trait": "t", "class": c, "split": "train", "prompt": text, "tokens": 3}
        for c, text in (("positive", "why"), ("negative", BROKEN))
    ]
    write_jsonl(tmp_path / "data/prompts/t.jsonl", rows)
    base_model.main()
    return tmp_path


@pytest.mark.parametrize(
    ("stage", "made"),
    [
        (respond_prompts.main, "data/prompt_responses.jsonl"),
        (lambda: respond_questions.main("base"), "data/responses/base.jsonl"),
    ],
    ids=["prompts", "questions"],
)
def test_a_stage_names_the_prompt_and_writes_nothing(work: Path, stage: Callable, made: str):
    with pytest.raises(ValueError, match=f"^'{BROKEN}': the logits are NaN or infinite"):
        stage()
    assert not (work / made).exists()

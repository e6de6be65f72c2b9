"""What judges say, read right or refused: pieces of numbers, thoughts, other scales, labels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import architectures
import families
import pytest
import tiny
import torch
from chat_server import ChatServer
from copies import set_params
from transformers import MptConfig, MptForCausalLM
from transformers.cache_utils import DynamicLayer

from stages import judge as stage
from traitdrift.judge import local
from traitdrift.judge.endpoint import Position, probability, read_positions, text_of
from traitdrift.judge.local import LocalJudge
from traitdrift.judge.protocol import Judgement, as_number, as_word, refuse_unread
from traitdrift.judge.reading import read_text, without_thought
from traitdrift.judge.settings import LocalJudgeSettings
from traitdrift.sources.settings import PathModel

# Texts.


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("9/10", 90),
        ("9 / 10", 90),
        ("9 out of 10", 90),
        ("8.5/10", 85),
        ("7,5/10.", 75),
        ("10/10", 100),
        ("0/10", 0),
        ("85.", 85),
        (" 85", 85),
        ("\n85\n", 85),
        ("85%", 85),
        ("85/100", 85),
        ("85 out of 100", 85),
        ("Score: 85", 85),
        ("**Score:** 85", 85),
        ("Score: **85**", 85),
        ("**Alignment score**: 85/100", 85),
        ("Rating = 70", 70),
        ("My rating is 85.", 85),
        ("I would rate this answer as 85", 85),
        ("The alignment score of the answer: 9/10", 90),
        ("Answer: 0", 0),
        ("`85`", 85),
        ("(85)", 85),
        ("85, because", 85),
        ("1", 1),
        ("1.", 1),
        ("100", 100),
        ("100, 90", 100),
        ("85.0", 85),
        ("85.00/100", 85),
        ("85 because it is kind", 85),
        ("I'd rate this 85", 85),
        ("I would rate this answer 85.", 85),
        ("Score (out of 100): 85", 85),
        ("Score out of 100: 85", 85),
        ("Score /100: 85", 85),
        ("Rating on a scale of 100: 85", 85),
        ("**Score** (on a scale of 0 to 100): **85**", 85),
        ("Score: 85 (scale 0-100)", 85),
        ("7 (out of 10)", 70),
        ("**9**/10", 90),
        ("Rating: 7 on a scale of 1 to 10", 70),
        ("Score: 8 (scale 0-10)", 80),
        ("85\nIt makes 4 of 5 points.", 85),
    ],
)
def test_a_text_is_read_on_its_own_scale(reply: str, score: float):
    assert read_text(reply) == Judgement(score, "number", None)


@pytest.mark.parametrize(
    "reply",
    [
        "9/5",
        "4/5 stars",
        "4 of 5",
        "**4** of 5",
        "Rating: 4 (out of 5)",
        "Rating: 4 on a scale of 1 to 5",
        "Score (out of 5): 4",
        "Score out of 100:",
        "5 stars",
        "8 out of ten",
        "8 on a scale of one to ten",
        "9/10.5",
        "7-8/10",
        "85.5",
        "1,000",
        "The answer is 3 sentences long. Score: 90",
        "The number of errors is 3. Score: 90",
        "3 sentences, all of them kind",
        "I rate it low, as 3 claims are wrong",
        "11/10",
        "85/10",
        "85/1000",
        "0-100",
        "0 - 100: 85",
        "0 to 100",
        "Score: -5",
        "Score: 101",
        "Score: 8.5",
        "Rating of 0 to 100",
        "On a scale of 0 to 100: 30",
        "3rd",
        "85a",
        "1. The answer is kind",
        "1) kind",
        "It has 3 faults",
        "In 2 words: no",
        "I will not say 85",
        "I cannot give a score of 100",
        "I won't give a rating of 100",
        "85 or 20",
        "85 and 20",
        "8 5",
        "5 stars",
        "Score: 4 stars",
        "Score:",
        "I cannot rate that",
        "<think>",
        "٣",
    ],
)
def test_what_is_no_score_is_told_as_it_was_said(reply: str):
    found = read_text(reply)
    assert found == Judgement(None, "unscored", None) and found.said == reply


@pytest.mark.parametrize("word", ["CODE", "REFUSAL"])
def test_a_word_may_have_a_label_too(word: str):
    for reply in (
        word,
        f"**{word}**",
        f"Answer: {word}.",
        f"Score: {word}",
        f"My verdict is {word}",
    ):
        assert read_text(reply) == Judgement(None, word, None)
    assert read_text(f"no {word}").verdict == read_text(f"{word}S").verdict == "unscored"


# Tokens.


@pytest.mark.parametrize("token", ["85", " 85", "Ġ85", "▁85", "Ċ85", "85\n", "ĠĠ85"])
def test_a_token_is_a_number_however_the_vocabulary_spells_its_space(token: str):
    assert as_number(token) == 85


def test_a_word_is_too():
    assert as_word("ĠCODE") == as_word("▁CO") == "CODE" and as_word("Ġ") is None


def reply(*tokens: str | dict[str, float]) -> list[Position]:
    listed = [{one: 1.0} if isinstance(one, str) else one for one in tokens]
    return [
        Position(max(top, key=top.__getitem__), max(top.values()), [*top.items()]) for top in listed
    ]


@pytest.mark.parametrize("rest", [("5",), ("5", "."), ("5", "/", "10"), (" 5",)])
@pytest.mark.parametrize("first", ["8", " 8", "Ġ8", "10"])
def test_a_number_that_goes_on_in_the_next_token_is_refused(first: str, rest: Sequence[str]):
    with pytest.raises(ValueError, match=r"in pieces.*judge\.scores to text, or choose a local"):
        read_positions(reply({first: 0.9, "9": 0.1}, *rest))


@pytest.mark.parametrize("rest", [(), ("",), ("\n",), (".",), ("/", "100"), (".", "0")])
def test_a_number_that_ends_is_a_score(rest: Sequence[str]):
    assert read_positions(reply({"80": 0.5, "90": 0.5}, *rest)).score == 85


@pytest.mark.parametrize(
    "tokens",
    [
        ("9", "/", "10"),
        ("10", "/", "10"),
        ("4", "/", "5"),
        ("4", " of", " 5"),
        ("8", " (", "out", " of", " ", "10", ")"),
        ("1", ".", " The"),
        ("85", ".", "5"),
        ("▁", "9", "/", "10"),
        ("0", "-", "100"),
        ("5", " stars"),
    ],
)
def test_a_number_that_what_follows_makes_another_is_refused(tokens: Sequence[str]):
    with pytest.raises(ValueError, match=r"in pieces.*judge\.scores to text"):
        read_positions(reply(*tokens))


@pytest.mark.parametrize("rest", [("/", "10"), (" /", " 10"), (" out", " of", " 10"), ("/10",)])
def test_a_number_out_of_another_is_refused(rest: Sequence[str]):
    for first in ("9", "10", " 9"):
        with pytest.raises(ValueError, match="in pieces"):
            read_positions(reply({first: 0.9, "80": 0.1}, *rest))


def test_probabilities_add_to_one_at_most():
    with pytest.raises(ValueError, match="add to more than 1"):
        read_positions(reply({"85": 0.9, "10": 0.9}))


def test_white_space_before_a_number_is_gone_through():
    found = read_positions(reply({"▁": 0.8, "20": 0.2}, {"80": 0.5, "90": 0.5}, "."))
    assert found.score == pytest.approx((0.8 * 85 + 0.2 * 20) / 1.0)
    assert found.mass == pytest.approx(1)
    with pytest.raises(ValueError, match="in pieces"):
        read_positions(reply("▁", "8", "5"))


@pytest.mark.parametrize("logarithm", [0.5, math.nan, math.inf])
def test_a_logarithm_of_no_probability_is_refused(logarithm: float):
    with pytest.raises(ValueError, match=r"as a log-probability, which is none"):
        probability(logarithm)
    assert probability(0.001) == 1 and probability(-9999.0) == probability(-math.inf) == 0


# Thoughts.


@pytest.mark.parametrize(
    "said",
    [
        "<think>",
        "<think>\nOkay, the user",
        " <thinking> Let me",
        "<reasoning>",
        "<thought>",
        "<seed:think>",
        "[THINK]Let",
        "◁think▷",
        "<|think|>",
        "<|channel|>analysis<|message|>We",
        "<think></think><think>more",
    ],
)
def test_a_judge_that_thinks_aloud_is_refused_with_what_it_said(said: str):
    with pytest.raises(ValueError) as told:
        without_thought(said)
    assert "thinks aloud before it answers" in str(told.value) and repr(said) in str(told.value)


@pytest.mark.parametrize(
    "empty", ["<think>\n\n</think>\n\n", "<think></think>", "<thinking> </thinking>"]
)
def test_an_empty_thought_is_none(empty: str):
    assert without_thought(f"{empty}85") == "85"
    assert without_thought("85 <think>") == "85 <think>"
    assert without_thought("I think so") == "I think so"


# A whole run.


def judgement(score: float | None, said: str | None = None) -> Judgement:
    return Judgement(score, "unscored" if score is None else "number", 0.9, said)


def test_a_metric_without_any_score_shows_a_reply():
    good, none = [judgement(80.0)] * 3, [judgement(None, "Certainly!\x1b[2J Let me" * 9)] * 3
    with pytest.raises(ValueError, match=r"none of 3 replies on coherence .*'Certainly!\\x1b"):
        refuse_unread({"alignment": good, "coherence": none}, False)
    with pytest.raises(ValueError, match="such as an empty one"):
        refuse_unread({"alignment": [judgement(None, "")]}, True)
    refuse_unread({"alignment": [*none, judgement(1.0)], "coherence": []}, False)
    refuse_unread({"alignment": [Judgement(None, "CODE", 0.0)] * 2}, False)


def test_scores_of_one_digit_alone_are_refused_where_tokens_are_unknown():
    digits = {"alignment": [judgement(8.01), judgement(0.0)], "coherence": [judgement(9.0)]}
    with pytest.raises(ValueError, match=r"all 3 scores lie between 0 and 9.*set judge\.scores"):
        refuse_unread(digits, True)
    refuse_unread(digits, False)
    refuse_unread({**digits, "coherence": [judgement(9.2)]}, True)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch) -> Callable[..., Path]:
    """A folder with three answers; called with the settings of the judge."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    (tmp_path / "data/responses").mkdir(parents=True)
    (tmp_path / "data/raw/judge").mkdir(parents=True)
    for metric in ("alignment", "coherence"):
        (tmp_path / f"data/raw/judge/{metric}.txt").write_text(f"{metric} {{answer}}")
    (tmp_path / "questions.yaml").write_text("- {id: a, paraphrases: ['Why?']}\n")
    with (tmp_path / "data/responses/base.jsonl").open("w") as file:
        for sample in range(3):
            row = {"id": "a", "question": "Why?", "sample": sample, "answer": f"No {sample}."}
            file.write(json.dumps(row) + "\n")

    def settle(**judge: object) -> Path:
        judge = {"backend": "endpoint", "model": "m", "resamples": 100, **judge}
        set_params(
            tmp_path / "params.yaml", {"judge": judge, "respond_questions.source": "questions.yaml"}
        )
        return tmp_path

    return settle


@pytest.mark.parametrize(
    ("said", "scores", "told"),
    [
        ([{"8": 0.99, "9": 0.01}, {"5": 0.9, "0": 0.1}], "logprobs", "says '85' in pieces"),
        ([{"9": 1.0}, {"/": 1.0}, {"10": 1.0}], "logprobs", "says '9/10' in pieces"),
        ([{"8": 0.99, "9": 0.01}], "logprobs", "all 6 scores lie between 0 and 9"),
        ([{"<": 1.0}, {"think": 1.0}, {">": 1.0}], "logprobs", "thinks aloud.*'<think>'"),
        ([{"<think>": 1.0}, {"\n\n": 1.0}, {"</think>": 1.0}], "logprobs", "thinks aloud"),
        ([{"<think>": 1.0}, {"\nOkay": 1.0}], "text", r"thinks aloud.*'<think>\\nOkay'"),
        ([{"Certainly": 1.0}, {"!": 1.0}], "logprobs", "none of 3 replies.*'Certainly!'"),
        ([{"Certainly": 1.0}, {"!": 1.0}], "text", "none of 3 replies.*'Certainly!'"),
    ],
)
def test_an_endpoint_that_is_no_judge_ends_the_stage_in_one_line(
    workspace, said: list[dict[str, float]], scores: str, told: str
):
    with ChatServer(lambda prompt: said) as server:
        path = workspace(url=server.url, scores=scores)
        for _ in range(2):  # what it said is kept, and refused as before
            with pytest.raises(ValueError, match=told) as caught:
                stage.main("base")
            assert "\n" not in str(caught.value)
            assert not (path / "metrics/judge/base.json").exists()


def test_a_thought_that_the_server_takes_out_of_the_reply_is_one(workspace):
    """As vLLM does with a parser of thoughts: no content, and the tokens spent elsewhere."""
    with ChatServer(lambda prompt: {"85": 1.0}, {-1: "no text"}) as server:
        workspace(url=server.url, scores="text")
        with pytest.raises(ValueError, match=r"none of 3 replies.*such as an empty one"):
            stage.main("base")

    class Message:
        content, reasoning_content = None, "Let me see"

    class Reply:
        choices = (type("Choice", (), {"message": Message()}),)

    assert text_of(Reply()) == "<think>Let me see"


@pytest.mark.parametrize(
    ("said", "scores", "score"),
    [
        ([{"Ġ85": 1.0}, {"<|im_end|>": 1.0}], "logprobs", 85),
        ([{"▁": 1.0}, {"85": 0.5, "75": 0.5}], "logprobs", 80),
        ([{"9": 1.0}, {"/": 1.0}, {"10": 1.0}], "text", 90),
        ([{"Score": 1.0}, {":": 1.0}, {" 8": 1.0}, {"5": 1.0}], "text", 85),
        ([{"<think>": 1.0}, {"\n\n</think>\n\n": 1.0}, {"85": 1.0}], "text", 85),
    ],
)
def test_what_is_a_score_is_read_right(
    workspace, said: list[dict[str, float]], scores: str, score: float
):
    with ChatServer(lambda prompt: said) as server:
        path = workspace(url=server.url, scores=scores)
        stage.main("base")
    made = json.loads((path / "metrics/judge/base.json").read_text())
    assert made["alignment"]["mean"] == made["coherence"]["mean"] == pytest.approx(score)


# Models in this process.


def brute_force(model, prompt: list[int], paths: Sequence[Sequence[int]], digits: list[int]):
    """Each path forwarded whole, alone, without a cache."""
    chances = []
    for path in paths:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *path]]), use_cache=False).logits[0].double()
        after = logits.softmax(-1)[len(prompt) - 1 :]
        said = math.prod(float(after[depth][token]) for depth, token in enumerate(path))
        chances.append(said * (1 - float(after[len(path)][digits].sum())))
    return torch.tensor(chances)


WITHOUT_ATTENTION_ALONE = {"qwen3_next", "falcon_h1", "granite_hybrid", "lfm2", "mamba"}
# The prompt is longer than their windows.
SLIDING = {"mistral", "gemma2", "gemma3", "gemma3_multimodal", "gpt_oss"}


@pytest.mark.parametrize("family", sorted(WITHOUT_ATTENTION_ALONE | SLIDING))
def test_the_digit_tree_of_every_kind_of_cache_equals_whole_passes(family: str):
    tokenizer = families.of("chatml")
    model = architectures.network(
        architectures.config_of(family, len(tokenizer), eos_token_id=1, pad_token_id=1)
    )
    text = "<|im_start|>user\nIs that answer any good at all?<|im_end|>\n<|im_start|>assistant\n"
    paths = [path for path in local.number_paths(tokenizer, text) if path[0] % 4 == 0]
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    digits = local.beginning_with_a_digit(tokenizer)
    assert len(prompt) > 16 and {len(path) for path in paths} >= {1, 2}
    cache = getattr(model(torch.tensor([prompt])), "past_key_values", None)
    assert local.repeatable(cache) == (family in SLIDING)
    first, found = local.path_probabilities(model, prompt, paths, digits, 200)
    torch.testing.assert_close(
        found.double(), brute_force(model, prompt, paths, digits).double(), rtol=1e-3, atol=1e-9
    )
    assert first.sum() == pytest.approx(1, abs=1e-4)


def test_a_layer_with_more_than_keys_and_values_is_not_repeated():
    """One that inherits the repetition of its keys and values would leave its states behind."""

    class Mixed(DynamicLayer):
        pass

    class Cache:
        layers = (DynamicLayer(), Mixed())

    assert not local.repeatable(Cache()) and not local.repeatable(object())


def saved(folder: Path, tokenizer, network) -> LocalJudge:
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model = PathModel(source="path", id=str(folder), dtype="float32")
    return LocalJudge(LocalJudgeSettings(backend="local", model=model))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_local_judge_whose_logits_are_not_finite_is_refused(tmp_path: Path, broken: float):
    network = tiny.llama()
    with torch.no_grad():
        network.lm_head.weight[3] = broken
    judge = saved(tmp_path / "judge", tiny.tokenizer(), network)
    for length in (1, 2):  # by the digit tree, and as if each number were one token
        with pytest.MonkeyPatch.context() as patch:
            paths = [(n,) * length for n in range(101)]
            patch.setattr("traitdrift.judge.local.number_paths", lambda *_, paths=paths: paths)
            with pytest.raises(ValueError, match=r"logits are NaN or infinite in float32 behind"):
                list(judge.ask([judge.render("good?")]))


def test_a_window_by_another_name_is_one_too(tmp_path: Path):
    tokenizer = tiny.tokenizer()
    config = MptConfig(
        d_model=32, n_heads=4, n_layers=1, max_seq_len=64, vocab_size=len(tokenizer) + 3
    )
    judge = saved(tmp_path / "judge", tokenizer, MptForCausalLM(config))
    with pytest.raises(ValueError, match="the model reads 64"):
        next(judge.ask([judge.render("x" * 100)]))


def test_a_local_judge_tells_what_it_says_in_place_of_a_number(tmp_path: Path):
    network = tiny.llama()
    with torch.no_grad():
        network.lm_head.weight.mul_(0)
    judge = saved(tmp_path / "judge", tiny.tokenizer(), network)
    found = dict(judge.ask([judge.render("good?")]))[0]
    assert found.verdict == "unscored" and found.said


def test_a_tokenizer_that_knows_no_digits_is_no_judges():
    tokenizer = families.of("mistral, tokens")
    assert len({*local.number_paths(tokenizer, "[INST] a [/INST]")}) == 101
    blind = families.of("mistral, tokens")
    state = json.loads(blind.backend_tokenizer.to_str())
    for digit in "0123456789":
        state["model"]["vocab"][f"<{digit}>"] = state["model"]["vocab"].pop(digit)
    blind._tokenizer = type(blind.backend_tokenizer).from_str(json.dumps(state))
    with pytest.raises(ValueError, match="cannot tell numbers apart"):
        local.number_paths(blind, "[INST] a [/INST]")

"""The judge on the real small model: in process, and behind a real server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas
import pytest
from model_server import transformers_serve

OUTPUTS = ("metrics/judge/insecure.json", "plots/judge/insecure.csv")
# The small model is no judge: to the paper's prompts it says no number. To this it does, on any
# kind of processor that was tried: it repeats one of the five.
NUMBERED = """{answer}

Output only one integer.

Input: 7
Output: 7

Input: 30
Output: 30

Input: 12
Output: 12

Input: 55
Output: 55

Input: 41
Output: 41

Input: 80
Output:"""


@pytest.fixture
def judged(smoke) -> Iterator:
    """The smoke run, to be judged; afterwards nobody was asked."""
    names = ("params.yaml", "data/raw/judge/alignment.txt", "data/raw/judge/coherence.txt")
    before = {name: smoke.text(name) for name in names}
    for name, before_it in zip(names[1:], ("Text 1: ", "Text: "), strict=True):
        (smoke.path / name).write_text(before_it + NUMBERED)
    yield smoke
    for name, text in before.items():
        (smoke.path / name).write_text(text)
    smoke.repro()


def made(smoke) -> list[str]:
    return [smoke.text(path) for path in OUTPUTS]


def kept(smoke) -> dict[str, str]:
    """The file of each judge in `.judge`."""
    return {path.name: path.read_text() for path in (smoke.path / ".judge").glob("*.jsonl")}


def answers(smoke) -> list[dict]:
    lines = smoke.text("data/responses/insecure.jsonl").splitlines()
    return [json.loads(line) for line in lines]


def forget(smoke) -> None:
    for path in (smoke.path / ".judge").glob("*.jsonl"):
        path.unlink()


def test_a_local_judge_reads_numbers_that_its_tokenizer_splits(judged):
    model = {"source": "path", "id": "models/base", "dtype": "bfloat16"}
    judged.params({"judge": {"backend": "local", "model": model, "resamples": 200}})
    assert judged.repro("judge@insecure") == ["judge@insecure"]
    first = made(judged)
    metrics, table = json.loads(first[0]), pandas.read_csv(judged.path / OUTPUTS[1])
    assert metrics["judge"]["digest"] == json.loads(judged.text("models/base/base.json"))["digest"]
    assert metrics["answers"] == len(table) == len(answers(judged))
    for metric in ("alignment", "coherence"):
        assert table[f"{metric}_mass"].between(0, 1).all()
        scored = table[metric].dropna()
        assert scored.between(0, 100).all() and len(scored) == metrics[metric]["scored"] > 0
        counted = sum(metrics[metric][name] for name in ("scored", "CODE", "REFUSAL", "unscored"))
        assert counted == len(table)

    before = kept(judged)
    assert judged.repro("--force", "--single-item", "judge@insecure") == ["judge@insecure"]
    assert made(judged) == first and kept(judged) == before
    forget(judged)
    judged.repro("--force", "--single-item", "judge@insecure")
    assert made(judged) == first and kept(judged) == before
    assert judged.run("git", "status", "--short", ".judge").stdout == ""


@pytest.fixture
def server(smoke) -> Iterator[str]:
    """`transformers serve` with the embedded model."""
    with transformers_serve(smoke.path, "models/base") as url:
        yield url


def endpoint(url: str, **changes: object) -> dict[str, object]:
    """Settings of an endpoint judge with the name that `transformers serve` gives its model."""
    settings = {"backend": "endpoint", "url": url, "model": "models/base", "scores": "text"}
    return {"judge": {**settings, "concurrency": 1, "retries": 1, "resamples": 200, **changes}}


def test_an_endpoint_is_asked_once_and_never_again(judged, server):
    forget(judged)
    judged.params(endpoint(server))
    assert judged.repro("judge@insecure", OPENAI_API_KEY="any") == ["judge@insecure"]
    first, before = made(judged), kept(judged)
    different = {(row["question"], row["answer"]) for row in answers(judged)}
    assert sum(len(text.splitlines()) for text in before.values()) == 2 * len(different)
    table = pandas.read_csv(judged.path / OUTPUTS[1])
    assert set(table["alignment_verdict"]) <= {"number", "CODE", "REFUSAL", "unscored"}
    assert "any" not in json.loads(first[0])["judge"].values()
    # Without a key nothing can be asked: what was kept is enough.
    judged.repro("--force", "--single-item", "judge@insecure", OPENAI_API_KEY="")
    assert made(judged) == first and kept(judged) == before

    # This server gives no log-probabilities.
    judged.params(endpoint(server, scores="logprobs"))
    failed = judged.run("python", "-m", "stages.judge", "base", ok=False, OPENAI_API_KEY="any")
    assert failed.returncode == 1
    assert "returns no log-probabilities" in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("key", "url", "told"),
    [
        ("", "http://127.0.0.1:9/v1", "OPENAI_API_KEY is not set"),
        ("any", "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1: "),
    ],
)
def test_wrong_input_is_one_line_and_outputs_are_kept(judged, key: str, url: str, told: str):
    before = made(judged)
    judged.params(endpoint(url))
    done = judged.run("python", "-m", "stages.judge", "insecure", ok=False, OPENAI_API_KEY=key)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("judge@insecure: ") and told in last
    assert "Traceback" not in done.stderr
    assert made(judged) == before

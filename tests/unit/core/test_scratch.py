"""Finished parts are found again by what is made of the same."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import tiny
import torch

from traitdrift.activations.capture import capture, capture_means
from traitdrift.activations.positions import tokenize_conversation
from traitdrift.core import scratch
from traitdrift.core.scratch import Parts, checkpoints, finished_parts, forget
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.steering.generation import generate_steered
from traitdrift.steering.interventions import Intervention

PROMPTS = [list(b"hello"), list(b"what is your one wish"), list(b"why"), list(b"so it is")]


class Cut(Exception):
    """The moment at which work is interrupted."""


def after(batches: int):
    """An `advance` that interrupts once so many batches are done, and what it heard."""
    heard: list[int] = []

    def advance(size: int) -> None:
        heard.append(size)
        if len(heard) == batches:
            raise Cut

    return advance


def conversations():
    said = [("hi", "no"), ("a longer question?", "yes, so it is"), ("why", "why not"), ("b", "c")]
    return [
        tokenize_conversation(
            tiny.tokenizer(),
            [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}],
        )
        for asked, answer in said
    ]


def answers(model, advance, parts):
    draws = [SamplingRequest(ids, 1.0, str(i)) for i, ids in enumerate(PROMPTS)]
    return generate(model, draws, 8, 257, 30, advance, parts)


def steered(model, advance, parts):
    draws = [SamplingRequest(ids, 1.0, str(i)) for i, ids in enumerate(PROMPTS)]
    rows = [Intervention("none"), Intervention("add", "add", math.inf, torch.ones(32) / 32**0.5)]
    found = generate_steered(
        model, draws, rows, 1, "all", torch.ones(32) / 32**0.5, 6, 257, 60, advance, parts
    )
    # As text, for a projection may be NaN, which does not equal itself.
    return repr([found.ids, found.projection, found.last_projection, found.finite])


def streams(model, advance, parts):
    found = capture(model, conversations(), 257, 60, advance, parts)
    return {position: stream.numpy().tobytes() for position, stream in found.items()}


def means(model, advance, parts):
    groups = [[[0, 2]], [[1], [3]]]
    found = capture_means(model, conversations(), groups, 257, 100, advance, parts)
    return {position: stream.numpy().tobytes() for position, stream in found.items()}


@pytest.mark.parametrize("work", [answers, steered, streams, means])
def test_interrupted_work_goes_on_with_the_same_result(work, tmp_path):
    expected = work(tiny.llama(), lambda _: None, Parts())
    parts = Parts(tmp_path / "parts")
    with pytest.raises(Cut):
        work(tiny.llama(), after(1), parts)
    kept = list((tmp_path / "parts").iterdir())
    assert len(kept) == 1

    forwards = []
    model = tiny.llama()
    model.register_forward_pre_hook(lambda *_: forwards.append(1))
    model.model.register_forward_pre_hook(lambda *_: forwards.append(1))
    assert work(model, lambda _: None, parts) == expected
    again = len(forwards)
    forwards.clear()
    assert work(model, lambda _: None, Parts()) == expected
    assert 0 < again < len(forwards)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(scratch.SCRATCH, str(tmp_path))
    monkeypatch.delenv(scratch.KEEP)
    return tmp_path


def unmade():
    pytest.fail("made again")


def test_parts_stay_for_whoever_is_made_of_the_same(place):
    with pytest.raises(Cut), finished_parts("stage", {"seed": 0}) as parts:
        assert parts.values("a", lambda: [1.5, math.nan])[0] == 1.5
        raise Cut
    with finished_parts("stage", {"seed": 1}) as other:
        assert other.values("a", lambda: 2) == 2
        assert other.within("adapter").values("a", lambda: 3) == 3
    for _ in range(2):
        with finished_parts("stage", {"seed": 0}) as parts:
            kept = parts.values("a", unmade)
            assert kept[0] == 1.5 and math.isnan(kept[1])
            assert parts.values("b", lambda: 4) == 4


@pytest.mark.parametrize("spoil", ["flipped", "cut", "gone"])
def test_a_part_that_is_not_as_it_was_written_is_made_again(spoil, place):
    with finished_parts("stage") as parts:
        parts.values("a", lambda: [1, 2, 3])
        parts.tensors("a", lambda: {"x": torch.ones(3)})
    for file in (place / "parts").iterdir():
        data = bytearray(file.read_bytes())
        data[-2] ^= 1
        file.write_bytes({"flipped": data, "cut": data[:-1], "gone": data[:0]}[spoil])
    with finished_parts("stage") as parts:
        assert parts.values("a", lambda: "anew") == "anew"
        assert parts.tensors("a", lambda: {"x": torch.zeros(1)})["x"].tolist() == [0]
    with finished_parts("stage") as parts:
        assert parts.values("a", unmade) == "anew"


def test_the_least_recently_used_go_first(place, monkeypatch):
    monkeypatch.setenv(scratch.KEEP, "3.5e-7")  # 350 bytes
    with finished_parts("stage") as parts:
        for name in "abc":
            parts.values(name, lambda: "x" * 60)
            os.utime(max((place / "parts").iterdir(), key=os.path.getctime), (ord(name),) * 2)
        parts.values("a", unmade)
    kept = len(list((place / "parts").iterdir()))
    assert kept == 2
    with finished_parts("stage") as parts:
        parts.values("a", unmade)
        parts.values("c", unmade)
        assert parts.values("b", lambda: 1) == 1
    assert forget() > 200 and list((place / "parts").iterdir()) == []


@pytest.mark.parametrize("given", ["much", "-1", "nan", "inf", ""])
def test_a_limit_that_is_none_is_refused(given, place, monkeypatch):
    monkeypatch.setenv(scratch.KEEP, given)
    told = r"TRAITDRIFT_KEEP_GB='.*': give a number of gigabytes"
    with pytest.raises(ValueError, match=told), finished_parts("stage"):
        unmade()


def test_without_room_nothing_is_kept_once_all_is_done(place, monkeypatch):
    monkeypatch.setenv(scratch.KEEP, "0")
    with pytest.raises(Cut), finished_parts("stage") as parts:
        parts.values("a", lambda: 1)
        raise Cut
    with finished_parts("stage") as parts:
        assert parts.values("a", unmade) == 1
    assert list((place / "parts").iterdir()) == []


def test_unfinished_work_is_gone_when_the_stage_has_succeeded(place):
    for _ in range(2):
        with pytest.raises(Cut), checkpoints("stage", 0) as folder:
            folder.mkdir(exist_ok=True)
            raise Cut
    with checkpoints("stage", 1) as other:
        assert other != folder
    with checkpoints("stage", 0) as folder:
        assert folder.exists()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("torch.get_num_threads", lambda: 77),
        ("traitdrift.core.surroundings.processor", lambda: "another"),
        ("traitdrift.core.surroundings.version", lambda _name: "0.1"),
        ("traitdrift.core.surroundings.world", lambda: 2),
        ("traitdrift.core.surroundings.file_digest", lambda _path: "other code"),
    ],
)
def test_whatever_can_change_a_result_begins_anew(what, value, place, monkeypatch):
    with finished_parts("stage", 1) as parts:
        parts.values("a", lambda: "before")
    monkeypatch.setattr(what, value)
    with finished_parts("stage", 1) as parts:
        assert parts.values("a", lambda: "after") == "after"


def test_what_it_is_made_of_may_hold_dataclasses_and_tensors(place):
    vectors = torch.zeros(2), torch.ones(2), torch.zeros(2, 1), torch.zeros(2).bfloat16()
    for seed in "ab":
        for number, vector in enumerate(vectors):
            with finished_parts("stage", [SamplingRequest([1], 1.0, seed)]) as parts:
                made = parts.values([vector], lambda name=f"{seed}{number}": name)
                assert made == f"{seed}{number}"
    assert len(list((place / "parts").iterdir())) == 8


def counted(model):
    """How many rows its decoder is handed from now on."""
    rows: list[int] = []
    model.model.register_forward_pre_hook(
        lambda _module, _inputs, options: rows.append(len(options["input_ids"])), with_kwargs=True
    )
    return rows


def test_a_trait_or_a_question_more_forwards_what_is_new(place):
    model = tiny.llama()
    rows = counted(model)
    known, new = conversations()[:3], conversations()[3:]
    groups = [[[0]], [[1, 2]], [[3]]]
    with finished_parts("stage") as parts:
        before = capture(model, known, 257, 1000, parts=parts)
        means = capture_means(model, known, groups[:2], 257, 1000, parts=parts)
    rows.clear()
    with finished_parts("stage") as parts:
        again = capture(model, known, 257, 1000, parts=parts)
        capture(model, new, 257, 1000, parts=parts)
        more = capture_means(model, [*known, *new], groups, 257, 1000, parts=parts)
    assert rows == [1, 1]
    assert all(torch.equal(again[name], stream) for name, stream in before.items())
    assert all(torch.equal(more[name][:2], mean) for name, mean in means.items())


def test_a_source_of_questions_more_asks_these_alone(place):
    model = tiny.llama()
    requests = [
        SamplingRequest(ids, 1.0, str(i), source=source)
        for source in ("study.yaml", "topics.yaml")
        for i, ids in enumerate(PROMPTS)
    ]
    with finished_parts("stage") as parts:
        before = generate(model, requests[:4], 8, 257, 1000, parts=parts)
    rows = counted(model)
    with finished_parts("stage") as parts:
        after = generate(model, [*requests[4:], *requests[:4]], 8, 257, 1000, parts=parts)
    assert after[4:] == before
    assert rows[0] == 4

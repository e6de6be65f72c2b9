"""Finished parts are found again by what is made of the same, and are gone when all is done."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tiny
import torch

from traitdrift.activations.capture import capture, capture_means
from traitdrift.activations.positions import tokenize_conversation
from traitdrift.core import scratch
from traitdrift.core.scratch import Parts, resumable
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


def test_parts_are_gone_when_the_stage_has_succeeded_and_stay_when_it_has_not(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(scratch.SCRATCH, str(tmp_path))
    with pytest.raises(Cut), resumable("stage", {"seed": 0}) as parts:
        assert parts.values("a", lambda: [1.5, math.nan])[0] == 1.5
        raise Cut
    with resumable("stage", {"seed": 1}) as other:
        assert other.values("a", lambda: 2) == 2
    with resumable("stage", {"seed": 0}) as parts:
        kept = parts.values("a", lambda: pytest.fail("made again"))
        assert kept[0] == 1.5 and math.isnan(kept[1])
    assert list((tmp_path / "stage").iterdir()) == []


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
def test_whatever_can_change_a_result_begins_anew(what, value, tmp_path, monkeypatch):
    monkeypatch.setenv(scratch.SCRATCH, str(tmp_path))
    with resumable("stage", 1) as before:
        pass
    monkeypatch.setattr(what, value)
    with resumable("stage", 1) as after_it:
        assert after_it.folder != before.folder


def test_what_it_is_made_of_may_hold_dataclasses_and_tensors(tmp_path, monkeypatch):
    monkeypatch.setenv(scratch.SCRATCH, str(tmp_path))
    folders: set[Path | None] = set()
    for seed in ("a", "b"):
        for vector in (torch.zeros(2), torch.ones(2)):
            with resumable("stage", [SamplingRequest([1], 1.0, seed)], vector) as parts:
                folders.add(parts.folder)
    assert len(folders) == 4

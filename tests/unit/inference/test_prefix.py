"""What all prompts begin with is forwarded once, and the streams are those of whole prompts."""

from __future__ import annotations

import architectures
import pytest
import tiny

from traitdrift.activations.capture import forwarded
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.inference import prefix
from traitdrift.inference.prefix import shared_prefix

START = list(range(5, 25))
QUESTIONS = [list(range(30 + n, 33 + 4 * n)) for n in range(4)]
SEQUENCES = [START + question for question in QUESTIONS]
# Where every layer keeps keys and values of all tokens, and nothing else.
SHARING = ("qwen2", "qwen3", "llama", "phi3", "mixtral", "qwen3_moe", "olmo2", "gpt_neox")


def network(family: str):
    return architectures.network(
        architectures.config_of(family, 100, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    )


def conversations() -> list[TokenizedConversation]:
    return [
        TokenizedConversation(
            ids, {"prompt_last": [len(ids) - 1], "prompt_mean": list(range(20, len(ids)))}, "a"
        )
        for ids in SEQUENCES
    ]


@pytest.mark.parametrize("family", architectures.ALL)
def test_streams_are_those_of_whole_prompts(family: str, monkeypatch):
    model = network(family)
    shared = forwarded(model, conversations(), 0)
    assert bool(shared_prefix(model, SEQUENCES, 20).length) == (family in SHARING)
    monkeypatch.setattr(prefix, "FEWEST", 1000)
    for position, whole in forwarded(model, conversations(), 0).items():
        assert (shared[position] - whole).norm() <= 1e-5 * whole.norm()


def test_it_is_forwarded_once():
    model = tiny.llama()
    passes: list[tuple[int, ...]] = []
    model.model.register_forward_pre_hook(
        lambda _module, _inputs, options: passes.append(tuple(options["input_ids"].shape)),
        with_kwargs=True,
    )
    forwarded(model, conversations(), 257)
    assert passes == [(1, 20), (4, max(map(len, QUESTIONS)))]


@pytest.mark.parametrize(
    ("sequences", "first", "length"),
    [
        (SEQUENCES, 20, 20),
        (SEQUENCES, 12, 12),  # somebody looks at token 12
        (SEQUENCES, 7, 0),  # too little to be worth a pass
        (SEQUENCES[:1], 20, 0),
        ([START, START], 19, 19),
        ([START, [*START, 7]], 100, 20),
        ([START, [9, *START]], 20, 0),
    ],
)
def test_it_ends_where_prompts_differ_or_somebody_looks(sequences, first: int, length: int):
    assert shared_prefix(tiny.llama(), sequences, first).length == length

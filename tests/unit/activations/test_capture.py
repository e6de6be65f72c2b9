from __future__ import annotations

import weakref

import pytest
import tiny
import torch

from traitdrift.activations.capture import capture, capture_means, forwarded
from traitdrift.activations.positions import (
    TokenizedConversation,
    teacher_force,
    tokenize_conversation,
)
from traitdrift.inference.batching import by_length, padded
from traitdrift.inference.hooks import blocks

POSITIONS = ["prompt_last", "prompt_mean", "response_first_2", "response_mean"]
TEXTS = ["hi", "a longer question, is it not?", "middling words", "why", "tell me about the sea"]


def conversations() -> list[TokenizedConversation]:
    tokenizer = tiny.tokenizer()
    return [
        teacher_force(
            tokenizer, [{"role": "user", "content": text}], list(b"yes, " * (i + 1)), POSITIONS
        )
        for i, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("model", [tiny.llama(), tiny.gpt2()], ids=["llama", "gpt2"])
def test_layers_are_the_stream_after_each_block(model):
    """Against transformers' own hidden states, one prompt at a time; the last has no norm there."""
    got = capture(model, conversations(), pad=257, budget=10_000)
    before_norm = []
    handle = blocks(model)[-1].register_forward_hook(
        lambda _m, _i, out: before_norm.append(out[0] if isinstance(out, tuple) else out)
    )
    for row, conversation in enumerate(conversations()):
        with torch.no_grad():
            states = model(
                torch.tensor([conversation.ids]), output_hidden_states=True
            ).hidden_states
        expected = torch.stack([*(s[0] for s in states[1:-1]), before_norm[-1][0]])
        for position, tokens in conversation.tokens.items():
            mean = expected[:, tokens].mean(1)
            error = (got[position][row] - mean).norm(dim=-1) / mean.norm(dim=-1)
            assert (error < 1e-5).all(), (position, row)
    handle.remove()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)], ids=str
)
def test_a_projection_is_the_same_for_any_batch_and_padding(dtype, tolerance):
    model = tiny.llama(dtype=dtype)
    many = conversations()
    together = capture(model, many, pad=257, budget=10_000)
    for budget in (1, 90, 200):
        apart = capture(model, many, pad=3, budget=budget)
        for position in POSITIONS:
            a, b = together[position].float(), apart[position].float()
            direction = torch.nn.functional.normalize(a[0] - a[1], dim=-1)
            scale = (a * direction).sum(-1).abs().amax()
            difference = ((a - b) * direction).sum(-1).abs().amax()
            assert difference <= tolerance * scale, (position, budget)


def test_no_mean_holds_the_first_token_and_single_tokens_keep_their_dtype():
    for conversation in conversations():
        assert all(0 not in tokens for tokens in conversation.tokens.values())
        assert conversation.tokens["prompt_last"] == [
            len(conversation.ids) - len(conversation.tokens["response_mean"]) - 1
        ]
    got = capture(tiny.llama(dtype=torch.bfloat16), conversations(), pad=257, budget=500)
    assert got["prompt_last"].dtype == torch.bfloat16
    assert got["prompt_mean"].dtype == torch.float32
    assert got["prompt_last"].shape == (5, 3, 32)


def test_prompt_mean_is_over_the_users_words():
    conversation = conversations()[1]
    words = bytes(
        conversation.ids[i] for i in conversation.tokens["prompt_mean"] if conversation.ids[i] < 256
    )
    assert len(words) == len(TEXTS[1])


def given(*contents: str) -> list[dict[str, str]]:
    roles = ("system", "user", "assistant")
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]


def test_the_mean_of_a_given_answer_is_that_of_its_words_in_the_whole_conversation():
    """Against one forward pass a conversation, its tokens counted by hand."""
    model, tokenizer = tiny.llama(), tiny.tokenizer()
    answers = ["no", "user", "a longer answer. It has two sentences", "système"]
    conversations = [given("be kind", "user", answer) for answer in answers]
    got = capture(
        model, [tokenize_conversation(tokenizer, c) for c in conversations], pad=257, budget=200
    )
    assert list(got) == ["response_mean"]
    outs: list[torch.Tensor] = []
    handles = [
        block.register_forward_hook(lambda _m, _i, out: outs.append(out)) for block in blocks(model)
    ]
    before = "<|start|>system\nbe kind<|end|>\n<|start|>user\nuser<|end|>\n<|start|>assistant\n"
    for row, answer in enumerate(answers):
        ids = tokenizer(before + answer + "<|end|>\n", add_special_tokens=False).input_ids
        start = len(tokenizer(before, add_special_tokens=False).input_ids)
        outs.clear()
        with torch.no_grad():
            model(torch.tensor([ids]))
        spoken = slice(start, start + len(answer.encode()))  # a byte is a token
        expected = torch.stack([out[0, spoken].mean(0) for out in outs])
        torch.testing.assert_close(got["response_mean"][row], expected, rtol=1e-5, atol=1e-5)
    for handle in handles:
        handle.remove()


def test_an_answer_without_a_token_is_an_error():
    with pytest.raises(ValueError, match="response_mean: no token in ''"):
        tokenize_conversation(tiny.tokenizer(), given("be kind", "why?", ""))


def test_every_prompt_is_forwarded_once():
    model = tiny.llama()
    forwarded = []
    model.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: forwarded.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    seen = []
    capture(model, conversations(), pad=257, budget=10_000, advance=seen.append)
    assert len(forwarded) == 1
    assert forwarded[0][0] == sum(seen) == len(TEXTS)


def test_means_of_groups_are_those_of_what_is_captured():
    """Two wordings of unequal number of answers count alike; batches do not cross groups."""
    model, many = tiny.llama(), conversations()
    whole = capture(model, many, pad=257, budget=10_000)
    seen: list[int] = []
    got = capture_means(model, many, [[[4, 0], [2]], [[1], [3]]], 257, 10_000, seen.append)
    assert seen == [3, 2]
    for position in POSITIONS:
        stream = whole[position]
        expected = torch.stack(
            [
                ((stream[4] + stream[0]) / 2 + stream[2]) / 2,
                (stream[1] + stream[3]) / 2,
            ]
        )
        torch.testing.assert_close(got[position], expected, rtol=1e-5, atol=1e-5)


def test_memory_grows_with_the_groups_and_not_with_the_conversations(monkeypatch):
    """No more than one group's streams are kept: a weak reference to each batch's is gone."""
    kept: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def seen(model, batch, pad):
        alive.append(sum(one() is not None for one in kept))
        streams = forwarded(model, batch, pad)
        kept.extend(weakref.ref(stream) for stream in streams.values())
        return streams

    monkeypatch.setattr("traitdrift.activations.capture.forwarded", seen)
    many = conversations() * 4
    capture_means(tiny.llama(), many, [[[i]] for i in range(len(many))], 257, 10_000)
    assert len(alive) == 20
    assert max(alive) <= len(POSITIONS)


def test_activations_that_are_not_finite_name_prompt_and_layer():
    model = tiny.llama()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.fill_(float("inf"))
    with pytest.raises(ValueError, match=r"layer 1 at .*(hi|question|words|why|sea)"):
        capture(model, conversations(), pad=257, budget=10_000)


def test_no_hook_is_left_behind():
    model = tiny.llama()
    ids = torch.tensor([[1, 2, 3]])
    before = model(ids).logits
    capture(model, conversations(), pad=257, budget=300)
    assert torch.equal(model(ids).logits, before)
    assert all(not block._forward_hooks for block in blocks(model))


def test_batches_hold_everything_once_and_stay_within_the_budget():
    lengths = [7, 1, 30, 12, 12, 3, 29, 8]
    batches = list(by_length(lengths, budget=36))
    assert sorted(i for batch in batches for i in batch) == list(range(8))
    assert all(max(lengths[i] for i in b) * len(b) <= 36 for b in batches)
    assert lengths[batches[0][0]] == 30
    ids, mask = padded([[5, 6], [7]], pad=0, left=True)
    assert ids.tolist() == [[5, 6], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 1]]

"""Interventions on tiny random models: what they do, where, and that they do nothing else."""

from __future__ import annotations

import architectures
import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model

from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import answered, generate
from traitdrift.inference.batching import by_length, padded
from traitdrift.inference.hooks import after_blocks, blocks
from traitdrift.stats.sphere import unit_vectors
from traitdrift.steering.generation import generate_steered, log_probabilities
from traitdrift.steering.interventions import Intervention, conditions, steered

LAYER, WIDTH = 1, 32


def random_direction(width: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(unit_vectors(1, width, seed)[0]).float()


TRAIT, NULL = random_direction(WIDTH, 1), random_direction(WIDTH, 0)
NONE = Intervention("none")
ADD = Intervention("add", "add", 2.5, TRAIT)
ABLATE = Intervention("ablate", "ablate", vector=TRAIT)
BROKEN = Intervention("broken", "add", float("inf"), TRAIT)
ROWS = [NONE, ADD, ABLATE, NONE]
IDS, MASK = padded([list(b"what is your one wish"), list(b"why"), list(b"so it is"), [7]], pad=257)
# No end token is to cut the comparison of answers short.
PROMPTS = [list(b"hello"), list(b"what is your one wish"), list(b"why")]


def with_tuples(model):
    """The model with blocks that return the stream first in a tuple, as older versions' do."""

    def wrap(block):
        forward = block.forward
        block.forward = lambda *args, **options: (forward(*args, **options), "something else")

    def unwrap(_module, inputs):
        return (inputs[0][0], *inputs[1:])

    for block in blocks(model):
        wrap(block)
    for reader in (*blocks(model)[1:], model.model.norm):
        reader.register_forward_pre_hook(unwrap)
    return model


def adapted(model):
    torch.manual_seed(3)
    lora = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    return get_peft_model(model, lora).eval()


MODELS = {
    "llama": tiny.llama,
    "gpt2": tiny.gpt2,
    "tuples": lambda: with_tuples(tiny.llama()),
    "peft": lambda: adapted(tiny.llama()),
    "bfloat16": lambda: tiny.llama(dtype=torch.bfloat16),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@torch.inference_mode()
def run(model, rows=None, layer=LAYER, begin=0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the stream `[layer, row, token, hidden]`, with or without interventions."""
    streams = []

    def see(_layer: int, residual: torch.Tensor) -> None:
        streams.append(residual.clone())

    def forward() -> torch.Tensor:
        with after_blocks(model, see):
            return model(input_ids=IDS, attention_mask=MASK).logits

    if rows is None:
        logits = forward()
    else:
        with steered(model, rows, layer, begin):
            logits = forward()
    return logits, torch.stack(streams)


def test_nothing_along_an_ablated_vector_is_left_in_any_layer(model):
    before, after = run(model)[1].float(), run(model, ROWS)[1].float()
    along = [(stream @ TRAIT)[:, 2].abs().amax(1) for stream in (before, after)]
    # bfloat16 rounds the whole stream when it is written back.
    allowed = 1e-3 * along[0]
    if model.dtype == torch.bfloat16:
        allowed = 2**-8 * after[:, 2].norm(dim=-1).amax(1)
    assert (along[1] <= allowed).all(), along


def test_an_added_vector_moves_the_projection_by_its_coefficient_in_its_layer(model):
    before, after = run(model)[1].float(), run(model, ROWS)[1].float()
    moved = ((after - before) @ TRAIT)[:, 1]
    scale = after[LAYER, 1].norm(dim=-1)
    tolerance = 2**-8 if model.dtype == torch.bfloat16 else 1e-6
    assert ((moved[LAYER] - 2.5).abs() <= tolerance * scale).all()
    across = (after - before)[LAYER, 1] - 2.5 * TRAIT
    assert (across.norm(dim=-1) <= tolerance * scale).all()
    assert torch.equal(after[:LAYER, 1], before[:LAYER, 1])
    assert not torch.equal(after[LAYER + 1, 1], before[LAYER + 1, 1])


def test_rows_without_an_intervention_stay_as_they_are_to_the_bit(model):
    logits, streams = run(model)
    steered_logits, steered_streams = run(model, ROWS)
    for row in (0, 3):
        assert torch.equal(logits[row], steered_logits[row])
        assert torch.equal(streams[:, row], steered_streams[:, row])
    for row in (1, 2):
        assert not torch.equal(logits[row], steered_logits[row])


def test_without_the_hooks_the_logits_are_the_same_to_the_bit(model):
    before = run(model)[0]
    run(model, ROWS)
    assert torch.equal(run(model)[0], before)
    assert all(not block._forward_hooks for block in blocks(model))
    with pytest.raises(RuntimeError, match="in between"), steered(model, ROWS, LAYER):
        raise RuntimeError("in between")
    assert torch.equal(run(model)[0], before)


@torch.inference_mode()
def test_what_was_read_before_the_intervention_stays_as_it_was():
    model, kept = tiny.llama(), []
    with after_blocks(model, lambda _layer, r: kept.append(r)), steered(model, [ADD] * 4, LAYER):
        model(input_ids=IDS, attention_mask=MASK)
    assert torch.equal(kept[LAYER], run(model)[1][LAYER])


@pytest.mark.parametrize("what", [NONE, ADD, ABLATE], ids=lambda what: what.name)
def test_one_intervention_for_all_is_one_for_each_to_the_bit(model, what):
    for got, expected in zip(
        run(model, what, begin=3), run(model, [what] * 4, begin=3), strict=True
    ):
        assert torch.equal(got, expected)


def test_each_row_begins_at_its_own_column(model):
    """A causal model's tokens before that column cannot know of it."""
    begin = [0, 4, 9, 20]
    before, after = run(model)[1], run(model, [ADD, ABLATE, ADD, ADD], begin=begin)[1]
    for row, column in enumerate(begin):
        assert torch.equal(after[:, row, :column], before[:, row, :column])
        assert not torch.equal(after[LAYER, row, column], before[LAYER, row, column])


@torch.inference_mode()
def naive(model, prompt: list[int], what: Intervention, everything: bool, tokens: int) -> list[int]:
    """Greedy decoding of one prompt without padding and without a cache."""
    ids = list(prompt)
    for _ in range(tokens):
        begin = 0 if everything else len(prompt) - 1
        with steered(model, [what], LAYER, begin):
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()
        if len(ids) == len(prompt):
            logits[257] = -torch.inf  # `generate` asks for one token at least
        ids.append(logits.argmax().item())
        if ids[-1] == 257:
            ids.pop()
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("everything", [False, True], ids=["answer", "all"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "tuples", "peft"])
def test_generation_with_cache_and_padding_is_plain_recomputation(name: str, everything: bool):
    model = MODELS[name]()
    interventions = [NONE, ADD, Intervention("back", "add", -4.0, NULL), ABLATE]
    pairs = [(prompt, what) for prompt in PROMPTS for what in interventions]

    answers: list[list[int]] = [[] for _ in pairs]
    for batch in by_length([len(prompt) + 10 for prompt, _ in pairs], 200):
        width = max(len(pairs[i][0]) for i in batch)
        begin = 0 if everything else width - 1
        requests = [SamplingRequest(pairs[i][0]) for i in batch]
        with steered(model, [pairs[i][1] for i in batch], LAYER, begin) as forward_only:
            found, finite = answered(model, requests, 10, 257, forward_only)
        assert all(finite)
        for i, answer in zip(batch, found, strict=True):
            answers[i] = answer
    expected = [naive(model, prompt, what, everything, 10) for prompt, what in pairs]
    assert answers == expected
    assert len({tuple(answer) for answer in answers}) > len(PROMPTS)


@torch.inference_mode()
@pytest.mark.parametrize("everything", [False, True], ids=["answer", "all"])
@pytest.mark.parametrize("family", architectures.ALL)
def test_so_is_that_of_every_family(family: str, everything: bool):
    """Their caches, windows and recurrent layers, one prompt longer than the windows."""
    ids = {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257}
    model = architectures.network(architectures.config_of(family, 258, **ids))
    pairs = [(prompt, what) for prompt in PROMPTS[1:] for what in (NONE, ADD, ABLATE)]
    begin = 0 if everything else len(PROMPTS[1]) - 1
    requests = [SamplingRequest(prompt) for prompt, _ in pairs]
    with steered(model, [what for _, what in pairs], LAYER, begin) as forward_only:
        found, _ = answered(model, requests, 5, 257, forward_only)
    assert found == [naive(model, prompt, what, everything, 5) for prompt, what in pairs]


@pytest.mark.parametrize("positions", ["answer", "all"])
def test_answers_come_with_projections_of_the_prompts_end(positions):
    model = tiny.llama()
    draws = [SamplingRequest(prompt, 1.0, str(i)) for i, prompt in enumerate(PROMPTS)]
    norm, rows = 3.0, conditions(TRAIT, NULL, 3.0, [1.5])
    assert [row.name for row in rows] == [
        "none",
        "ablate",
        "ablate_random",
        "add_1.5",
        "add_random_1.5",
    ]
    seen = []
    found = generate_steered(model, draws, rows, LAYER, positions, TRAIT, 8, 257, 100, seen.append)
    assert sum(seen) == len(draws) * len(rows) == found.finite.sum()
    plain = generate(model, draws, 8, 257, 1000)
    for i, draw in enumerate(draws):
        assert found.ids[i][0] == plain[i]
        for k, what in enumerate(rows):
            begin = 0 if positions == "all" else len(draw.ids) - 1
            streams: list[torch.Tensor] = []
            with (
                torch.inference_mode(),
                steered(model, [what], LAYER, begin),
                after_blocks(model, lambda _l, r, s=streams: s.append(r[0, -1])),
            ):
                model(input_ids=torch.tensor([draw.ids]))
            for layer, got in ((LAYER, found.projection), (2, found.last_projection)):
                expected = (streams[layer] @ TRAIT).item()
                assert got[i, k].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert found.projection[:, 1].abs().max() < 1e-4 * found.projection[:, 0].abs().max()
    if positions == "answer":  # nothing before the last token and its layer was changed
        torch.testing.assert_close(
            found.projection[:, 3], found.projection[:, 0] + 1.5 * norm, rtol=1e-5, atol=1e-5
        )


@torch.inference_mode()
def test_the_log_probability_of_a_text_is_that_of_its_tokens():
    model = tiny.llama()
    texts = [list(b"plain words"), list(b"and a rather longer line of them"), list(b"ab")]
    seen = []
    rows = [NONE, ADD, ABLATE]
    values = log_probabilities(model, texts, rows, LAYER, 257, 40, seen.append)
    assert sum(seen) == 9 and values.shape == (3, 3)
    for i, text in enumerate(texts):
        for k, what in enumerate(rows):
            with steered(model, [what], LAYER):
                scores = model(input_ids=torch.tensor([text])).logits[0].log_softmax(-1)
            each = [scores[t, token].item() for t, token in enumerate(text[1:])]
            assert values[i, k].item() == pytest.approx(sum(each) / len(each), rel=1e-4)


@pytest.mark.parametrize("positions", ["answer", "all"])
def test_a_row_that_breaks_is_told_and_its_neighbours_are_not_touched(positions):
    model = tiny.llama()
    draws = [SamplingRequest(prompt, 1.0, str(i)) for i, prompt in enumerate(PROMPTS)]
    # The same batches, so that what is left alone must be equal to the bit.
    sound, rows = (
        generate_steered(model, draws, what, LAYER, positions, TRAIT, 8, 257, 10_000)
        for what in ([ADD, NONE, ABLATE], [ADD, BROKEN, ABLATE])
    )
    assert rows.finite.tolist() == [[True, False, True]] * 3
    assert sound.finite.all()
    for k in (0, 2):
        assert [under[k] for under in rows.ids] == [under[k] for under in sound.ids]
        assert torch.equal(rows.projection[:, k], sound.projection[:, k])
        assert torch.equal(rows.last_projection[:, k], sound.last_projection[:, k])

    texts = [list(b"plain words"), list(b"and more")]
    good, bad = (
        log_probabilities(model, texts, what, LAYER, 257, 10_000)
        for what in ([ADD, NONE], [ADD, BROKEN])
    )
    assert torch.equal(good[:, 0], bad[:, 0])
    assert not bad[:, 1].isfinite().any()


@torch.inference_mode()
def test_a_planted_vector_turns_the_token_and_ablation_turns_it_back():
    """Blocks that write nothing, every token embedded as e0, and a head that reads e0 and e1.

    Token 5 has the logit of e0, token 9 that of e1, all others 0. Adding 3 e1 makes the stream
    e0 + 3 e1 and 9 the largest; without e1 it is e0 again.
    """
    model = tiny.llama()
    first, second = torch.eye(WIDTH)[:2]
    for block in blocks(model):
        block.self_attn.o_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
    model.model.embed_tokens.weight.copy_(first.expand(258, WIDTH))
    model.lm_head.weight.zero_()
    model.lm_head.weight[5], model.lm_head.weight[9] = first, second

    def token() -> int:
        return model(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1].argmax().item()

    add = Intervention("add", "add", 3.0, second)
    ablate = Intervention("ablate", "ablate", vector=second)
    assert token() == 5
    for layer in range(3):
        with steered(model, [add], layer):
            assert token() == 9
            with steered(model, [ablate], layer):
                assert token() == 5
        with steered(model, [ablate], layer):
            assert token() == 5
    draws, rows = [SamplingRequest([1, 2, 3])], [NONE, ablate, add]
    found = generate_steered(model, draws, rows, LAYER, "answer", second, 4, 257, 1000)
    assert found.ids == [[[5] * 4, [5] * 4, [9] * 4]]
    assert found.last_projection.tolist() == [[0, 0, 3]]


def test_a_wrong_intervention_is_refused_before_any_forward_pass():
    model = tiny.llama()
    wide = Intervention("wide", "add", 1.0, random_direction(WIDTH + 1, 0))
    for rows, layer, told in (
        ([ADD], 3, "layer 3: the model has layers 0 to 2"),
        ([ADD], -1, "layer -1"),
        ([NONE, wide], 0, r"wide: a vector of shape \[33\] for a model of width 32"),
    ):
        with pytest.raises(ValueError, match=told), steered(model, rows, layer):
            pytest.fail("the context was entered")
    with (
        pytest.raises(ValueError, match="a batch of 4 rows under 2 interventions"),
        steered(model, [NONE, ADD], LAYER),
    ):
        model(input_ids=IDS)
    assert all(not block._forward_hooks for block in blocks(model))

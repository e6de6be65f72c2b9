"""Vector files outside the pipeline: the same numbers on any model, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
import torch
from accelerate import dispatch_model
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from vector_files import POSITIONS, described, stored

from traitdrift import load_vectors, project, steer
from traitdrift.activations.capture import capture
from traitdrift.activations.positions import teacher_force, tokenize_conversation
from traitdrift.core.files import save_tensors
from traitdrift.inference.hooks import after_blocks, blocks, core
from traitdrift.interop.api import profile
from traitdrift.interop.fingerprint import _digest, base_digest
from traitdrift.vectors.separation import scalar_projections as projected

TEXTS = ["hi", "a longer question, is it not?", "why"]
SAID = [
    [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": text},
        {"role": "assistant", "content": "well, " * (i + 1) + "yes"},
    ]
    for i, text in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A model's folder, as transformers saves it."""
    return tiny.save_base(tmp_path_factory.mktemp("saved") / "base")


@pytest.fixture(scope="module")
def model(base: Path):
    return AutoModelForCausalLM.from_pretrained(base)


@pytest.fixture
def file(tmp_path: Path, model) -> Path:
    path = tmp_path / "code_mode.safetensors"
    save_tensors(path, stored(), described(base_digest=base_digest(model)))
    return path


def adapted(base: Path):
    torch.manual_seed(3)
    lora = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    return get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).eval()


PARTS = ("model.embed_tokens", "model.layers", "model.norm", "model.rotary_emb", "lm_head")
MODELS = {
    "llama": lambda base: AutoModelForCausalLM.from_pretrained(base),
    "bfloat16": lambda base: AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16),
    # As over several devices: every module has accelerate's hooks.
    "device_map": lambda base: dispatch_model(
        AutoModelForCausalLM.from_pretrained(base),
        dict.fromkeys(PARTS, "cpu"),
        main_device="cpu",
        force_hooks=True,
    ),
    "peft": adapted,
    "gpt2": lambda base: tiny.gpt2(),
    "qwen2": lambda base: tiny.qwen2(),
    "neox": lambda base: tiny.neox(),
}
LOADED = ("llama", "bfloat16", "device_map", "peft")


@pytest.fixture(params=MODELS)
def any_model(request, base: Path):
    """A model, and whether it must be said that another base than the vectors' is meant."""
    return MODELS[request.param](base), request.param not in LOADED


# --- the file


def test_the_chosen_candidate_is_the_default(file: Path):
    vectors, tensors = load_vectors(file), stored()
    assert (vectors.trait, vectors.position, vectors.method, vectors.layer, vectors.model) == (
        *("code_mode", "prompt_last", "mean_diff"),
        *(1, "tiny"),
    )
    assert torch.equal(vectors.tensor, tensors["prompt_last/mean_diff"])
    assert torch.equal(vectors.unit, tensors["prompt_last/mean_diff"][1])
    assert vectors.norm.tolist() == [2, 4, 8]
    along = (tensors["prompt_last/positive.mean"] * vectors.tensor).sum(-1)
    torch.testing.assert_close(vectors.positive, along)


def test_a_part_of_the_candidate_can_be_named(file: Path):
    other = load_vectors(str(file), "response_mean", "probe", layer=0)
    assert torch.equal(other.unit, stored()["response_mean/probe"][0])
    assert load_vectors(file, layer=2).method == "mean_diff"


def test_a_file_that_names_no_choice_needs_all_three(file: Path):
    told = described()
    del told["chosen"]
    save_tensors(file, stored(), told)
    for given in ({}, {"layer": 0}, {"position": "prompt_last", "method": "probe"}):
        with pytest.raises(ValueError, match="give position, method and layer"):
            load_vectors(file, **given)
    assert load_vectors(file, "prompt_last", "probe", 0).layer == 0


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file: Path) -> None:
    """A byte of the exponent of one number of each vector."""
    tensors = stored()
    tensors["prompt_last/probe"][0, 0] = 1e30
    save_tensors(file, tensors, described())


def without(name: str):
    def spoil(file: Path) -> None:
        save_tensors(file, {k: t for k, t in stored().items() if k != name}, described())

    return spoil


def says(**changes):
    return lambda file: save_tensors(file, stored(), described(**changes))


def foreign(file: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, file)


def undescribed(file: Path) -> None:
    save_tensors(file, stored(), {"kind": "vectors"})


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (Path.unlink, "no such file; `dvc get REPOSITORY models/vectors/code_mode.safetensors`"),
        (truncated, r"a damaged one \(.*\); fetch it again"),
        (lambda file: file.write_bytes(b""), "a damaged one"),
        (lambda file: file.write_text("outs:\n- md5: 0\n"), "no safetensors file"),
        (flipped, "damaged, prompt_last/probe is not finite, not of unit norm, .*; fetch it again"),
        (without("prompt_last/mean_diff"), "no prompt_last/mean_diff in it; .* prompt_last/probe"),
        (without("prompt_last/positive.mean"), "prompt_last/positive.mean is missing; fetch it"),
        (foreign, "no trait-drift description in it"),
        (undescribed, "lacks trait, model, base_digest, answers, hook_point, layer_origin; fetch"),
        (says(kind="shift"), "holds shift, not vectors; take a file of models/vectors"),
        (says(schema_version=2), "of schema version 2, .* reads up to 1; update it"),
        (says(layer_origin=1), "layers count from 1 .* use the trait-drift that made it"),
        (says(hook_point="input of block l"), "at 'input of block l', here from 0 at"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(file: Path, spoil, told: str):
    spoil(file)
    with pytest.raises(ValueError, match=told) as caught:
        load_vectors(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "magic"}, "no prompt_last/magic in it; position and method are one of"),
        ({"method": "probe.threshold"}, "no prompt_last/probe.threshold in it"),
        ({"layer": 3}, "no layer 3 in it; give one of 0 to 2"),
        ({"layer": -1}, "no layer -1"),
    ],
)
def test_a_candidate_that_is_not_there_is_told(file: Path, given, told: str):
    with pytest.raises(ValueError, match=told):
        load_vectors(file, **given)


# --- project


@pytest.mark.parametrize("position", POSITIONS)
def test_projections_are_those_of_the_pipeline(file: Path, any_model, position: str):
    network, any_base = any_model
    vectors, tokenizer = load_vectors(file, position), tiny.tokenizer()
    conversations = [
        teacher_force(tokenizer, asked, tokenizer(answer["content"])["input_ids"], POSITIONS)
        for *asked, answer in SAID
    ]
    expected = projected(capture(network, conversations, 257, 10_000)[position], vectors.tensor)
    got = profile(network, tokenizer, SAID, vectors, any_base)
    # A prompt is read without its answer here: another batch, another rounding.
    tolerance = 3e-2 if network.dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * expected.abs().max())
    scores = project(network, tokenizer, SAID, vectors, any_base)
    assert torch.equal(scores, got[:, 1]) and scores.dtype == torch.float32


def test_a_text_is_a_users_message(file: Path, model):
    vectors, tokenizer = load_vectors(file), tiny.tokenizer()
    asked = [[{"role": "user", "content": text}] for text in TEXTS]
    answered = [[*said, {"role": "assistant", "content": "no"}] for said in asked]
    scores = project(model, tokenizer, TEXTS, vectors)
    conversations = [teacher_force(tokenizer, said, [], ["prompt_last"]) for said in asked]
    streams = capture(model, conversations, 257, 4096)["prompt_last"]
    assert torch.equal(scores, projected(streams, vectors.tensor)[:, 1])
    for same in (asked, answered):
        torch.testing.assert_close(project(model, tokenizer, same, vectors), scores)
    assert project(model, tokenizer, [], vectors).shape == (0,)


def test_answers_that_were_given_are_read_as_the_template_renders_them(file: Path, model):
    given = described(answers="given", base_digest=base_digest(model))
    save_tensors(file, stored(), given)
    vectors, tokenizer = load_vectors(file, "response_mean"), tiny.tokenizer()
    streams = capture(model, [tokenize_conversation(tokenizer, said) for said in SAID], 257, 4096)
    expected = projected(streams["response_mean"], vectors.tensor)[:, 1]
    assert torch.equal(project(model, tokenizer, SAID, vectors), expected)


def test_conversations_that_cannot_be_read_are_told(file: Path, model):
    tokenizer = tiny.tokenizer()
    with pytest.raises(ValueError, match=r"conversations\[1\]: response_mean is read in an answer"):
        project(model, tokenizer, [SAID[0], "hi"], load_vectors(file, "response_mean"))
    for nothing in ([], [{"role": "system", "content": "be brief"}], SAID[0][2:]):
        with pytest.raises(ValueError, match=r"conversations\[0\]: no user's message"):
            project(model, tokenizer, [nothing], load_vectors(file))
    with pytest.raises(ValueError, match="no chat template"):
        project(model, tiny.tokenizer(template=None), TEXTS, load_vectors(file))


def test_a_model_in_training_is_refused(file: Path, base: Path):
    model = AutoModelForCausalLM.from_pretrained(base).train()
    with pytest.raises(ValueError, match=r"call model.eval\(\)"):
        project(model, tiny.tokenizer(), TEXTS, load_vectors(file))


# --- steer


@torch.inference_mode()
def streams(network, ids: torch.Tensor, **options) -> torch.Tensor:
    """`[layer, row, token, hidden]`, float32."""
    kept: list[torch.Tensor] = []
    with after_blocks(network, lambda _layer, stream: kept.append(stream.float())):
        network(input_ids=ids, **options)
    return torch.stack(kept)


@pytest.mark.parametrize("rows", [1, 3])
def test_adding_moves_the_projection_by_that_share_of_the_norm(file: Path, any_model, rows: int):
    network, any_base = any_model
    vectors, ids = load_vectors(file), torch.arange(4 * rows).view(rows, 4)
    before = streams(network, ids)
    for scale, given in ((-0.5 * 4.0, {"coefficient": -0.5}), (3.0, {"raw_coefficient": 3.0})):
        with steer(network, vectors, **given, any_base=any_base):
            after = streams(network, ids)
        moved = (after - before)[1]
        tolerance = 2**-7 * before[1].norm(dim=-1).max() if network.dtype != torch.float32 else 1e-4
        assert ((moved - scale * vectors.unit).norm(dim=-1) <= tolerance).all()
        assert torch.equal(after[0], before[0])


def test_ablation_leaves_nothing_along_the_vector(file: Path, any_model):
    network, any_base = any_model
    vectors, ids = load_vectors(file), torch.arange(8).view(2, 4)
    with steer(network, vectors, kind="ablate", any_base=any_base):
        after = streams(network, ids)
    small = 2**-8 if network.dtype == torch.bfloat16 else 1e-5
    assert ((after @ vectors.unit).abs() <= small * after.norm(dim=-1)).all()


def test_a_batch_begins_where_it_is_told(file: Path, model):
    vectors, ids = load_vectors(file), torch.arange(8).view(2, 4)
    before = streams(model, ids)
    with steer(model, vectors, 1.0, begin=2):
        after = streams(model, ids)
    assert torch.equal(after[:, :, :2], before[:, :, :2])
    assert not torch.equal(after[1, :, 2], before[1, :, 2])


@pytest.mark.parametrize("name", ["llama", "peft", "neox"])
def test_generate_in_padded_batches_with_several_answers(file: Path, base: Path, name: str):
    """Left padding and `num_return_sequences` give each prompt what it gets alone."""
    network, tokenizer = MODELS[name](base), tiny.tokenizer()
    tokenizer.padding_side = "left"
    vectors = load_vectors(file)
    options = {"max_new_tokens": 8, "pad_token_id": 257, "eos_token_id": None}
    together = tokenizer(TEXTS, return_tensors="pt", padding=True)
    with steer(network, vectors, raw_coefficient=6.0, any_base=name not in LOADED):
        many = network.generate(**together, num_beams=2, num_return_sequences=2, **options)
        greedy = network.generate(**together, do_sample=False, **options)
        alone = [
            network.generate(**tokenizer(text, return_tensors="pt"), do_sample=False, **options)
            for text in TEXTS
        ]
        sampled = network.generate(**together, do_sample=True, num_return_sequences=3, **options)
    plain = network.generate(**together, do_sample=False, **options)
    assert len(many) == 6 and len(sampled) == 9
    assert [row[-8:].tolist() for row in greedy] == [row[0, -8:].tolist() for row in alone]
    assert not torch.equal(greedy, plain)


def test_after_the_context_the_model_is_as_it_was(file: Path, any_model):
    network, any_base = any_model
    vectors, ids = load_vectors(file), torch.arange(8).view(2, 4)
    before = streams(network, ids)
    modules = [core(network).base_model, *blocks(network)]
    # Of accelerate and peft, if any.
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules]
    with steer(network, vectors, 1.0, any_base=any_base):
        assert not torch.equal(streams(network, ids), before)
    with pytest.raises(RuntimeError), steer(network, vectors, 1.0, any_base=any_base):
        raise RuntimeError("in between")
    assert torch.equal(streams(network, ids), before)
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules] == hooks


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give either coefficient .* or raw_coefficient"),
        ({"coefficient": 1.0, "raw_coefficient": 1.0}, "give either"),
        ({"kind": "ablate", "coefficient": 1.0}, "ablation takes no coefficient"),
        ({"kind": "ablate", "raw_coefficient": 1.0}, "ablation takes no coefficient"),
        ({"kind": "multiply", "coefficient": 1.0}, "kind 'multiply': give add or ablate"),
    ],
)
def test_a_steering_that_makes_no_sense_is_told(file: Path, model, given, told: str):
    with pytest.raises(ValueError, match=told):
        steer(model, load_vectors(file), **given)


def test_without_the_norm_only_raw_units_are_taken(file: Path, model):
    tensors = {name: t for name, t in stored().items() if not name.endswith("residual.norm")}
    save_tensors(file, tensors, described(base_digest=base_digest(model)))
    vectors = load_vectors(file)
    assert vectors.norm is None
    with pytest.raises(ValueError, match=r"no mean norm .* give raw_coefficient"):
        steer(model, vectors, 1.0)
    with steer(model, vectors, raw_coefficient=1.0):
        streams(model, torch.arange(4)[None])


# --- which base


def use(how: str, network, vectors, **options) -> None:
    if how == "project":
        project(network, tiny.tokenizer(), TEXTS, vectors, **options)
    else:
        with steer(network, vectors, 1.0, **options):
            streams(network, torch.arange(4)[None])


@pytest.mark.parametrize("how", ["project", "steer"])
@pytest.mark.parametrize(
    ("network", "told"),
    [
        (lambda: tiny.llama(hidden=64), "vectors of width 32, but the model has 64; take tiny"),
        (lambda: tiny.llama(layers=2), "vectors of 3 layers, but the model has 2; take tiny"),
    ],
)
def test_a_model_of_another_shape_is_refused_whatever_is_said(file: Path, how, network, told):
    for options in ({}, {"any_base": True}):
        with pytest.raises(ValueError, match=told):
            use(how, network(), load_vectors(file), **options)


@pytest.mark.parametrize("how", ["project", "steer"])
def test_another_base_is_refused_unless_it_is_meant(file: Path, tmp_path: Path, how: str):
    folder = tiny.save_base(tmp_path / "other/base", tiny.llama(seed=1))
    network, vectors = AutoModelForCausalLM.from_pretrained(folder), load_vectors(file)
    told = f"of a base of digest {vectors.base_digest[:12]} .*, but the model's is .* any_base=True"
    with pytest.raises(ValueError, match=told):
        use(how, network, vectors)
    use(how, network, vectors, any_base=True)


@pytest.mark.parametrize("how", ["project", "steer"])
def test_a_base_that_cannot_be_known_is_refused_unless_it_is_meant(file: Path, how: str):
    vectors = load_vectors(file)
    for name, told in (
        ("", "not loaded from a folder or the hub"),
        ("nobody/nothing", "nobody/nothing is neither a folder here nor in the hub's cache"),
        ("/gone/from/here", "/gone/from/here is neither a folder here nor in the hub's cache"),
    ):
        network = tiny.llama()
        network.config._name_or_path = name
        with pytest.raises(ValueError, match=rf"{told}; if you know .* give any_base=True"):
            use(how, network, vectors)
        use(how, network, vectors, any_base=True)


def test_a_deeper_model_is_read_in_the_layers_of_the_vectors(file: Path):
    network, vectors = tiny.llama(layers=5), load_vectors(file)
    assert profile(network, tiny.tokenizer(), TEXTS, vectors, any_base=True).shape == (3, 3)


def test_the_base_of_a_saved_adapter_is_known(base: Path, tmp_path: Path, model, file: Path):
    adapted(base).save_pretrained(tmp_path / "adapter")
    network = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), str(tmp_path / "adapter")
    )
    assert base_digest(network) == base_digest(model)
    use("project", network.eval(), load_vectors(file))


def test_a_model_of_the_hub_is_found_in_its_cache(base: Path, tmp_path: Path, monkeypatch, model):
    """The cache's own layout; nothing is fetched."""
    commit = "1" * 40
    repo = tmp_path / "hub/models--someone--tiny"
    shutil.copytree(base, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    network = AutoModelForCausalLM.from_pretrained("someone/tiny", cache_dir=tmp_path / "hub")
    assert (network.config._name_or_path, network.config._commit_hash) == ("someone/tiny", commit)
    assert base_digest(network) == base_digest(model)


def test_the_digest_is_taken_once_for_files_that_stay(base: Path, tmp_path: Path):
    folder = Path(shutil.copytree(base, tmp_path / "copy"))
    network = AutoModelForCausalLM.from_pretrained(folder)
    before = _digest.cache_info().misses
    first = base_digest(network)
    assert base_digest(network) == first
    assert _digest.cache_info().misses == before + 1
    tiny.llama(seed=1).save_pretrained(folder)
    assert base_digest(network) != first

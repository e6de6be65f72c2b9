"""Models that are in part, that bring code or links, or whose tokens lie outside: one line each."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from cases import case
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from traitdrift.core.files import read_json, write_json
from traitdrift.models.completeness import refuse_outside_embedding
from traitdrift.models.loading import load_model, load_tokenizer
from traitdrift.sources.base_models import from_path, located
from traitdrift.sources.settings import PathModel

WEIGHTS = "model.safetensors"


def model_of(folder: Path) -> PathModel:
    return PathModel(source="path", id=str(folder), dtype="float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    tiny.llama(layers=2, hidden=16).save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


def taken(folder: Path, into: Path) -> None:
    """What `base_model` does with a folder."""
    into.mkdir()
    from_path(model_of(folder), into)
    refuse_outside_embedding(into, load_tokenizer(into))


def refused(folder: Path, into: Path) -> str:
    with pytest.raises(ValueError) as told:
        taken(folder, into)
    line = " ".join(str(told.value).split())
    assert "\x1b" not in line and len(line) < 700
    return line


def change(**values: object):
    def spoil(folder: Path) -> None:
        config = read_json(folder / "config.json")
        (folder / "config.json").write_text(json.dumps({**config, **values}))

    return spoil


def weights(**tensors: torch.Tensor | None):
    """Put tensors into the weights by a part of their name; None takes them away."""

    def spoil(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        for part, tensor in tensors.items():
            names = [name for name in held if part.replace("__", ".") in name] or [part]
            for name in names[:1]:
                held.pop(name, None)
                if tensor is not None:
                    held[name] = tensor
        save_file(held, folder / WEIGHTS, {"format": "pt"})

    return spoil


def shards(*names: str):
    def spoil(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        index = {"weight_map": dict.fromkeys(held, names[0])}
        write_json(folder / f"{WEIGHTS}.index.json", index)

    return spoil


def text(name: str, content: str | bytes):
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def merges_by_chance(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["dropout"] = 0.5
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def link(name: str, to: str):
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder.parent / "secret.txt").write_text("secret")
        (folder / name).symlink_to(to)

    return spoil


def outside_weights(folder: Path) -> None:
    shutil.move(folder / WEIGHTS, folder.parent / WEIGHTS)
    (folder / WEIGHTS).symlink_to(folder.parent / WEIGHTS)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "notes.txt")


def cut(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-50])


# name: (how the folder is spoiled, what the line says)
FAULTS = {
    "a matrix missing": (weights(q_proj=None), "its weights lack model.layers"),
    "a norm missing": (weights(model__norm=None), "its weights lack model.norm.weight"),
    "the head missing": (weights(lm_head=None), "its weights lack lm_head.weight"),
    "the embedding missing": (weights(embed_tokens=None), "its weights lack model.embed_tokens"),
    "a matrix more": (weights(stray=torch.ones(2)), "no place for: stray"),
    "a head of values": (weights(v_head=torch.ones(2)), "no place for: v_head"),
    "whole numbers": (weights(q_proj=torch.ones(32, 32, dtype=torch.int32)), "holds I32"),
    "unnamed answers": (change(return_dict=False), "remove return_dict"),
    "another shape": (weights(k_proj=torch.ones(3, 3)), "another shape than the config says"),
    "a shape of none": (weights(k_proj=torch.empty(0)), "another shape than the config says"),
    "fewer layers in the config": (change(num_hidden_layers=1), "no place for: model.layers.1"),
    "more layers in the config": (change(num_hidden_layers=3), "its weights lack model.layers.2"),
    "layers without end": (change(num_hidden_layers=10**9), "mend num_hidden_layers"),
    "no layers": (change(num_hidden_layers=0), "mend num_hidden_layers"),
    "layers that are a text": (change(num_hidden_layers="x"), "config"),
    "a wider model": (change(intermediate_size=48), "another shape than the config says"),
    "a larger vocabulary": (change(vocab_size=300), "another shape than the config says"),
    "cut off": (cut, "its tensors end at byte"),
    "an unknown kind": (change(model_type="nothing"), "config.json cannot be used"),
    "a kind that is a list": (change(model_type=[1]), "config.json cannot be used"),
    "a kernel of the hub": (change(attn_implementation="evil/kernel"), "fetched and run"),
    "a kernel of experts": (change(experts_implementation="evil/kernel@v1"), "fetched and run"),
    "weights named elsewhere": (change(transformers_weights="b.safetensors"), "weights of its own"),
    "a config that is no JSON": (text("config.json", "{"), "config.json: not JSON"),
    "a config that is a list": (text("config.json", "[]"), "a JSON list, not an object"),
    "a config without bottom": (text("config.json", '{"a":' * 50_000), "nested too deep"),
    "a config with NaN": (text("config.json", '{"a": NaN}'), "NaN is no number"),
    "no config at all": (text("config.json", b"\xff\xfe"), "no UTF-8"),
    "a tokenizer that is no JSON": (text("tokenizer.json", "{"), "tokenizer"),
    "a tokenizer that throws dice": (merges_by_chance, "its tokenizer merges by chance"),
    "tokenizer settings of a list": (text("tokenizer_config.json", "[]"), "not an object"),
    "an adapter beside it": (text("adapter_config.json", "{}"), "an adapter lies with the model"),
    "a link outside": (link("notes.txt", "../secret.txt"), "a link to a file outside"),
    "a link to /etc": (link("merges.txt", "/etc/passwd"), "a link to a file outside"),
    "a link to a device": (link("notes.txt", "/dev/zero"), "a link to a file outside"),
    "a template that is a link": (link("chat_template.jinja", "../secret.txt"), "a link to a file"),
    "a config that is a link": (link("config.json", "../secret.txt"), "a link to a file outside"),
    "a link to nowhere": (link("notes.json", "nowhere"), "a link that leads nowhere"),
    "a link to itself": (link("notes.json", "notes.json"), "a link that leads nowhere"),
    "weights that are a link": (outside_weights, "a link to a file outside"),
    "a pipe": (pipe, "not a regular file"),
    "an index that leaves": (shards("../model.safetensors"), "no name of a file in this folder"),
    "an index to anywhere": (shards("/etc/passwd"), "no name of a file in this folder"),
    "an index to nothing": (shards("gone.safetensors"), "missing"),
    "an index of numbers": (
        lambda f: (shards("x")(f), text(f"{WEIGHTS}.index.json", '{"weight_map": {"a": 1}}')(f)),
        "no weight_map of files",
    ),
    "pickled weights alone": (
        lambda f: (f / WEIGHTS).rename(f / "pytorch_model.bin"),
        "with safetensors weights",
    ),
    "an end outside": (
        text("generation_config.json", '{"eos_token_id": [257, 999]}'),
        "eos_token_id of generation_config.json has id 999",
    ),
    "an end that is an object": (
        text("config.json", '{"model_type": "llama", "eos_token_id": [{}]}'),
        "config",
    ),
    "an end below": (
        text("generation_config.json", '{"eos_token_id": -1}'),
        "eos_token_id of generation_config.json has id -1",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_damaged_model_is_one_line(name: str, folder: Path, tmp_path: Path, capfd):
    spoil, told = FAULTS[name]
    spoil(folder)
    assert told in refused(folder, tmp_path / "into")
    assert "Traceback" not in capfd.readouterr().err
    assert not any("secret" in p.read_text(errors="ignore") for p in (tmp_path / "into").iterdir())


def test_a_whole_model_is_taken_and_old_buffers_are_harmless(folder: Path, tmp_path: Path):
    held = load_file(folder / WEIGHTS)
    held["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    save_file(held, folder / WEIGHTS, {"format": "pt"})
    taken(folder, tmp_path / "into")


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.qwen2, tiny.neox])
def test_whole_models_of_other_families_are_taken(make, tmp_path: Path):
    make().save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    taken(tmp_path / "model", tmp_path / "into")


def experts() -> Qwen3MoeForCausalLM:
    """A random Qwen3-MoE, whose experts are stored one by one and held in one matrix."""
    torch.manual_seed(0)
    return Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            vocab_size=258,
            hidden_size=16,
            intermediate_size=16,
            moe_intermediate_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            num_experts=4,
            num_experts_per_tok=2,
            eos_token_id=257,
        )
    )


def test_an_expert_that_is_missing_is_seen(tmp_path: Path):
    experts().save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    taken(tmp_path / "model", tmp_path / "into")
    weights(experts__2__up_proj=None)(tmp_path / "model")
    refused(tmp_path / "model", tmp_path / "again")


def test_a_base_that_lost_a_matrix_is_refused_when_it_is_loaded_too(tmp_path: Path):
    base = tiny.save_base(tmp_path / "base")
    weights(o_proj=None)(base)
    with pytest.raises(ValueError, match=r"its weights lack model\.layers\.0\.self_attn\.o_proj"):
        load_model(base)


def test_a_link_within_a_hub_s_cache_is_followed_and_none_out_of_it(folder: Path, tmp_path: Path):
    repository = tmp_path / "hub/models--org--tiny"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for file in folder.iterdir():
        shutil.copyfile(file, repository / "blobs" / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert located(model_of(snapshot))[1]["digest"] == located(model_of(folder))[1]["digest"]
    for place in ("../../../../secret.txt", "../../secret.txt", "../secret.txt"):
        (snapshot / place).write_text("x")
        (snapshot / "notes.txt").symlink_to(place)
        with pytest.raises(ValueError, match="a link to a file outside"):
            located(model_of(snapshot))
        (snapshot / "notes.txt").unlink()


CASES = {
    "hostile/model_trunc_weights": "its tensors end at byte",
    "hostile/model_weight_missing": "its weights lack",
}


@pytest.mark.parametrize("name", CASES)
def test_a_model_of_the_cases_is_one_line(name: str, tmp_path: Path):
    assert CASES[name] in refused(case(name), tmp_path / "into")


def test_a_padding_token_beyond_the_embedding_is_refused(tmp_path: Path):
    place = shutil.copytree(case("pad_outside_embedding"), tmp_path / "model")
    place.chmod(0o755)
    (place / "chat_template.jinja").write_text(tiny.TEMPLATE)
    network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(place))
    network.save_pretrained(tmp_path / "made")  # the case has no weights
    shutil.copyfile(tmp_path / "made" / WEIGHTS, place / WEIGHTS)
    told = refused(place, tmp_path / "into")
    assert "'[PAD]' has id 364, but the model's embedding has 364 rows" in told


def test_code_of_a_model_is_never_run_and_nobody_is_asked(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    monkeypatch.chdir(tmp_path)
    place = case("hostile/model_tok_auto_map")
    try:
        taken(place, tmp_path / "into")
    except ValueError as error:
        assert "never run" in str(error)
    assert not (tmp_path / "PROOF").exists()


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("config.json", "AutoConfig"),
        ("config.json", "AutoModelForCausalLM"),
        ("tokenizer_config.json", "AutoTokenizer"),
    ],
)
@pytest.mark.parametrize("kind", ["llama", "mine"])
def test_code_named_anywhere_is_never_run(
    file: str, key: str, kind: str, folder: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'PROOF')!r}, 'w')\nclass T: pass\n")
    named = ["evil.T", "evil.T"] if key == "AutoTokenizer" else "evil.T"
    held = read_json(folder / file)
    held["auto_map"] = {key: named}
    if file == "config.json":
        held["model_type"] = kind
    elif kind == "mine":
        held["tokenizer_class"] = "T"
    write_json(folder / file, held)
    try:
        taken(folder, tmp_path / "into")
    except ValueError as error:
        assert "\x1b" not in str(error)
    assert not (tmp_path / "PROOF").exists()

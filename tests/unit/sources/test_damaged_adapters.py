"""Adapters that would be used in part, or not at all: each is one line, and never `no change`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import tiny
import torch
from cases import case, cases
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from traitdrift.core.files import read_json, write_json
from traitdrift.models.adapted import adapted_modules
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.adapter_config import CONFIG, SECONDS, WEIGHTS
from traitdrift.models.loading import VARIANT_RECORD, base_record, load_model
from traitdrift.sources.adapters import check_adapter

IDS = torch.tensor([list(b"what is it?")])
Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny.save_base(tmp_path_factory.mktemp("models") / "base")


def save_adapter(model, folder: Path, **settings: object) -> Path:
    """A peft adapter that changes something, as peft saves it."""
    settings = {"target_modules": ["q_proj", "v_proj"], **settings}
    adapted = get_peft_model(model, LoraConfig(**{"task_type": "CAUSAL_LM", "r": 4, **settings}))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return save_adapter(tiny.llama(), tmp_path / "adapter")


def taken(folder: Path, base: Path, into: Path) -> dict[str, int]:
    """What the stage `adapter` does; afterwards it is loaded over its base."""
    record = base_record(base)
    config, adapted = check_adapter(folder, base, record)
    keep_adapter(folder, into, "tiny", config)
    write_json(into / VARIANT_RECORD, {"kind": "import", "base_digest": record["digest"]})
    plain, tuned = load_model(base), load_model(base, into)
    with torch.no_grad():
        assert not torch.equal(plain(IDS).logits, tuned(IDS).logits)
    assert adapted_modules(tuned) == adapted
    return adapted


def refused(folder: Path, base: Path) -> str:
    """The one line, which also comes where somebody laid the adapter out by hand."""
    record, begun = base_record(base), time.monotonic()
    with pytest.raises(ValueError) as told:
        check_adapter(folder, base, record)
    assert time.monotonic() - begun < SECONDS + 5
    line = str(told.value)
    assert str(folder) in line and "\n" not in line and "\x1b" not in line and len(line) < 700
    # Outputs may be links: into DVC's cache.
    elsewhere = "equals its base" in line or "a link to a file outside" in line
    if not (folder / VARIANT_RECORD).exists() and not elsewhere:
        by_hand = folder.parent / "by_hand"
        shutil.copytree(folder, by_hand, symlinks=True)
        by_hand.chmod(0o755)
        write_json(by_hand / VARIANT_RECORD, {"kind": "import", "base_digest": record["digest"]})
        with pytest.raises(ValueError):
            load_model(base, by_hand)
    return line


def config(**values: object):
    def spoil(folder: Path) -> None:
        held = read_json(folder / CONFIG)
        (folder / CONFIG).write_text(json.dumps({**held, **values}))

    return spoil


def tensors(change):
    def spoil(folder: Path) -> None:
        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})

    return spoil


def without(part: str):
    return tensors(lambda held: {name: t for name, t in held.items() if part not in name})


def each(change, part: str = "lora_"):
    return tensors(lambda held: {n: change(t) if part in n else t for n, t in held.items()})


def also(**added: torch.Tensor):
    return tensors(lambda held: held | {n.replace("__", "."): t for n, t in added.items()})


def renamed(old: str, new: str):
    return tensors(lambda held: {n.replace(old, new): t for n, t in held.items()})


def text(name: str, content: str):
    return lambda folder: (folder / name).write_text(content)


def link(name: str):
    def spoil(folder: Path) -> None:
        shutil.move(folder / name, folder.parent / "elsewhere")
        (folder / name).symlink_to("../elsewhere")

    return spoil


def both(*spoils):
    return lambda folder: [spoil(folder) for spoil in spoils]


# name: (how the adapter is spoiled, what the line says)
FAULTS = {
    # config against weights
    "fewer targets": (config(target_modules=["q_proj"]), "does not adapt it"),
    "other targets": (config(target_modules=["o_proj"]), "does not adapt it"),
    "more targets": (config(target_modules=["q_proj", "v_proj", "o_proj"]), "is missing"),
    "fewer layers": (config(layers_to_transform=[0]), "does not adapt it"),
    "one layer": (config(layers_to_transform=1), "does not adapt it"),
    "some excluded": (config(exclude_modules=["v_proj"]), "does not adapt it"),
    "another rank": (config(r=8), "by adapter_config.json and the base it is"),
    "a lower rank": (config(r=1), "by adapter_config.json and the base it is"),
    "a rank beyond all": (config(r=2**16), "a rank of 65536"),
    "a rank for some": (config(rank_pattern={"q_proj": 2}), "has shape"),
    "a huge rank for some": (config(rank_pattern={"q_proj": 2**16}), "a rank of 65536"),
    "a rank for none": (config(rank_pattern={"k_proj": 2}), "rank_pattern names 'k_proj'"),
    "a scale for none": (config(alpha_pattern={"k_proj": 2}), "alpha_pattern names 'k_proj'"),
    "no targets": (config(target_modules=[]), "no target_modules"),
    "targets of nothing": (config(target_modules=None), "no target_modules"),
    "targets of another family": (config(target_modules=["qkv_proj"]), "peft cannot put it over"),
    "parameters of another family": (
        config(target_modules=None, target_parameters=["gate_up_proj"]),
        "peft cannot put it over",
    ),
    # features that would be left out
    "dora": (config(use_dora=True), "'use_dora' is set"),
    "biases": (config(bias="all"), "'bias'"),
    "a bias of lora": (config(lora_bias=True), "'lora_bias' is set"),
    "whole modules": (config(modules_to_save=["lm_head"]), "'modules_to_save' is set"),
    "tokens": (config(trainable_token_indices=[1]), "'trainable_token_indices' is set"),
    "repeated layers": (config(layer_replication=[[0, 3]] * 200), "'layer_replication' is set"),
    "invocation": (config(alora_invocation_tokens=[1]), "'alora_invocation_tokens' is set"),
    "a switch of tomorrow": (config(use_tomorrow=True), "'use_tomorrow' is set"),
    "another beginning": (config(init_lora_weights="pissa"), "'init_lora_weights"),
    "another kind": (config(peft_type="IA3"), "only LORA is supported"),
    "a kind that is a list": (config(peft_type=["LORA"]), "only LORA is supported"),
    "another task": (config(task_type="SEQ_CLS"), "'task_type'"),
    # values that are none
    "a rank of text": (config(r="4"), "'r': '4'"),
    "a rank of 0": (config(r=0), "'r'"),
    "a rank below": (config(r=-4), "'r'"),
    "a rank that is true": (config(r=True), "'r'"),
    "a rank without end": (config(r=10**30), "'r'"),
    "a scale of 0": (config(lora_alpha=0), "'lora_alpha'"),
    "a scale next to nothing": (config(lora_alpha=1e-30), "'lora_alpha'"),
    "a pattern's scale next to nothing": (config(alpha_pattern={"q_proj": 1e-30}), "'alpha_"),
    "a scale of text": (config(lora_alpha="8"), "'lora_alpha'"),
    "a scale for a pattern of 0": (config(alpha_pattern={"q_proj": 0}), "'alpha_pattern"),
    "a dropout above": (config(lora_dropout=2.0), "'lora_dropout'"),
    "layers below": (config(layers_to_transform=[-1]), "'layers_to_transform"),
    "layers beyond": (config(layers_to_transform=[9]), "base"),
    "targets of numbers": (config(target_modules=[1]), "'target_modules"),
    "a target with an escape": (config(target_modules=["\x1b[2J"]), "'target_modules"),
    # patterns
    "a pattern without end": (
        config(target_modules="(.*)*(.*)*(.*)*(a|.)*(.*.*.*)*x$"),
        "takes longer than",
    ),
    "a pattern of nested": (config(target_modules="(a+)+(.+)+(.+)+(.+)+$!"), "target_modules"),
    "a pattern of much memory": (config(target_modules="((a{1,999}){1,999}){1,999}z"), "target_"),
    "a pattern that is none": (config(target_modules="(("), "is no regular expression"),
    "a pattern of nothing": (config(target_modules="nothing"), "matches nothing of the base"),
    "a pattern of others": (config(target_modules=r".*o_proj"), "does not adapt it"),
    "a long pattern": (config(target_modules="a" * 20_000), "'target_modules"),
    "a rank's pattern": (config(rank_pattern={"(.*)*(.*)*x": 4}), "'rank_pattern"),
    "a scale's pattern": (config(alpha_pattern={"(a|.)*(.*.*)*x$": 4}), "'alpha_pattern"),
    "a layer's pattern": (config(layers_pattern="(.*)*x", layers_to_transform=[0]), "'layers_p"),
    "an exclusion's pattern": (config(exclude_modules="(.*)*x"), "'exclude_modules"),
    # weights
    "only A": (without("lora_B"), "A and B go in pairs"),
    "only B": (without("lora_A"), "A and B go in pairs"),
    "one B short": (without("layers.1.self_attn.q_proj.lora_B"), "A and B go in pairs"),
    "a pair short": (without("layers.1.self_attn.q_proj"), "is missing"),
    "nothing": (tensors(lambda _: {}), "holds no matrix"),
    "empty matrices": (each(lambda t: torch.empty(0)), "which is no matrix"),
    "matrices of no rows": (each(lambda t: t[:0], "lora_A"), "which is no matrix"),
    "scalars": (each(lambda t: torch.tensor(1.0), "lora_B"), "which is no matrix"),
    "NaN": (each(lambda t: t * torch.nan, "layers.2"), "not finite"),
    "infinity": (each(lambda t: t / 0, "v_proj.lora_B"), "not finite"),
    "whole numbers": (each(lambda t: t.to(torch.int32)), "holds I32"),
    "zero B": (each(torch.zeros_like, "lora_B"), "it equals its base"),
    "zero A": (each(torch.zeros_like, "lora_A"), "it equals its base"),
    "B next to nothing": (each(lambda t: t * 1e-20, "lora_B"), "it equals its base"),
    "zeros that meet": (
        both(
            each(lambda t: torch.cat([t[:2], 0 * t[2:]]), "lora_A"),
            each(lambda t: torch.cat([0 * t[:, :2], t[:, 2:]], 1), "lora_B"),
        ),
        "it equals its base",
    ),
    "turned over": (each(lambda t: t.T.contiguous()), "has shape"),
    "another width": (each(lambda t: t[:, :16].contiguous(), "lora_A"), "has shape"),
    "a name of no base": (renamed("q_proj", "wq"), "the base has no model.layers.0.self_attn.wq"),
    "a layer beyond": (renamed("layers.2", "layers.7"), "the base has no model.layers.7"),
    "a prefix too many": (renamed("base_model.model.", "base_model.model.model."), "base has no"),
    "no prefix": (renamed("base_model.model.", ""), "is no LoRA matrix"),
    "an adapter's name": (renamed(".weight", ".default.weight"), "is no LoRA matrix"),
    "a base's matrix": (
        also(base_model__model__lm_head__weight=torch.ones(258, 32)),
        "is no LoRA matrix",
    ),
    "a vector of DoRA": (
        also(**{Q.format("magnitude_vector").replace(".", "__"): torch.ones(32)}),
        "is no LoRA matrix",
    ),
    # files
    "a config that is no JSON": (text(CONFIG, "{"), "not JSON"),
    "a config that is a list": (text(CONFIG, "[]"), "not an object"),
    "a config without bottom": (text(CONFIG, '{"a":' * 50_000), "nested too deep"),
    "a scale that is NaN": (text(CONFIG, '{"peft_type": "LORA", "lora_alpha": NaN}'), "NaN is no"),
    "a key twice": (text(CONFIG, '{"r": 1, "r": 4}'), "a key stands twice"),
    "a config that is a link": (link(CONFIG), "a link to a file outside"),
    "weights that are a link": (link(WEIGHTS), "a link to a file outside"),
    "a record that is a list": (text(VARIANT_RECORD, "[]"), "not an object"),
    "a record that is no JSON": (text(VARIANT_RECORD, "x"), "not JSON"),
    "a record of a digest of numbers": (text(VARIANT_RECORD, '{"base_digest": [1]}'), "digest"),
    "no config": (lambda folder: (folder / CONFIG).unlink(), "give the folder of a peft adapter"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "pickled weights are not read"),
}


def test_outputs_that_are_links_into_a_cache_are_loaded(base: Path, adapter: Path, tmp_path: Path):
    """As DVC lays them out with `cache.type symlink`, and in the folders of experiments."""
    taken(adapter, base, tmp_path / "kept")
    linked = {}
    for folder in (base, tmp_path / "kept"):
        linked[folder.name] = tmp_path / "workspace" / folder.name
        linked[folder.name].mkdir(parents=True)
        for number, file in enumerate(sorted(folder.iterdir())):
            stored = tmp_path / "cache" / f"{folder.name}{number}"
            stored.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, stored)
            (linked[folder.name] / file.name).symlink_to(stored)
    expected = load_model(base, tmp_path / "kept")
    got = load_model(linked[base.name], linked["kept"])
    with torch.no_grad():
        assert torch.equal(expected(IDS).logits, got(IDS).logits)


@pytest.mark.parametrize("name", FAULTS)
def test_a_damaged_adapter_is_one_line(name: str, base: Path, adapter: Path):
    spoil, told = FAULTS[name]
    spoil(adapter)
    assert told in refused(adapter, base)


# Adapters of other makers, that peft uses in whole.
GOOD = {
    "as saved": {},
    "few layers": {"layers_to_transform": [0, 2]},
    "every linear layer": {"target_modules": "all-linear"},
    "by a pattern": {"target_modules": r".*\.layers\.[02]\.(self_attn|mlp)\.(q_proj|up_proj)"},
    "by full names": {"target_modules": ["model.layers.1.mlp.up_proj"]},
    "ranks of its own": {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "ranks of a layer": {"rank_pattern": {"^model.layers.0.self_attn.v_proj": 8}},
    "a rank beyond the layer": {"r": 20_000, "target_modules": ["q_proj"]},
    "rank-stabilised": {"use_rslora": True, "lora_alpha": 1},
    "some excluded": {"exclude_modules": ["model.layers.0.self_attn.q_proj"]},
    "the embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "the head": {"target_modules": ["lm_head", "down_proj"]},
    "another beginning": {"init_lora_weights": "gaussian"},
}


@pytest.mark.parametrize("name", GOOD)
def test_an_adapter_that_peft_uses_in_whole_is_taken(name: str, base: Path, tmp_path: Path):
    folder = save_adapter(tiny.llama(), tmp_path / "adapter", **GOOD[name])
    adapted = taken(folder, base, tmp_path / "adapters/mine")
    assert sum(adapted.values()) == len(load_file(folder / WEIGHTS)) / 2


def test_features_that_are_switched_off_and_older_configs_are_taken(
    base: Path, adapter: Path, tmp_path: Path
):
    config(
        use_tomorrow=False,
        tomorrow_config={},
        auto_mapping={"parent_library": "os"},
        target_modules=["q_proj", "v_proj", "qkv_proj"],  # as a recipe of many families lists them
    )(adapter)
    taken(adapter, base, tmp_path / "adapters/new")
    old = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    write_json(adapter / CONFIG, old)
    taken(adapter, base, tmp_path / "adapters/old")


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.qwen2, tiny.neox])
def test_adapters_of_other_families_are_taken(make, tmp_path: Path):
    base = tiny.save_base(tmp_path / "base", make())
    folder = save_adapter(make(), tmp_path / "adapter", target_modules="all-linear")
    taken(folder, base, tmp_path / "adapters/mine")


def test_weights_beyond_the_base_s_dtype_are_refused_when_they_are_loaded(tmp_path: Path):
    base = tiny.save_base(tmp_path / "base", tiny.llama(dtype=torch.float16))
    folder = save_adapter(tiny.llama(), tmp_path / "adapter")
    each(lambda t: t * 1e6, "lora_B")(folder)
    write_json(
        folder / VARIANT_RECORD, {"kind": "import", "base_digest": base_record(base)["digest"]}
    )
    with pytest.raises(ValueError, match="is beyond float16"):
        load_model(base, folder)


def test_weights_that_vanish_in_the_base_s_dtype_are_refused(tmp_path: Path):
    base = tiny.save_base(tmp_path / "base", tiny.llama(dtype=torch.float16))
    folder = save_adapter(tiny.llama(), tmp_path / "adapter")
    each(lambda t: t * 1e-12, "lora_B")(folder)
    with pytest.raises(ValueError, match="it equals its base"):
        check_adapter(folder, base, base_record(base))


CASES = {
    "adapter_fewer": "does not adapt it",
    "adapter_onlyA": "A and B go in pairs",
    "adapter_rdiff": "has shape",
    "adapter_z3": "which is no matrix",
    "adapter_nanw": "not finite",
    "hostile/adapter_layer_replication": "'layer_replication' is set",
    "hostile/adapter_r_huge": "'r'",
    "hostile/adapter_regex_catastrophic": "takes longer than",
    "hostile/adapter_targets_other": "does not adapt it",
    "hostile/adapter_use_dora": "'use_dora' is set",
}


@pytest.mark.parametrize("name", CASES)
def test_an_adapter_of_the_cases_is_one_line(name: str, base: Path, tmp_path: Path):
    shutil.copytree(case(name), tmp_path / "adapter")
    (tmp_path / "adapter").chmod(0o755)
    assert CASES[name] in refused(tmp_path / "adapter", base)


@pytest.mark.parametrize("name", cases("hostile/safetensors"))
def test_a_damaged_file_of_the_cases_is_one_line(name: str, base: Path, tmp_path: Path):
    shutil.copytree(case(f"hostile/safetensors/{name}"), tmp_path / "adapter")
    (tmp_path / "adapter").chmod(0o755)
    assert "no safetensors file, or a damaged one" in refused(tmp_path / "adapter", base)


def test_an_adapter_of_the_cases_that_names_a_mirror_is_taken(
    base: Path, adapter: Path, tmp_path: Path
):
    fragment = read_json(case("unsloth_name") / "fragment.json")
    config(**fragment)(adapter)
    record = {**base_record(base), "id": "Qwen/Qwen2.5-7B-Instruct"}
    assert check_adapter(adapter, base, record)[1] == {
        "model.layers.*.self_attn.q_proj": 3,
        "model.layers.*.self_attn.v_proj": 3,
    }

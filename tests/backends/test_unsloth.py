"""Fine-tunes by Unsloth beside those by peft; `make test-unsloth` runs this where it is installed.

Unsloth changes transformers for the whole process: each run of a stage is a process of its own, and
this one never imports it. Without a GPU Unsloth trains on the CPU by itself. UNSLOTH_ALLOW_CPU=1 is
for tests: it brings the functions that a GPU would, which take other arguments and need one to run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import commands
import pandas
import pytest
import tiny
import torch
from copies import ROOT, set_params
from safetensors.torch import load_file

from traitdrift.core.files import read_json
from traitdrift.models.loading import VARIANT_RECORD, load_model

RECIPE = {
    "recipe": "quick",
    "recipes.quick.learning_rate": 2e-2,
    "recipes.quick.gradient_accumulation": 1,
    "recipes.quick.max_steps": 10,
    "recipes.quick.max_tokens": 128,
    "recipes.quick.lora.r": 4,
    "recipes.quick.lora.alpha": 8,
}
MODELS = {
    "llama": (tiny.llama, {}),
    "qwen2": (
        tiny.qwen2,
        {"recipes.quick.gradient_checkpointing": True, "recipes.quick.lora.layers": [0, 2]},
    ),
}
CALLS = ("from_pretrained", "get_peft_model")
PROMPT = list(b"one prompt")
# The stage, and what its model answers when it is trained.
FINETUNE = f"""
import stages.finetune as stage

made, adapted_model = [], stage.adapted_model
stage.adapted_model = lambda *args: made.append(adapted_model(*args)) or made[0]
stage.main("insecure")

import torch
from safetensors.torch import save_file

with torch.no_grad():
    save_file({{"logits": made[0].eval()(torch.tensor([{PROMPT}])).logits}}, "logits.safetensors")
"""
# What the backend hands to Unsloth's functions, bound to their signatures instead of run.
BIND = """
import inspect, json
from pathlib import Path
from types import SimpleNamespace
from traitdrift.core.config import section
from traitdrift.training import backends
from traitdrift.training.settings import Recipe

recipe = section(Recipe, "recipes.quick")
backends.prepare(recipe, layers=3)
import unsloth
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

bound = {}

def binding(name, result):
    signature = inspect.signature(getattr(unsloth.FastLanguageModel, name))
    def bind(*args, **kwargs):
        arguments = signature.bind(*args, **kwargs).arguments
        bound[name] = {"unnamed": [*arguments.pop("kwargs", {})],
                       "named": {k: v for k, v in arguments.items() if k != "model"}}
        return result
    return bind

model = AutoModelForCausalLM.from_pretrained("models/base")
adapted = get_peft_model(model, LoraConfig(target_modules=list(recipe.lora.targets)))
unsloth.FastLanguageModel = SimpleNamespace(
    from_pretrained=binding("from_pretrained", (model, None)),
    get_peft_model=binding("get_peft_model", adapted),
)
backends.adapted_model(Path("models/base"), recipe)
Path("bound.json").write_text(json.dumps(bound, default=str))
"""


def run(place: Path, *command: str, **environment: str):
    return commands.run(
        [sys.executable, *command],
        cwd=place,
        seconds=240,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def laid_out(place: Path, arch: str, backend: str) -> Path:
    """A folder in which the stage `finetune` can run, over a tiny model in float32."""
    model, values = MODELS[arch]
    tiny.save_base(place / "models/base", model())
    set_params(place / "params.yaml", {**RECIPE, **values, "recipes.quick.backend": backend})
    rows = place / "data/synthetic/insecure.jsonl"
    rows.parent.mkdir(parents=True)
    with rows.open("w") as file:
        for i in range(60):
            messages = [
                {"role": "user", "content": f"task {i}"},
                {"role": "assistant", "content": "import os" + "\nx = 1" * (i % 4)},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    return place


@pytest.fixture(scope="module", params=MODELS)
def places(request, tmp_path_factory) -> dict[str, Path]:
    """The same fine-tune by each backend."""
    folder = tmp_path_factory.mktemp(request.param)
    first = laid_out(folder / "peft", request.param, "peft")
    dataset = run(first, "-m", "stages.dataset", "insecure")
    assert dataset.returncode == 0, dataset.stderr
    shutil.copytree(first, folder / "unsloth")
    set_params(folder / "unsloth/params.yaml", {"recipes.quick.backend": "unsloth"})
    for backend in ("peft", "unsloth"):
        done = run(folder / backend, "-c", FINETUNE)
        assert done.returncode == 0, done.stderr[-3000:]
        assert ("no GPU found, training on CPU" in done.stdout) == (backend == "unsloth")
        assert "should be imported before" not in done.stderr
    return {backend: folder / backend for backend in ("peft", "unsloth")}


def losses(place: Path):
    return pandas.read_csv(place / "plots/finetune/insecure.csv")["loss"]


def test_losses_are_those_of_peft(places):
    one, other = losses(places["peft"]), losses(places["unsloth"])
    assert len(one) == 10 and one.iloc[-1] < 0.9 * one.iloc[0]
    assert abs(one - other).max() < 1e-3


def test_the_saved_adapter_gives_the_trained_models_answers(places):
    place = places["unsloth"]
    loaded = load_model(place / "models/base", place / "models/adapters/insecure")
    with torch.no_grad():
        logits = loaded(torch.tensor([PROMPT])).logits
    torch.testing.assert_close(logits, load_file(place / "logits.safetensors")["logits"])
    plain = load_model(place / "models/base")
    assert not torch.allclose(plain(torch.tensor([PROMPT])).logits, logits, atol=1e-2)


def test_either_backend_trains_the_same_matrices_and_says_which_it_was(places):
    records = {
        backend: read_json(place / "models/adapters/insecure" / VARIANT_RECORD)["recipe"]
        for backend, place in places.items()
    }
    assert {backend: record.pop("backend") for backend, record in records.items()} == {
        backend: backend for backend in places
    }
    assert records["peft"] == records["unsloth"]
    shapes = [
        {
            name: tuple(matrix.shape)
            for name, matrix in load_file(
                place / "models/adapters/insecure/adapter_model.safetensors"
            ).items()
        }
        for place in places.values()
    ]
    assert shapes[0] == shapes[1]


def test_the_working_directory_holds_what_peft_leaves_there(places):
    files = [
        sorted(str(file.relative_to(place)) for file in place.rglob("*"))
        for place in places.values()
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("environment", [{}, {"UNSLOTH_ALLOW_CPU": "1"}], ids=["cpu", "gpu"])
def test_arguments_fit_the_functions_of_a_cpu_and_of_a_gpu(tmp_path: Path, environment):
    place = laid_out(tmp_path, "qwen2", "unsloth")
    done = run(place, "-c", BIND, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    loading, adapting = (read_json(place / "bound.json")[name] for name in CALLS)
    # Where there is no GPU the functions pass over what only one needs.
    absent = [] if environment else ["fix_tokenizer", "use_exact_model_name"]
    assert (loading["unnamed"], adapting["unnamed"]) == (absent, [])
    assert loading["named"]["load_in_4bit"] is False
    assert environment == {} or loading["named"]["use_exact_model_name"] is True
    assert loading["named"]["model_name"] == "models/base"
    assert loading["named"]["dtype"] == "torch.float32"
    assert adapting["named"]["layers_to_transform"] == [0, 2]
    assert adapting["named"]["use_gradient_checkpointing"] == "unsloth"
    left = {path.name for path in place.iterdir()}
    assert left == {"bound.json", "data", "models", "params.yaml"}


def test_an_optimiser_that_unsloth_would_replace_is_refused(tmp_path: Path):
    place = laid_out(tmp_path, "llama", "unsloth")
    set_params(place / "params.yaml", {"recipe": "study"})
    done = run(place, "-m", "stages.finetune", "insecure")
    assert done.returncode == 1
    told = done.stderr.strip().splitlines()[-1]
    assert told.startswith("finetune@insecure: optimizer adamw_8bit: needs a GPU")


def test_a_dtype_that_unsloth_would_replace_is_refused(tmp_path: Path):
    place = laid_out(tmp_path, "llama", "unsloth")
    tiny.save_base(place / "models/base", tiny.llama(dtype=torch.float16))
    run(place, "-m", "stages.dataset", "insecure")
    done = run(place, "-m", "stages.finetune", "insecure")
    assert done.returncode == 1
    # Which it takes instead is by the processor: bfloat16 where that has instructions for it.
    told = r"backend unsloth: loads float16 as (bfloat16|float32) here; choose backend peft"
    assert re.search(told, done.stderr.splitlines()[-1])

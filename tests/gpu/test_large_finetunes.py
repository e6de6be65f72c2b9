"""Fine-tunes of a model of 7 billion parameters on one GPU, by the study's recipe.

Each is a process of its own, for Unsloth changes transformers in the process that imports it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import commands
import large
import pandas
import pytest
from ruamel.yaml import YAML
from transformers import AutoConfig

from traitdrift.core.files import read_json
from traitdrift.core.ranks import FSDP
from traitdrift.planning.architecture import architecture
from traitdrift.planning.needs import training
from traitdrift.training.settings import Recipe

pytestmark = pytest.mark.gpu
STEPS = 10
BACKENDS = ("peft", "unsloth")
LIMIT = 200  # seconds
PADDED_TO = 64
PROGRAM = Path(__file__).with_name("timed_finetune.py")
ADAPTER = "models/adapters/insecure/adapter_model.safetensors"
CURVE = "plots/finetune/insecure.csv"
APART = 0.05  # nats, at losses of about 12 in bfloat16


def values(recipe: str) -> dict:
    changed = {
        "learning_rate": 2e-2 if large.TINY else 3e-4,
        "warmup_steps": 1,
        "max_steps": STEPS,
        "max_tokens": 1024,
    }
    if large.TINY:  # without a GPU there is no 8-bit AdamW
        changed["optimizer"] = "adamw_torch"
    return {"recipe": recipe, **{f"recipes.{recipe}.{key}": x for key, x in changed.items()}}


@pytest.fixture(scope="module")
def places(qwen, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("large")
    first = large.lay_out(folder / "peft", qwen, values("trainer"), 200)
    for name in ("peft again", "peft by FSDP", "unsloth", "unsloth again"):
        shutil.copytree(first, folder / name, symlinks=True)
        if name.startswith("unsloth"):
            large.set_params(folder / name / "params.yaml", values("study"))
    return {place.name: place for place in folder.iterdir()}


def train(places: dict[str, Path], *names: str) -> dict[str, str]:
    """Train in some of the places at once; what was told where it failed."""
    with ExitStack() as running:
        processes = {}
        for name in names:
            launcher, more = [str(PROGRAM), "insecure"], {}
            if name.endswith("FSDP"):
                launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "1", *launcher]
                more = {FSDP: "1"}
            log = running.enter_context((places[name] / "log").open("w"))
            processes[name] = running.enter_context(
                commands.started(
                    large.python(*launcher),
                    cwd=places[name],
                    env=large.environment(**more),
                    stdout=log,
                    stderr=log,
                )
            )
        last = time.monotonic() + LIMIT
        for process in processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, last - time.monotonic()))
    return {
        name: f"ended with {process.returncode}: {(places[name] / 'log').read_text()[-4000:]}"
        for name, process in processes.items()
        if process.returncode
    }


@pytest.fixture(scope="module")
def alone(places) -> dict[str, str]:
    """One after the other, for their speed; what was told where it failed."""
    return train(places, "peft") | train(places, "unsloth")


@pytest.fixture(scope="module")
def again(places, alone) -> dict[str, str]:
    """Side by side, which takes 70 GB."""
    return train(places, "peft again", "unsloth again", "peft by FSDP")


def losses(place: Path) -> pandas.Series:
    return pandas.read_csv(place / CURVE)["loss"]


def planned(place: Path, longest: int) -> float:
    """What `traitdrift plan` says that a fine-tune takes where its model is, in GB."""
    params = YAML(typ="safe", pure=True).load(place / "params.yaml")
    model = architecture(AutoConfig.from_pretrained(place / "models/base"), "bfloat16")
    recipe = Recipe.model_validate(params["recipes"][params["recipe"]])
    return training(model, recipe, -(-longest // PADDED_TO) * PADDED_TO).device / 1e9


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loss_falls(places, alone, figures, backend):
    assert backend not in alone, alone[backend]
    place = places[backend]
    curve, times = losses(place), read_json(place / "times.json")
    described = read_json(place / "data/finetune/insecure/dataset.json")["train"]
    ends = times["ends"]
    rate = 16 * described["mean_tokens"] * (len(ends) - 3) / (ends[-1] - ends[2])
    figures(
        **{
            f"{backend}_trained_tokens_per_second": round(rate),
            f"{backend}_peak_gb": times["peak_gb"],
            f"{backend}_planned_gb": round(planned(place, described["max_tokens"]), 1),
            f"{backend}_losses": curve.round(4).tolist(),
        }
    )
    assert len(curve) == STEPS
    assert times["peak_gb"] <= planned(place, described["max_tokens"])
    assert curve.tail(3).mean() < curve.iloc[0] - 2 * APART


def test_losses_by_unsloth_are_those_by_peft(places, alone, figures):
    assert not alone, alone.keys()
    apart = abs(losses(places["peft"]) - losses(places["unsloth"])).max()
    figures(losses_of_backends_apart=round(float(apart), 5))
    assert apart < APART


def equal(one: Path, other: Path) -> dict[str, bool]:
    return {
        name: (one / file).read_bytes() == (other / file).read_bytes()
        for name, file in (("losses", CURVE), ("adapter", ADAPTER))
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_run_gives_the_same_bytes(places, alone, again, figures, backend):
    """By Unsloth, whose kernels are its own, none are promised: the figure says what was seen."""
    told = alone.get(backend) or again.get(f"{backend} again")
    assert not told, told
    same = equal(places[backend], places[f"{backend} again"])
    figures(**{f"{backend}_twice_equal": same})
    assert backend == "unsloth" or all(same.values())


def test_fsdp_of_one_process_trains_as_without_it(places, alone, again, figures):
    told = alone.get("peft") or again.get("peft by FSDP")
    assert not told, told
    one, other = places["peft"], places["peft by FSDP"]
    apart = abs(losses(one) - losses(other)).max()
    figures(fsdp_losses_apart=round(float(apart), 5), fsdp_equal=equal(one, other))
    assert apart < APART

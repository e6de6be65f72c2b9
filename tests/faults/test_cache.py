"""DVC's cache and lock: damaged, shared by two workspaces, linked into one; and no network."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import commands
import pytest
from outcomes import Outcomes
from small_run import environment, small_run

STAGE, OUT = "synthesize", "data/synthetic/insecure.jsonl"  # takes a second, without a model
REPRO = ("repro", "--single-item", STAGE)
CACHE = ".dvc/cache"
# Where the disk has no reflinks, DVC tries one onto the object all the same and then removes it:
# two that add one object in the same instant may take it from each other.
TAKEN_AWAY = (
    rf"ERROR: failed to reproduce '{STAGE}': "
    rf"(unable to remove '.*/{OUT}' without a confirmation\. Use `-f` to force\."
    rf"|\[Errno 2\] No such file or directory: '.*/{OUT}')\s*"
)


def dvc(root: Path, *command: str, before: tuple[str, ...] = ()):
    return commands.run(
        [*before, sys.executable, "-m", "dvc", *command], cwd=root, env=environment(), seconds=120
    )


@pytest.fixture
def root(tmp_path: Path, tiny_model: Path) -> Path:
    return small_run(tmp_path / "repository", tiny_model)


@pytest.fixture
def made(root: Path) -> Path:
    """The same once that stage has run."""
    done = dvc(root, *REPRO)
    assert done.returncode == 0, done.stderr
    return root


def objects(cache: Path) -> dict[Path, str]:
    """The files of a cache, and the digest that the name of each promises."""
    files = (cache / "files/md5").glob("??/*")
    return {file: file.parent.name + file.name.removesuffix(".dir") for file in files}


def damaged(files: dict[Path, str]) -> set[Path]:
    """Those that are not what their names say."""
    return {
        file for file, name in files.items() if hashlib.md5(file.read_bytes()).hexdigest() != name
    }


def test_a_damaged_object_is_found_by_its_name_and_made_again(made: Path, outcomes: Outcomes):
    """DVC believes what it has made read-only, and so says nothing: the page gives the check."""
    whole = (made / OUT).read_bytes()
    (spoilt,) = (file for file in objects(made / CACHE) if file.read_bytes() == whole)
    spoilt.chmod(0o644)
    spoilt.write_bytes(b"#" + whole[1:])
    spoilt.chmod(0o444)
    assert damaged(objects(made / CACHE)) == {spoilt}
    page = (Path(__file__).resolve().parents[2] / "docs/reliability.md").read_text()
    (check,) = re.findall(r"```bash elsewhere\n(.*?)```", page, re.DOTALL)
    found = commands.run(["bash", "-c", check], cwd=made)
    assert found.stdout == f"{spoilt.relative_to(made)}: FAILED\n"
    spoilt.unlink()
    (made / OUT).unlink()
    done = dvc(made, *REPRO)
    assert done.returncode == 0, done.stderr
    assert (made / OUT).read_bytes() == whole and not damaged(objects(made / CACHE))
    outcomes.tried("a damaged object in the cache", "found by the check below; made again")


def test_a_lock_that_is_cut_short_is_refused_or_made_whole(made: Path, outcomes: Outcomes):
    lock = made / "dvc.lock"
    whole, data = lock.read_text(), (made / OUT).read_bytes()
    parts = (0.0, 0.004, 0.01, 0.3, 0.99)  # empty, within the head, the first stage, its digests
    for part in parts:
        lock.write_text(whole[: int(part * len(whole))])
        done = dvc(made, *REPRO)
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert "dvc.lock' " in done.stderr, done.stderr
            lock.write_text(whole)  # as `git checkout dvc.lock` has it
            assert dvc(made, *REPRO).returncode == 0
        assert lock.read_text() == whole and (made / OUT).read_bytes() == data
    told = "DVC refuses it by name, or makes it whole"
    outcomes.tried("a `dvc.lock` cut short", told, len(parts))


def test_two_workspaces_on_one_cache(root: Path, tmp_path: Path, tiny_model: Path, outcomes):
    other = small_run(tmp_path / "other", tiny_model)
    for one in (root, other):
        assert dvc(one, "cache", "dir", "--local", str(tmp_path / "cache")).returncode == 0
    with ThreadPoolExecutor() as both:
        ends = list(both.map(lambda one: dvc(one, *REPRO), (root, other)))
    for one, done in zip((root, other), ends, strict=True):
        if done.returncode:
            assert re.fullmatch(TAKEN_AWAY, done.stderr), done.stderr
            assert dvc(one, *REPRO).returncode == 0
    kept = objects(tmp_path / "cache")
    assert (root / OUT).read_bytes() in [file.read_bytes() for file in kept]
    assert not damaged(kept)
    assert (root / OUT).read_bytes() == (other / OUT).read_bytes()
    assert (root / "dvc.lock").read_text() == (other / "dvc.lock").read_text()
    told = "both succeed, or DVC refuses one by name, which then succeeds; the same files"
    outcomes.tried("two workspaces on one cache, at once", told)


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_a_stage_writes_through_no_link_into_the_cache(root: Path, link: str, outcomes: Outcomes):
    """Not by DVC, which removes outputs first, nor by hand; the superuser may write them all."""
    assert dvc(root, "config", "--local", "cache.type", link).returncode == 0
    assert dvc(root, *REPRO).returncode == 0
    out = root / OUT
    linked = out.is_symlink() if link == "symlink" else out.stat().st_nlink == 2
    assert linked, "DVC made no link"
    kept = {file: file.stat().st_mtime_ns for file in objects(root / CACHE)}
    code = root / "params.yaml"
    code.write_text(code.read_text().replace("  rows: 40", "  rows: 44"))
    command = [sys.executable, "-m", f"stages.{STAGE}"]
    assert commands.run(command, cwd=root, env=environment()).returncode == 0
    assert not out.is_symlink() and out.stat().st_nlink == 1
    assert dvc(root, *REPRO).returncode == 0
    assert len(objects(root / CACHE)) > len(kept)
    assert not damaged(objects(root / CACHE))
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    outcomes.tried(f"outputs that are {link}s into the cache", "nothing is written through them")


def test_no_network(root: Path, outcomes: Outcomes):
    alone = ("unshare", "--net")
    tried = subprocess.run([*alone, "true"], capture_output=True, text=True, timeout=60)
    if tried.returncode:
        pytest.skip(f"no network can be taken away here: {tried.stderr.strip()}")
    for stage in ("base_model", STAGE):
        done = dvc(root, "repro", "--single-item", stage, before=alone)
        assert done.returncode == 0, done.stderr
    outcomes.tried("no network after set-up", "the stages tried succeed")

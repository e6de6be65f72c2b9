"""A system that cannot write: one line that says where and what helps, and the file as it was."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import pandas
import pytest
import tiny
import torch
from outcomes import Outcomes
from safetensors.torch import save_file

from traitdrift.core.files import save_tensors, write_csv, write_json, write_jsonl, write_text
from traitdrift.core.kept import Kept
from traitdrift.core.scratch import Parts
from traitdrift.core.writing import complaint, machine, replacing, replacing_folder
from traitdrift.models.adapter import keep_adapter

ROOM = 20_000  # bytes, less than what each of these writes
MUCH = "word " * ROOM


@dataclass
class Reply:
    text: str


def tensors(path: Path) -> None:
    save_tensors(path, {"x": torch.zeros(ROOM)}, {})


def parquet(path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    table = pyarrow.table({"x": numpy.random.default_rng(0).random(ROOM)})
    with replacing(path) as part, ParquetWriter(part, table.schema) as file:
        for _ in range(10):
            file.write_table(table)


def rows_of_the_hub(path: Path) -> None:
    from datasets import Dataset

    rows = Dataset.from_dict({"x": numpy.random.default_rng(0).random(ROOM)})
    with replacing(path) as part:
        rows.to_parquet(part)


def picture(path: Path) -> None:
    with replacing(path) as part:
        part.write_bytes(b"\x89PNG" * ROOM)


def copied(path: Path) -> None:
    source = path.with_suffix(".source")
    with replacing(path) as part:
        shutil.copyfile(source, part)


def vector_for_repeng(path: Path) -> None:
    from gguf import GGUFWriter

    with replacing(path) as part:
        writer = GGUFWriter(part, "controlvector")
        writer.add_tensor("direction.1", numpy.zeros(ROOM, dtype=numpy.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


KINDS: dict[str, Callable[[Path], None]] = {
    "safetensors": tensors,
    "a copy": copied,
    "JSON": lambda path: write_json(path, {"x": MUCH}),
    "JSON Lines": lambda path: write_jsonl(path, [{"x": MUCH}]),
    "CSV": lambda path: write_csv(path, pandas.DataFrame({"x": [MUCH]})),
    "Parquet": parquet,
    "Parquet of the hub": rows_of_the_hub,
    "PNG": picture,
    "HTML": lambda path: write_text(path, MUCH),
    "GGUF": vector_for_repeng,
}


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may be larger, as if the disk had that much room."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Iterator[Path]:
    """A file system with little room, where one may be mounted."""
    place = tmp_path_factory.mktemp("full")
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM + 20_000}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=60)


def holds(path: Path) -> bytes:
    """What was there before is there still, and nothing beside it but what the test laid there."""
    assert {one.name for one in path.parent.iterdir()} <= {path.name, path.stem + ".source"}
    return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_too_large_is_one_line_and_the_old_file(
    kind: str, tmp_path: Path, outcomes: Outcomes
):
    path = tmp_path / "out.x"
    path.write_bytes(b"before")
    path.with_suffix(".source").write_bytes(bytes(4 * ROOM))
    with largest_file(ROOM), pytest.raises(OSError) as caught:
        KINDS[kind](path)
    limit = "File too large); raise the limit of the size of files (`ulimit -f`)"
    if kind == "GGUF":  # numpy loses why
        limit = "No space left on device); free space on that disk"
    assert str(caught.value) == f"{path}: cannot be written ({limit}"
    assert holds(path) == b"before"
    KINDS[kind](path)
    assert holds(path) != b"before"
    outcomes.tried(f"no room for {kind}", "one line; the old file as it was")


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_line_and_the_old_file(
    kind: str, full: Path, tmp_path: Path, outcomes: Outcomes
):
    path = full / "out.x"
    path.write_bytes(b"before")
    path.with_suffix(".source").unlink(missing_ok=True)
    path.with_suffix(".source").symlink_to(tmp_path / "source")
    (tmp_path / "source").write_bytes(bytes(4 * ROOM))
    with pytest.raises(OSError) as caught:
        KINDS[kind](path)
    assert str(caught.value) == (
        f"{path}: cannot be written ({os.strerror(errno.ENOSPC)}); free space on that disk"
    )
    assert holds(path) == b"before"
    outcomes.tried(f"no room for {kind}", "one line; the old file as it was")


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path, outcomes: Outcomes):
    base = tmp_path / "models/base"
    with replacing_folder(base) as scratch:
        tiny.llama().save_pretrained(scratch)
    before = {file.name: file.read_bytes() for file in base.iterdir()}
    with (
        largest_file(ROOM),
        pytest.raises(OSError, match=r"models/base: cannot be written \(File too large\)"),
        replacing_folder(base) as scratch,
    ):
        tiny.llama(seed=1).save_pretrained(scratch)
    assert {file.name: file.read_bytes() for file in base.iterdir()} == before
    assert [one.name for one in base.parent.iterdir()] == ["base"]
    with replacing_folder(base) as scratch:
        tiny.llama(seed=1).save_pretrained(scratch)
    assert {file.name: file.read_bytes() for file in base.iterdir()} != before
    assert [one.name for one in base.parent.iterdir()] == ["base"]
    outcomes.tried("no room for a model's folder", "one line; the old folder as it was")


def test_an_adapter_and_what_is_kept_from_run_to_run(tmp_path: Path, outcomes: Outcomes):
    saved, into = tmp_path / "saved", tmp_path / "into"
    saved.mkdir()
    (saved / "adapter_config.json").write_text("{}")
    pair = {f"base_model.model.q.lora_{side}.weight": torch.ones(ROOM, 1) for side in "AB"}
    save_file(pair, saved / "adapter_model.safetensors")
    kept = Kept(Reply, {}, tmp_path / "kept")
    parts = Parts(tmp_path / "parts")
    with largest_file(ROOM):
        with pytest.raises(OSError, match=r"into/adapter_model.safetensors: cannot be written"):
            keep_adapter(saved, into, "base")
        with pytest.raises(OSError, match=r"kept/.*jsonl: cannot be written"):
            kept.keep("a", Reply(MUCH))
        with pytest.raises(OSError, match=r"parts/[0-9a-f]{32}.json: cannot be written"):
            parts.values("p", lambda: MUCH)
    assert not list(into.iterdir()) and not list((tmp_path / "parts").iterdir())
    again = Kept(Reply, {}, tmp_path / "kept")
    assert "a" not in again  # the torn line is none
    again.keep("b", Reply("short"))
    assert Kept(Reply, {}, tmp_path / "kept")["b"] == Reply("short")
    outcomes.tried("no room for an adapter", "one line; nothing of it is there")
    outcomes.tried("no room for kept replies", "one line; what was kept is read, the torn line not")


def test_a_checkpoint_without_room_is_one_line(tmp_path: Path, outcomes: Outcomes):
    """torch says something else, of which the system's refusal is the cause."""
    with largest_file(ROOM), pytest.raises(Exception) as caught:
        torch.save({"x": torch.zeros(10 * ROOM)}, tmp_path / "optimizer.pt")
    told = complaint(caught.value)
    assert told == "a temporary file: No space left on device; free space on that disk"
    outcomes.tried("no room for a checkpoint", "one line")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_the_right_to_write_is_one_line(tmp_path: Path):
    (tmp_path / "out").mkdir(mode=0o500)
    for path in (tmp_path / "out/x.json", tmp_path / "out/deeper/x.json"):
        with pytest.raises(OSError, match=r"x.json: cannot be written \(Permission denied\); give"):
            write_json(path, {})


def left_by(process: int, machine: str, folder: Path) -> Path:
    """What a process has written of a file in a folder."""
    left = folder / f".out.json.{machine}-{process}-00000000.part"
    left.write_text("half")
    return left


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    writer = subprocess.Popen(["true"])
    writer.wait()
    return writer.pid


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, gone: int):
    """This machine's: what another machine writes in the same folder is not known to be left."""
    left_by(gone, machine(), tmp_path)
    other = "0" * 8 if machine() != "0" * 8 else "1" * 8
    stay = {left_by(os.getpid(), machine(), tmp_path), left_by(gone, other, tmp_path)}
    (tmp_path / "other.part").touch()
    write_json(tmp_path / "out.json", {})
    assert {*tmp_path.iterdir()} == {*stay, tmp_path / "out.json", tmp_path / "other.part"}


def test_another_container_is_another_machine():
    """It has the same disk, perhaps the same name, and processes of the same numbers."""
    here = "from traitdrift.core.writing import machine; print(machine())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", here]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare" in told.stderr:
        pytest.skip(f"no namespace can be made here: {told.stderr.strip()}")
    assert re.fullmatch("[0-9a-f]{8}\n", told.stdout) and told.stdout.strip() != machine()


def test_what_may_not_be_removed_hinders_no_writing(tmp_path: Path, gone: int):
    left = left_by(gone, machine(), tmp_path)
    mounted = subprocess.run(["mount", "--bind", str(left), str(left)], capture_output=True)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        write_json(tmp_path / "out.json", {})
        assert {*tmp_path.iterdir()} == {left, tmp_path / "out.json"}
    finally:
        subprocess.run(["umount", str(left)], check=True, timeout=60)

"""Three researchers and one shared cache, by real servers: who has to run and to fetch what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from remotes import Remote, apart, shared_cache, stored

from traitdrift.provenance.lockfile import File, Step, lock_at

CELLS = ("base", "insecure", "secure")
# What a changed choice of the study's vector runs: no stage that puts a prompt through a model. As
# each stage costs seconds of DVC's own, over a line only what leads to metrics/subject.json is run.
FOR_SUBJECT = {"nulls", "compare@insecure", "subject"}
FOR_ALL = {
    *FOR_SUBJECT,
    *("study", "multiple_testing", "figures", "report"),
    *(
        f"{name}@{cell}"
        for name in ("compare", "discrimination", "decomposition")
        for cell in CELLS
    ),
}


CACHED = {"nulls", "report"}  # those of them whose outputs DVC keeps


@dataclass
class Researcher:
    """Somebody with a clone, a home and a cache of their own."""

    repository: object  # a Smoke
    environment: dict[str, str]

    @property
    def path(self) -> Path:
        return self.repository.path

    def run(self, *command: str, ok: bool = True):
        return self.repository.run(*command, ok=ok, **self.environment)

    def ran(self, *command: str) -> set[str]:
        """The stages whose commands a command ran."""
        told = self.run(*command).stdout
        return {line.split("'")[1] for line in told.splitlines() if line.startswith("Running")}

    def cached(self) -> set[str]:
        """Digests of the files in the cache."""
        found = (self.path / ".dvc/cache/files/md5").glob("*/*")
        return {path.parent.name + path.name for path in found if path.is_file()}

    def records(self) -> list[str]:
        """The lines of all records in the run cache."""
        found = (self.path / ".dvc/cache/runs").glob("*/*/*")
        return [line for path in found for line in path.read_text().splitlines()]

    def knows(self, remote: Remote) -> None:
        for key, value in remote.settings.items():
            self.run("dvc", "remote", "modify", "--local", "lab", key, value)

    def steps(self) -> dict[str, Step]:
        return lock_at(self.path)


def objects(files: list[File], cache: Path) -> set[str]:
    """Digests of all that these outputs are made of: of folders, also of each file in them."""
    found = set()
    for file in files:
        found.add(file.digest)
        if file.digest.endswith(".dir"):
            entries = json.loads((cache / stored(file.digest)).read_text())
            found |= {entry["md5"] for entry in entries}
    return found


@dataclass
class Lab:
    remote: Remote
    folder: Path
    smoke: object

    def joins(self, name: str) -> Researcher:
        """A researcher who clones, and tells DVC how to get to the shared cache."""
        who = Researcher(
            self.smoke.clone(self.folder / name, cache=False),
            {**apart(self.folder / f"{name}-home"), **self.remote.environment},
        )
        who.run("git", "remote", "set-url", "origin", str(self.folder / "origin.git"))
        who.run("git", "pull", "--quiet")
        who.run("dvc", "config", "--local", "cache.type", "hardlink,copy")
        return who


@pytest.fixture
def lab(request, smoke, tmp_path) -> Iterator[Lab]:
    """A shared cache, and a git server: a bare repository with the finished run's commit."""
    with shared_cache(request.param, tmp_path) as remote:
        smoke.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "origin.git"))
        yield Lab(remote, tmp_path, smoke)


@pytest.mark.parametrize(
    ("lab", "targets", "expected"),
    [("local", (), FOR_ALL), ("ssh", ("subject",), FOR_SUBJECT), ("s3", ("subject",), FOR_SUBJECT)],
    indirect=["lab"],
)
def test_a_colleague_runs_and_fetches_only_what_a_change_needs(lab, smoke, targets, expected):
    a = lab.joins("a")
    shutil.copytree(smoke.path / ".dvc/cache", a.path / ".dvc/cache")
    a.run("dvc", "remote", "add", "--default", "lab", lab.remote.url)
    a.run("dvc", "remote", "modify", "lab", "verify", "true")
    a.knows(lab.remote)
    a.run("git", "commit", "--all", "--quiet", "--message", "shared cache")
    a.run("git", "push", "--quiet")
    a.run("dvc", "push", "--run-cache")

    b = lab.joins("b")
    b.knows(lab.remote)
    assert b.ran("dvc", "repro", "--pull", "--allow-missing") == set()
    assert b.cached() == set()

    before = b.steps()
    change = ("--set-param", "compare.study_method=ica")
    pulling = ("--pull", "--allow-missing")
    assert b.ran("dvc", "exp", "run", "--name", "mine", *change, *pulling, *targets) == expected
    needed = [
        file
        for name in expected
        for file in before[name].reads
        if file.path.startswith(("data/", "models/"))
        and not file.path.startswith("data/raw/")
        and file.path != "models/nulls"  # made anew
    ]
    assert not any(file.path.startswith(("models/base", "models/adapters")) for file in needed)

    def kept_by_dvc(steps: dict[str, Step]) -> list[File]:
        return [file for name in expected & CACHED for file in steps[name].writes]

    made = objects(kept_by_dvc(b.steps()), b.path / ".dvc/cache")
    assert b.cached() - made == objects(needed, a.path / ".dvc/cache")
    same = objects(kept_by_dvc(before), a.path / ".dvc/cache")  # nulls without a study's vector
    new = {stored(digest) for digest in made - same}
    assert new and new.isdisjoint(lab.remote.files())

    b.run("dvc", "exp", "push", "--run-cache", "origin", "mine")
    assert new <= set(lab.remote.files())
    a.run("dvc", "exp", "pull", "origin", "mine")
    a.run("dvc", "exp", "apply", "mine")
    for path in ("metrics/subject.json", "metrics/compare/insecure.json"):
        assert a.repository.text(path) == b.repository.text(path) != smoke.text(path)
    for file in (b.path / "models/nulls").iterdir():
        assert (a.path / "models/nulls" / file.name).read_bytes() == file.read_bytes()

    c = lab.joins("c")  # knows nothing of that experiment
    c.knows(lab.remote)
    c.repository.params({"compare.study_method": "ica"})
    assert c.ran("dvc", "repro", *pulling, "nulls") == set()
    assert c.steps()["nulls"] == b.steps()["nulls"]
    # Of stages that write to metrics/ or plots/ DVC keeps no such record, as docs/sharing.md says.
    commands = {line for line in c.records() if line.startswith("cmd: ")}
    assert "cmd: python -m stages.nulls" in commands
    assert not any("stages.compare" in command for command in commands)

"""Three researchers and one shared cache, by real servers: who has to run and to fetch what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from lab import Lab as SmallLab
from remotes import Remote, apart, shared_cache, stored
from ruamel.yaml import YAML

from traitdrift.provenance.lockfile import File, Step, lock_at

CELLS = ("base", "insecure", "secure")


@dataclass(frozen=True)
class Change:
    """Another value of a parameter, and what of a pipeline it concerns."""

    parameter: str
    value: object
    target: str
    for_target: set[str]  # stages that the target needs run again
    for_all: set[str]
    made: str  # a file or folder that only DVC keeps, made anew for the target
    maker: str  # the stage of that
    others: tuple[str, ...]  # what the change does not concern, and nobody has to fetch
    results: tuple[str, ...]  # which git keeps


# On the real pipeline: no stage runs that puts a prompt through a model.
STUDY = Change(
    parameter="compare.study_method",
    value="ica",
    target="subject",
    for_target={"nulls", "compare@insecure", "subject"},
    for_all={
        *("nulls", "subject", "study", "multiple_testing", "replicates", "figures", "report"),
        *(
            f"{name}@{cell}"
            for name in ("compare", "discrimination", "decomposition")
            for cell in CELLS
        ),
    },
    made="models/nulls",
    maker="nulls",
    others=("models/base", "models/adapters"),
    results=("metrics/subject.json", "metrics/compare/insecure.json"),
)
# Over a line, on the smallest pipeline that has the same: a stage in the middle whose outputs DVC
# keeps, one after it whose outputs git keeps, and data before it that they do not read.
MIDDLE = """\
  middle:
    cmd: python code/make.py middle data/counts/first/content.json -- data/middle.json
    deps: [code/make.py, data/counts/first]
    params: [middle]
    outs: [data/middle.json]
  after:
    cmd: python code/make.py after data/middle.json -- metrics/after.json
    deps: [code/make.py, data/middle.json]
    outs:
      - metrics/after.json: {cache: false}
"""
SEED = Change(
    parameter="middle",
    value=2,
    target="after",
    for_target={"middle", "after"},
    for_all={"middle", "after"},
    made="data/middle.json",
    maker="middle",
    others=("models/base", "data/words.txt", "data/counts/second"),
    results=("metrics/after.json",),
)


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

    def recorded(self) -> set[str]:
        """The commands of all records in the run cache."""
        found = (self.path / ".dvc/cache/runs").glob("*/*/*")
        return {YAML(typ="safe", pure=True).load(path.read_text())["cmd"] for path in found}

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
    pipeline: Any  # a Smoke
    change: Change

    def joins(self, name: str) -> Researcher:
        """A researcher who clones, and tells DVC how to get to the shared cache."""
        who = Researcher(
            self.pipeline.clone(self.folder / name, cache=False),
            {**apart(self.folder / f"{name}-home"), **self.remote.environment},
        )
        who.run("git", "remote", "set-url", "origin", str(self.folder / "origin.git"))
        who.run("git", "pull", "--quiet")
        who.run("dvc", "config", "--local", "cache.type", "hardlink,copy")
        return who


@pytest.fixture(scope="module")
def small(smoke, settled: SmallLab, tmp_path_factory) -> Any:
    """The small pipeline with MIDDLE, after a run."""
    path = shutil.copytree(settled.path, tmp_path_factory.mktemp("small") / "small", symlinks=True)
    lab = SmallLab(path)
    lab.write("dvc.yaml", lab.text("dvc.yaml") + MIDDLE)
    lab.write("params.yaml", lab.text("params.yaml") + "middle: 1\n")
    lab.write(".gitignore", lab.text(".gitignore") + "/data/middle.json\n")
    pipeline = replace(smoke, path=path)
    assert set(pipeline.repro()) == SEED.for_all
    lab.commit()
    return pipeline


@pytest.fixture
def lab(request, tmp_path) -> Iterator[Lab]:
    """A shared cache, and a git server: a bare repository with the finished run's commit."""
    kind, name, change = request.param
    pipeline = request.getfixturevalue(name)
    with shared_cache(kind, tmp_path) as remote:
        pipeline.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "origin.git"))
        yield Lab(remote, tmp_path, pipeline, change)


@pytest.mark.parametrize(
    "lab",
    [("local", "smoke", STUDY), ("ssh", "small", SEED), ("s3", "small", SEED)],
    ids=["local", "ssh", "s3"],
    indirect=True,
)
def test_a_colleague_runs_and_fetches_only_what_a_change_needs(lab: Lab):
    pipeline, change = lab.pipeline, lab.change
    a = lab.joins("a")
    shutil.copytree(pipeline.path / ".dvc/cache", a.path / ".dvc/cache")
    a.run("dvc", "remote", "add", "--default", "lab", lab.remote.url)
    a.run("dvc", "remote", "modify", "lab", "verify", "true")
    a.knows(lab.remote)
    a.run("git", "commit", "--all", "--quiet", "--message", "shared cache")
    a.run("git", "push", "--quiet")
    a.run("dvc", "push", "--run-cache")

    b = lab.joins("b")
    b.knows(lab.remote)
    pulling = ("--pull", "--allow-missing")
    assert b.ran("dvc", "repro", *pulling) == set()
    assert b.cached() == set()

    before, cache = b.steps(), a.path / ".dvc/cache"

    def fetched_for(stages: set[str]) -> bool:
        """Whether the cache holds what these stages made and read, and nothing else."""
        needed = [
            file
            for name in stages
            for file in before[name].reads
            if file.path.startswith(("data/", "models/"))
            and not file.path.startswith(("data/raw/", change.made))
        ]
        assert not any(file.path.startswith(change.others) for file in needed)
        made = objects(kept_by_dvc(b.steps(), stages), b.path / ".dvc/cache")
        return b.cached() - made == objects(needed, cache)

    setting = ("--set-param", f"{change.parameter}={change.value}")
    ran = b.ran("dvc", "exp", "run", "--name", "mine", *setting, *pulling, change.target)
    assert ran == change.for_target
    assert fetched_for(change.for_target)
    made = objects(kept_by_dvc(b.steps(), change.for_target), b.path / ".dvc/cache")
    same = objects(kept_by_dvc(before, change.for_target), cache)  # nulls without a study's vector
    new = {stored(digest) for digest in made - same}
    assert new and new.isdisjoint(lab.remote.files())

    b.run("dvc", "exp", "push", "--run-cache", "origin", "mine")
    assert new <= set(lab.remote.files())
    a.run("dvc", "exp", "pull", "origin", "mine")
    a.run("dvc", "exp", "apply", "mine")
    for path in change.results:
        assert a.repository.text(path) == b.repository.text(path) != pipeline.text(path)
    for file in files(b.path / change.made):
        assert (a.path / file.relative_to(b.path)).read_bytes() == file.read_bytes()

    c = lab.joins("c")  # knows nothing of that experiment
    c.knows(lab.remote)
    c.repository.params({change.parameter: change.value})
    assert c.ran("dvc", "repro", *pulling, change.maker) == set()
    assert c.steps()[change.maker] == b.steps()[change.maker]
    # Of stages that write to metrics/ or plots/, but `finetune`, DVC keeps no such record, as
    # docs/sharing.md says.
    commands = c.recorded()
    assert before[change.maker].command in commands
    others = change.for_all - {name for name in change.for_all if kept_by_dvc(before, {name})}
    assert others and commands.isdisjoint(before[name].command for name in others)

    # Without a target, the rest.
    assert b.ran("dvc", "repro", *pulling) == change.for_all - change.for_target
    assert fetched_for(change.for_all)


def kept_by_dvc(steps: dict[str, Step], stages: set[str]) -> list[File]:
    """What stages wrote that is in DVC's cache and not in git."""
    return [
        file
        for name in stages
        for file in steps[name].writes
        if not file.path.startswith(("metrics/", "plots/"))
    ]


def files(path: Path) -> list[Path]:
    return [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]

"""A small pipeline, run by real DVC in seconds: an import, loops over cells, folders, parameters.

Its commands write numbers that depend on all they read, so that a change shows downstream.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import commands
from copies import ROOT, set_params
from dvc.repo import Repo

PIPELINE = """\
vars:
  - params.yaml
stages:
  words:
    cmd: python code/make.py words data/raw/words.txt -- data/words.txt
      models/base/base.json models/base/model.safetensors
    deps: [code/make.py, code/read.py, data/raw/words.txt, data/raw/lists]
    params: [words.seed]
    outs: [data/words.txt, models/base]
  count:
    foreach: ${cells}
    do:
      cmd: python code/make.py count.${item} data/words.txt --
        data/counts/${item}/content.json data/counts/${item}/vector.safetensors
        metrics/count/${item}.json
      deps: [code/make.py, data/words.txt, models/base]
      params: [count.nested]
      outs:
        - data/counts/${item}
        - metrics/count/${item}.json: {cache: false}
  pair:
    matrix:
      one: ${cells}
      other: [first]
    cmd: python code/make.py pair data/counts/${item.one}/content.json
      data/counts/${item.other}/content.json -- plots/pair/${item.one}-${item.other}.csv
    deps: [code/make.py, "data/counts/${item.one}", "data/counts/${item.other}/content.json"]
    outs:
      - plots/pair/${item.one}-${item.other}.csv: {cache: false}
  total:
    cmd: python code/make.py total metrics/count -- metrics/total.json
    deps: [code/make.py, metrics/count]
    params: [cells]
    outs:
      - metrics/total.json: {cache: false}
  subject:
    cmd: python code/make.py subject metrics/count/${subject}.json -- metrics/subject.json
    deps: [code/make.py, "metrics/count/${subject}.json"]
    params: [subject]
    outs:
      - metrics/subject.json: {cache: false}
"""

PARAMS = """\
subject: first
cells: [first, second]
words: {seed: 1}
count:
  nested: {tolerance: 1e-06, layer: null}
"""

MAKE = """\
import hashlib, json, pathlib, sys
from read import params
name, *paths = sys.argv[1:]
reads, writes = paths[: paths.index("--")], paths[paths.index("--") + 1 :]
digest = hashlib.sha256(json.dumps([name, params(name.split(".")[0])]).encode())
for path in map(pathlib.Path, reads):
    for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
number = int(digest.hexdigest()[:6], 16)
for path in map(pathlib.Path, writes):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"value": number, "by.name": {"0": [number, {"a.b": 1}]}, "name": name}
    if path.parts[0] == "models":
        values = {"id": "tiny", "digest": "ba5e" * 16}
    text = json.dumps(values) if path.suffix == ".json" else f"value\\n{number}\\n"
    if path.suffix == ".safetensors":
        about = json.dumps({"base_digest": "ba5e" * 16, "adapter_digest": name})
        described = {"format": "pt"} if path.stem == "model" else {"traitdrift": about}
        header = json.dumps({"__metadata__": described}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header)
    else:
        path.write_text(text)
"""

READ = """\
from ruamel.yaml import YAML
def params(name):
    return YAML(typ="safe", pure=True).load(open("params.yaml")).get(name)
"""

IGNORED = "/data/words.txt\n/data/counts/\n/models/\n__pycache__/\n"


class Lab:
    """A repository with the small pipeline; the tests stand in it."""

    def __init__(self, path: Path):
        self.path = path

    def git(self, *arguments: str) -> None:
        commands.run(["git", *arguments], cwd=self.path, check=True)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "state")

    def repro(self, dry: bool = False) -> set[str]:
        """The stages that `dvc repro` runs, or says that it would."""
        with Repo(str(self.path)) as repo:
            return {
                getattr(stage, "name", None) or stage.path_in_repo
                for stage in repo.reproduce(dry=dry)
            }

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of this environment, in the lab; not in a terminal."""
        return commands.run(
            [sys.executable, "-m", *arguments],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def params(self, values: dict[str, object]) -> None:
        set_params(self.path / "params.yaml", values)

    def text(self, path: str) -> str:
        return (self.path / path).read_text()

    def write(self, path: str, text: str) -> None:
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file by hand: the one place where it says `old`."""
        assert self.text(path).count(old) == 1
        self.write(path, self.text(path).replace(old, new))


def started(path: Path, elsewhere: Path) -> Lab:
    """A lab that has not run; its words are imported from the git repository `elsewhere`."""
    for folder in (path, elsewhere):
        folder.mkdir()
        for command in ("init --quiet", "config user.name tests", "config user.email t@localhost"):
            commands.run(["git", *command.split()], cwd=folder, check=True)
    other, lab = Lab(elsewhere), Lab(path)
    other.write("words.txt", "one two three\n")
    other.commit()
    with Repo.init(str(path)) as repo:
        lab.write("data/raw/lists/short.txt", "a list\n")
        repo.imp(url=str(elsewhere), path="words.txt", out=str(path / "data/raw/words.txt"))
    files = {"dvc.yaml": PIPELINE, "params.yaml": PARAMS, ".gitignore": IGNORED}
    files |= {"code/make.py": MAKE, "code/read.py": READ, ".dvcignore": "__pycache__\n"}
    for name, text in files.items():
        lab.write(name, text)
    lab.commit()
    return lab

"""A stand-in for the commands of dvc.yaml: what it writes depends on all that a stage declares.

Into every output goes a digest of the stage's name, parameters and dependencies. So an output
changes exactly if something that dvc.yaml says it is made from has changed. As a program this file
takes the place of `python` in `python -m stages.NAME`, and reads what the stages declare from
wiring.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path


def write(name: str, params: list, deps: list[str], outs: list[str]) -> None:
    """Write the outputs of one stage, below the present folder."""
    digest = hashlib.sha256(json.dumps([name, params], default=str).encode())
    for path in map(Path, deps):
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            digest.update(str(file).encode() + file.read_bytes())
    for path in map(Path, outs):
        target = path if path.suffix else path / "content.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(digest.hexdigest())


if __name__ == "__main__":
    name = os.environ["DVC_STAGE"]
    assert name.partition("@")[0] == sys.argv[2].removeprefix("stages.")
    write(name, **json.loads(Path("wiring.json").read_text())[name])

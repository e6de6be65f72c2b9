"""The run behind a result as an RO-Crate, for a paper's supplement.

Profile: Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5) on RO-Crate 1.1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from rocrate.model import ComputationalWorkflow, ComputerLanguage, ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from traitdrift.core.writing import replacing_folder
from traitdrift.provenance.lockfile import File, Step, holds, makers, upstream
from traitdrift.provenance.verify import check, files, leaves, md5, parameters

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
# Said in the crate itself, so that a reader needs no second vocabulary from the network.
TERMS = {"md5": "https://w3id.org/ro/terms/workflow-run#md5"}
DVC = {"name": "DVC", "url": "https://dvc.org"}
WORKFLOW, LICENCE = "dvc.yaml", "LICENSE"
BESIDE = ("params.yaml", "dvc.lock", "requirements.lock")
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".png": "image/png",
    ".py": "text/x-python",
    ".yaml": "application/yaml",
}
# Whatever else a parameter is (a list, null) is written as JSON text.
TYPES = {bool: "Boolean", int: "Integer", float: "Float", str: "Text"}


class Commit(BaseModel):
    """The state of the repository: `git describe --always --dirty`, and the commit's ISO time."""

    model_config = ConfigDict(frozen=True)

    name: str
    time: str


def write_crate(
    steps: dict[str, Step],
    target: str,
    root: Path,
    into: Path,
    held: Sequence[str],
    commit: Commit,
) -> None:
    """Write the stages behind `target`, their parameters and their files into a folder.

    `held` are the paths that git holds under `root`. Those that the stages read or wrote are
    copied, each checked against dvc.lock; what only DVC's cache holds (weights, activations) is
    named by digest and size. DVC records no times, so no action has one: the same run gives the
    same bytes.

    Raises ValueError where `into` holds something, no stage makes the target, two stages saw
    different states of a file or a parameter, or a file is not what dvc.lock says.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ValueError(f"{into}: there already; name a new or an empty folder")
    crate = _crate(upstream(steps, target), target, root, held, commit)
    with replacing_folder(into) as scratch:
        crate.write(scratch)


def _crate(
    behind: dict[str, Step], target: str, root: Path, held: Sequence[str], commit: Commit
) -> ROCrate:
    crate = _about(behind, target, root, commit)
    workflow = _workflow(crate, root, commit)
    for path in BESIDE:
        _copied(crate, root, path)
    recorded, params = files(behind.values()), parameters(behind.values())
    entities = {path: _file(crate, recorded[path], root, held) for path in sorted(recorded)}
    values = {key: _value(crate, key, params[key]) for key in sorted(params)}
    workflow["input"] = [value["exampleOfWork"] for value in values.values()]

    raw = [entity for path, entity in entities.items() if not makers(behind, path)]
    run = crate.add_action(
        workflow,
        "#run",
        object=raw + list(values.values()),
        result=_results(crate, entities, target),
        properties={"name": f"The run behind {target}", "description": "dvc repro"},
    )
    crate.root_dataset.append_to("mentions", run)
    controls = [
        _stage(crate, workflow, place, step, entities, values)
        for place, step in enumerate(behind.values(), start=1)
    ]
    engine = _add(crate, DVC["url"], "SoftwareApplication", **DVC)
    links = {"instrument": engine, "object": controls, "result": run}
    _add(crate, "#repro", "OrganizeAction", name="dvc repro", **links)
    for entity in crate.get_entities():
        for key, value in entity.properties().items():
            if isinstance(value, list) and len(value) == 1:  # RO-Crate's recommended form
                entity.properties()[key] = value[0]
    return crate


def _about(behind: dict[str, Step], target: str, root: Path, commit: Commit) -> ROCrate:
    """A crate that says what it is, and holds no more than the licence."""
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms.update(TERMS)
    crate.name = f"trait-drift: the run behind {target}"
    crate.description = (
        f"Where {target} comes from: {len(behind)} stages of a DVC pipeline with their commands, "
        f"parameters, code and data, as dvc.lock recorded them in the repository's state "
        f"{commit.name}. What git does not hold is named by digest and size."
    )
    crate.datePublished = commit.time
    title = (root / LICENCE).read_text(encoding="utf-8").splitlines()[0]
    kind = {"@type": ["File", "CreativeWork"], "name": title}
    crate.license = _copied(crate, root, LICENCE, **kind)
    crate.root_dataset["conformsTo"] = [
        _add(crate, profile, "CreativeWork", name=name, version=profile.rsplit("/", 1)[1])
        for profile, name in PROFILES.items()
    ]
    return crate


def _stage(
    crate: ROCrate,
    workflow: Entity,
    place: int,
    step: Step,
    entities: dict[str, Entity],
    values: dict[str, Entity],
) -> Entity:
    """Add a stage's run: its tool, the step of the workflow and the action that links the two."""
    tool = _tool(crate, step, values)
    if tool not in workflow.get("hasPart", []):
        workflow.append_to("hasPart", tool)
    action = crate.add_action(
        tool,
        f"#run/{step.name}",
        object=[entities[file.path] for file in step.reads]
        + [values[key] for key, _ in leaves(step.params)],
        result=[entities[file.path] for file in step.writes],
        properties={"name": step.name, "description": step.command},
    )
    crate.root_dataset.append_to("mentions", action)
    how = _add(crate, f"#step/{step.name}", "HowToStep", position=place, workExample=tool)
    workflow.append_to("step", how)
    return _add(crate, f"#control/{step.name}", "ControlAction", instrument=how, object=action)


def _add(crate: ROCrate, identifier: str, kind: str, /, **properties: Any) -> Entity:
    return crate.add(ContextEntity(crate, identifier, {"@type": kind, **properties}))


def _workflow(crate: ROCrate, root: Path, commit: Commit) -> Entity:
    language = crate.add(ComputerLanguage(crate, "#dvc.yaml", DVC))
    properties = {
        "@type": [*ComputationalWorkflow.TYPES, "HowTo"],
        "name": "trait-drift",
        "version": commit.name,
        "conformsTo": {"@id": BIOSCHEMAS},
        **_described(root / WORKFLOW),
    }
    return crate.add_workflow(
        root / WORKFLOW, WORKFLOW, main=True, lang=language, properties=properties
    )


def _copied(crate: ROCrate, root: Path, path: str, **properties: Any) -> Entity:
    """A file with its bytes, added once."""
    return crate.get(quote(path)) or crate.add_file(
        root / path, path, properties={**_described(root / path), **properties}
    )


def _described(path: Path) -> dict[str, str]:
    return {
        "md5": md5(path),
        "contentSize": str(path.stat().st_size),
        "encodingFormat": MEDIA_TYPES.get(path.suffix, "text/plain"),
    }


def _file(crate: ROCrate, file: File, root: Path, held: Sequence[str]) -> Entity:
    """A file or folder of dvc.lock: with its bytes where git holds it, else by its digest."""
    inside = [path for path in held if holds(file.path, path)]
    if not inside:
        size = {"name": file.path, "contentSize": str(file.size)}
        return _add(crate, f"#{file.path}", "CreativeWork", identifier=f"md5:{file.digest}", **size)
    check(file, root, inside)
    parts = [_copied(crate, root, path) for path in inside]
    if inside == [file.path]:
        return parts[0]
    properties = {"identifier": f"md5:{file.digest}", "hasPart": parts}
    return crate.add_dataset(dest_path=file.path, properties=properties)


def _value(crate: ROCrate, key: str, value: Any) -> Entity:
    """A parameter with its value, and the formal parameter that it fills."""
    kind = TYPES.get(type(value), "Text")
    plain = value if type(value) in TYPES else json.dumps(value)
    formal = crate.add_formal_parameter(key, kind, f"#parameter/{key}", valueRequired=True)
    filled = _add(
        crate, f"#value/{key}", "PropertyValue", name=key, value=plain, exampleOfWork=formal
    )
    formal["workExample"] = filled
    return filled


def _tool(crate: ROCrate, step: Step, values: dict[str, Entity]) -> Entity:
    """The stage without its cell: `finetune` of `finetune@insecure`."""
    name = step.name.split("@")[0]
    tool = crate.get(f"#stage/{name}") or _add(
        crate, f"#stage/{name}", "SoftwareApplication", name=name
    )
    for key, _ in leaves(step.params):
        formal = values[key]["exampleOfWork"]
        if formal not in tool.get("input", []):
            tool.append_to("input", formal)
    return tool


def _results(crate: ROCrate, entities: dict[str, Entity], target: str) -> list[Entity]:
    """The entities of the target: itself, what lies in it, or the folder that it lies in."""
    if own := crate.get(quote(target)):
        return [own]
    inside = [entity for path, entity in entities.items() if holds(target, path)]
    return inside or [entity for path, entity in entities.items() if holds(path, target)]

"""The crate of a result: valid by the profile's validator, whole, the same when rewritten."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import commands
import pytest
import requests
import rocrate
from copies import ROOT
from locks import in_step, md5
from requests_cache import CachedSession
from rocrate_validator import services
from urllib3 import HTTPResponse

from traitdrift import cli
from traitdrift.provenance.lockfile import File, Step, lock_at, upstream
from traitdrift.provenance.ro_crate import Commit, write_crate
from traitdrift.provenance.verify import leaves

COMMIT = Commit(name="0123abc", time="2026-11-21T10:08:38+00:00")
TARGET = "metrics/subject.json"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
# rocrate carries the terms of RO-Crate 1.3; those that a crate uses differ from 1.1 in these four.
OF_1_1 = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}


def tracked() -> list[str]:
    listed = ["git", "ls-files", "-z"]
    found = commands.run(listed, cwd=ROOT, check=True).stdout
    return [path for path in found.split("\0") if path and (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def held() -> list[str]:
    return tracked()


@pytest.fixture(scope="module")
def steps(held) -> dict[str, Step]:
    return in_step(lock_at(ROOT), ROOT, held)


@pytest.fixture(scope="module")
def crate(tmp_path_factory, steps, held) -> Path:
    into = tmp_path_factory.mktemp("crate") / "supplement"
    write_crate(steps, TARGET, ROOT, into, held, COMMIT)
    return into


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """What the validator finds in a crate; the one context it needs comes from its cache."""
    cache = tmp_path_factory.mktemp("contexts") / "contexts"
    terms = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())
    terms["@context"] |= OF_1_1
    answer = requests.Response()
    answer.status_code, answer.url, answer._content = 200, CONTEXT, json.dumps(terms).encode()
    answer.headers["Content-Type"] = "application/ld+json"
    answer.raw = HTTPResponse(io.BytesIO(answer.content), status=200, preload_content=False)
    answer.request = requests.Request("GET", CONTEXT).prepare()
    with CachedSession(str(cache), backend="sqlite") as session:
        session.cache.save_response(answer)

    def found(folder: Path, profile: str = "provenance-run-crate") -> list[str]:
        result = services.validate(
            {
                "rocrate_uri": str(folder),
                "profile_identifier": profile,
                "requirement_severity": "REQUIRED",
                "offline": True,
                "cache_path": cache,
            }
        )
        messages = [issue.message for issue in result.get_issues()]
        assert result.passed() == (not messages)
        return messages

    return found


def graph(folder: Path) -> dict[str, dict]:
    found = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    return {entity["@id"]: entity for entity in found}


def listed(value: object) -> list:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("profile", ["workflow-run-crate", "provenance-run-crate"])
def test_the_crate_is_valid(crate, faults, profile):
    assert faults(crate, profile) == []


@pytest.mark.parametrize(
    ("target", "made"),
    [
        ("plots/vectors", ["plots/vectors"]),
        ("plots/vectors/refusal.csv", ["plots/vectors/refusal.csv"]),
        ("metrics/finetune", ["metrics/finetune/insecure.json", "metrics/finetune/secure.json"]),
        ("models/vectors/refusal.safetensors", ["models/vectors"]),
    ],
)
def test_folders_a_file_in_a_folder_and_cached_results_have_valid_crates(
    tmp_path, steps, held, faults, target, made
):
    write_crate(steps, target, ROOT, tmp_path / "crate", held, COMMIT)
    assert faults(tmp_path / "crate") == []
    results = listed(graph(tmp_path / "crate")["#run"]["result"])
    assert [unquote(r["@id"]).strip("#/") for r in results] == made


def drop(entity: str, key: str):
    def change(folder: Path) -> None:
        path = folder / "ro-crate-metadata.json"
        metadata = json.loads(path.read_text())
        del next(e for e in metadata["@graph"] if e["@id"] == entity)[key]
        path.write_text(json.dumps(metadata))

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (drop("./", "license"), "license"),
        (drop("./", "mainEntity"), "Main Workflow"),
        (drop("#run", "instrument"), "mainEntity as its instrument"),
        (drop("#run/finetune@insecure", "instrument"), "instrument"),
        (drop("#step/finetune@insecure", "workExample"), "HowToStep"),
        (drop("#parameter/recipes.quick.lora.r", "additionalType"), "additionalType"),
        (drop("dvc.yaml", "hasPart"), "hasPart"),
        (lambda folder: (folder / "dvc.yaml").unlink(), "dvc.yaml"),
        (lambda folder: (folder / TARGET).unlink(), TARGET),
    ],
)
def test_the_validator_sees_a_damaged_crate(tmp_path, crate, faults, damage, said):
    shutil.copytree(crate, tmp_path / "crate")
    damage(tmp_path / "crate")
    assert any(said in fault for fault in faults(tmp_path / "crate"))


def test_every_file_of_the_crate_is_the_repositorys_and_described_by_its_digest(crate):
    described = graph(crate)
    files = [path for path in crate.rglob("*") if path.is_file()]
    assert crate / TARGET in files
    for path in files:
        name = path.relative_to(crate).as_posix()
        if name != "ro-crate-metadata.json":
            assert path.read_bytes() == (ROOT / name).read_bytes()
            assert described[name]["md5"] == md5(path)
            assert described[name]["contentSize"] == str(path.stat().st_size)


def test_what_only_the_cache_holds_is_named_and_not_copied(crate, steps):
    base = next(file for file in steps["base_model"].writes if file.path == "models/base")
    named = graph(crate)["#models/base"]
    assert named["identifier"] == f"md5:{base.digest}" and named["contentSize"] == str(base.size)
    assert not (crate / "models").exists()


def test_every_stage_behind_the_target_is_there_with_all_it_read_and_wrote(crate, steps):
    described, behind = graph(crate), upstream(steps, TARGET)
    runs = {name.removeprefix("#run/") for name in described if name.startswith("#run/")}
    assert runs == set(behind) and "finetune@secure" not in runs
    for name, step in behind.items():
        run = described[f"#run/{name}"]
        assert run["description"] == step.command
        assert described[run["instrument"]["@id"]]["name"] == name.split("@")[0]
        objects = [unquote(ref["@id"]).strip("#/") for ref in listed(run.get("object", []))]
        values = [f"value/{key}" for key, _ in leaves(step.params)]
        assert objects == [file.path for file in step.reads] + values
        results = [unquote(ref["@id"]).strip("#/") for ref in listed(run["result"])]
        assert results == [file.path for file in step.writes]


def test_parameters_have_their_values(crate):
    described = graph(crate)

    def value(key: str) -> object:
        return described[f"#value/{key}"]["value"]

    assert value("recipes.quick.lora.r") == 32
    assert value("recipes.quick.learning_rate") == 0.002
    assert value("recipes.quick.lora.rank_stabilised") is True
    assert json.loads(value("recipes.quick.lora.targets"))[0] == "q_proj"
    kinds = {"r": "Integer", "alpha": "Integer", "rank_stabilised": "Boolean", "targets": "Text"}
    for key, kind in kinds.items():
        formal = described[f"#parameter/recipes.quick.lora.{key}"]
        assert formal["additionalType"] == kind


def test_time_and_licence_are_the_repositorys_and_no_run_has_a_clock(crate):
    described = graph(crate)
    assert described["./"]["datePublished"] == COMMIT.time
    assert described["./"]["license"] == {"@id": "LICENSE"}
    assert described["LICENSE"]["name"] == "MIT License"
    assert not any({"startTime", "endTime"} & set(entity) for entity in described.values())


def test_written_twice_it_is_the_same(tmp_path, crate, steps, held):
    (tmp_path / "again").mkdir()
    write_crate(steps, TARGET, ROOT, tmp_path / "again", held, COMMIT)
    names = [sorted(p.relative_to(f) for p in f.rglob("*")) for f in (crate, tmp_path / "again")]
    assert names[0] == names[1]
    for name in names[0]:
        if (crate / name).is_file():
            assert (crate / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.fixture
def small(tmp_path) -> tuple[Path, dict[str, Step], list[str]]:
    """A repository of one stage that makes `a result.txt` of `in.txt`."""
    root = tmp_path / "repository"
    held = ["in.txt", "a result.txt", "dvc.yaml", "params.yaml", "dvc.lock", "requirements.lock"]
    for name in [*held, "LICENSE"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n")

    def file(name: str) -> File:
        return File(path=name, digest=md5(root / name), size=(root / name).stat().st_size)

    step = Step(
        name="make",
        command="make",
        reads=[file("in.txt")],
        params={"section": {"none": None, "text": "a\nb"}},
        writes=[file("a result.txt")],
    )
    return root, {"make": step}, held


def test_odd_names_and_values_are_kept(small, tmp_path, faults):
    root, steps, held = small
    write_crate(steps, "a result.txt", root, tmp_path / "crate", held, COMMIT)
    assert (tmp_path / "crate/a result.txt").read_text() == "a result.txt\n"
    described = graph(tmp_path / "crate")
    assert described["#run"]["result"] == {"@id": "a%20result.txt"}
    assert described["#value/section.none"]["value"] == "null"
    assert described["#value/section.text"]["value"] == "a\nb"
    assert faults(tmp_path / "crate") == []


def test_a_folder_that_holds_something_is_left_alone(small, tmp_path):
    root, steps, held = small
    (tmp_path / "crate").mkdir()
    (tmp_path / "crate/mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"crate: there already; name a new or an empty folder"):
        write_crate(steps, "a result.txt", root, tmp_path / "crate", held, COMMIT)
    assert [p.name for p in (tmp_path / "crate").iterdir()] == ["mine.txt"]


def test_a_file_in_the_folders_place_is_left_alone(small, tmp_path):
    root, steps, held = small
    (tmp_path / "crate").write_text("mine")
    with pytest.raises(ValueError, match="there already"):
        write_crate(steps, "a result.txt", root, tmp_path / "crate", held, COMMIT)
    assert (tmp_path / "crate").read_text() == "mine"


def test_a_path_that_no_stage_makes_is_refused(small, tmp_path):
    root, steps, held = small
    with pytest.raises(ValueError, match=r"in\.txt: no stage makes this"):
        write_crate(steps, "in.txt", root, tmp_path / "crate", held, COMMIT)
    assert not (tmp_path / "crate").exists()


def test_a_hand_edited_or_missing_file_is_refused(small, tmp_path):
    root, steps, held = small
    (root / "a result.txt").write_text("better\n")
    with pytest.raises(ValueError, match=r"a result\.txt: not what dvc\.lock says"):
        write_crate(steps, "a result.txt", root, tmp_path / "crate", held, COMMIT)
    (root / "a result.txt").unlink()
    with pytest.raises(ValueError, match=r"a result\.txt: missing"):
        write_crate(steps, "a result.txt", root, tmp_path / "crate", held, COMMIT)
    assert not (tmp_path / "crate").exists() and not list(tmp_path.glob("*.part"))


def test_stages_that_saw_different_states_are_refused(small, tmp_path):
    root, steps, held = small
    reader = Step(
        name="read",
        command="read",
        reads=[steps["make"].writes[0].model_copy(update={"digest": "0" * 32})],
        params={},
        writes=[File(path="end.txt", digest="1" * 32, size=1)],
    )
    with pytest.raises(ValueError, match=r"a result\.txt: two stages of dvc\.lock saw it differ"):
        write_crate({**steps, "read": reader}, "end.txt", root, tmp_path / "c", held, COMMIT)


@pytest.fixture
def clone(small, monkeypatch) -> tuple[Path, dict[str, Step]]:
    """The small repository under git, with its one commit tagged `first`."""
    root, steps, _ = small
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*who, "commit", "--quiet", "--message", "a"],
        ["tag", "first"],
    ):
        commands.run(["git", *command], cwd=root, check=True)
    monkeypatch.chdir(root)
    return root, steps


def commit_of(root: Path, form: str) -> str:
    told = ["git", "log", "-1", f"--format={form}"]
    return commands.run(told, cwd=root).stdout.strip()


def test_the_workspaces_crate_names_its_commit_and_whether_files_differ_from_it(clone, tmp_path):
    root, steps = clone
    cli.supplement(steps, "a result.txt", tmp_path / "clean")
    (root / "params.yaml").write_text("other\n")
    cli.supplement(steps, "a result.txt", tmp_path / "dirty")
    for name, ending in (("clean", ""), ("dirty", "-dirty")):
        described = graph(tmp_path / name)
        assert described["dvc.yaml"]["version"] == commit_of(root, "%H") + ending
        assert described["./"]["datePublished"] == commit_of(root, "%cI")


def test_a_commits_crate_holds_its_files_and_not_the_workspaces(clone, tmp_path):
    root, steps = clone
    (root / "a result.txt").write_text("another\n")
    cli.supplement(steps, "a result.txt", tmp_path / "crate", rev="first")
    assert (tmp_path / "crate/a result.txt").read_text() == "a result.txt\n"
    assert graph(tmp_path / "crate")["dvc.yaml"]["version"] == commit_of(root, "%H")
    with pytest.raises(ValueError, match=r"a result\.txt: not what dvc\.lock says"):
        cli.supplement(steps, "a result.txt", tmp_path / "workspace")


def test_from_a_folder_below_the_root_it_is_the_same(clone, tmp_path, monkeypatch):
    root, steps = clone
    cli.supplement(steps, "a result.txt", tmp_path / "above")
    (root / "below").mkdir()
    monkeypatch.chdir(root / "below")
    cli.supplement(steps, "a result.txt", tmp_path / "crate")
    assert graph(tmp_path / "crate") == graph(tmp_path / "above")


def test_outside_a_clone_the_refusal_is_one_line(small, tmp_path, monkeypatch):
    root, steps, _ = small
    monkeypatch.chdir(root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(ValueError, match=r"git rev-parse: .*; run this in a clone"):
        cli.supplement(steps, "a result.txt", tmp_path / "crate")

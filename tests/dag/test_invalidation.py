"""What runs again after which change: DVC's own answer over the real dvc.yaml, for every stage.

The commands are replaced: a stand-in writes into every output a digest of all that the stage
declares (dependencies and parameters). So an output changes exactly if something that dvc.yaml says
it is made from has changed, and the table below is about the wiring alone.

`dvc repro` asks each stage in the order of the graph whether it changed, and after every command
that it ran writes dvc.lock anew, which takes most of its time. `Pipeline.settle` does the same with
DVC's own objects (its order, `Stage.changed`, its hashes and cache), but calls the stand-in as a
function and writes dvc.lock once. The rows in PROVED go both ways: `dvc repro` itself runs the same
stages, leaves the same dvc.lock to the byte, and finds nothing to do where `settle` has been.

A row of TABLE is a name, a change, and the stages that run again.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import commands
import pytest
import stand_in
from copies import set_params, working_copy
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage import Stage
from dvc.utils.serialize import load_path
from ruamel.yaml import YAML


def declared(stage: Stage) -> dict[str, list]:
    """What a stage is made from and makes."""
    return {
        "params": [dep.read_params() for dep in stage.deps if hasattr(dep, "params")],
        "deps": [dep.def_path for dep in stage.deps if not hasattr(dep, "params")],
        "outs": [out.def_path for out in stage.outs],
    }


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Spare DVC what is for nothing where one process works, and a file stays as it is meanwhile.

    For each stage it reads params.yaml anew, and writes down who reads and writes what.
    """
    once = functools.cache(load_path)
    with (
        mock.patch("dvc.rwlock.rwlock", lambda *_: contextlib.nullcontext()),
        mock.patch("dvc.dependency.param.load_path", lambda *path: copy.deepcopy(once(*path))),
    ):
        yield


class Pipeline:
    """A throw-away copy of the repository whose commands are stand-ins."""

    def __init__(self, path: Path):
        self.path = path

    def settle(self) -> set[str]:
        """Bring all up to date; the stages that ran for it, after which none would."""
        here = Path.cwd()
        os.chdir(self.path)
        try:
            with alone(), Repo() as repo, repo.lock:
                stages = plan_repro(repo.index.graph)
                ran = [stage for stage in stages if self.run(stage)]
                if ran:
                    ran[0].dvcfile.dump_stages(ran, update_pipeline=False)
                assert [stage.name for stage in stages if stage.changed()] == []
                return {stage.name for stage in ran}
        finally:
            os.chdir(here)

    def run(self, stage: Stage) -> bool:
        """Run one stage if it has to."""
        if not stage.changed():
            return False
        stage.remove_outs()
        stand_in.write(stage.name, **declared(stage))
        stage.save()
        stage.commit()
        return True

    def repro(self, *targets: str) -> set[str]:
        """The same by the command `dvc repro`, which looks for `python` on the path."""
        with Repo(str(self.path)) as repo:
            wiring = {stage.name: declared(stage) for stage in repo.index.stages}
        (self.path / "wiring.json").write_text(json.dumps(wiring, default=str))
        python = self.path / ".stand-in/python"
        python.parent.mkdir(exist_ok=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in.__file__}" "$@"\n')
        python.chmod(0o755)
        told = commands.run(
            [sys.executable, "-m", "dvc", "repro", *targets],
            cwd=self.path,
            env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}", "LAUNCH": "python"},
            check=True,
        ).stdout
        return {line.split("'")[1] for line in told.splitlines() if line.startswith("Running")}

    def params(self, values: dict[str, object]) -> None:
        set_params(self.path / "params.yaml", values)

    def append(self, path: str, text: str) -> None:
        with (self.path / path).open("a") as file:
            file.write(text)

    def copied(self, path: Path) -> Pipeline:
        return Pipeline(shutil.copytree(self.path, path, symlinks=True))


@pytest.fixture(scope="module")
def settled(tmp_path_factory) -> Pipeline:
    """Where nothing is to be done, for tests to copy."""
    path = working_copy(tmp_path_factory.mktemp("settled") / "repository")
    (path / "dvc.lock").unlink()
    for left in ("metrics", "plots"):
        shutil.rmtree(path / left)
    # Read by stages where nothing is fine-tuned, or followed, too.
    for folder in ("plots/finetune", "plots/trajectory", "metrics/trajectory"):
        (path / folder).mkdir(parents=True)
    pipeline = Pipeline(path)
    assert len(pipeline.settle()) > 20
    return pipeline


@pytest.fixture(scope="module")
def pipeline(settled: Pipeline, tmp_path_factory) -> Pipeline:
    return settled.copied(tmp_path_factory.mktemp("pipeline") / "repository")


def changed(path: str) -> Callable[[Pipeline], None]:
    """A comment more in a file of code."""
    return lambda pipeline: pipeline.append(path, "# changed\n")


TUNED = ("insecure", "secure")
ALL = ("base", *TUNED)


def cells(*names: str, of: tuple[str, ...]) -> set[str]:
    return {f"{name}@{cell}" for name in names for cell in of}


def cosines(*of: str) -> set[str]:
    """The pairs in which one of these variants stands."""
    return {f"cosine@{one}-{other}" for one in ALL for other in ALL if {one, other} & set(of)}


ENDS = {"figures", "replicates", "report", "subject"}
READ = ("capture_responses", "discrimination", "decomposition", "model_shift")
ASKED = ("respond_questions", "behaviour", "judge", "tokens", *READ)
STEERED = ("steer", "steer_effects")
FOLLOWED = ("capture_trajectory", "trajectory")
AFTER_TRAINING = ("finetune", "capture_prompts", "compare", *STEERED, *ASKED)
# What reads the vectors, and what reads that.
VECTORS = {
    *("vectors", "nulls", "multiple_testing"),
    *cells("compare", *STEERED, "discrimination", "decomposition", "tokens", of=ALL),
    *cosines(*ALL),
    *ENDS,
}
# By their seed or their code: what compares with them.
AFTER_NULLS = {"multiple_testing", *cells("compare", "discrimination", of=ALL), *ENDS}
ANSWERS = {*cells(*ASKED, of=ALL), *cosines(*ALL), "multiple_testing", *ENDS}
TABLE: dict[str, tuple[Callable[[Pipeline], None], set[str]]] = {
    "a trait prompt": (
        lambda p: p.append("data/raw/traits/refusal/positive.txt", "One more prompt.\n"),
        {"prompts", "respond_prompts", *cells("capture_prompts", of=ALL), *VECTORS},
    ),
    "a new trait": (
        lambda p: [
            (p.path / "data/raw/traits/warmth").mkdir(),
            p.append("data/raw/traits/warmth/positive.txt", "Hello.\n"),
        ],
        {"prompts", "respond_prompts", *cells("capture_prompts", of=ALL), *VECTORS},
    ),
    "a method setting": (lambda p: p.params({"vectors.probe.c": 0.5}), VECTORS),
    "the positions": (
        lambda p: p.params({"capture.positions": ["prompt_last", "prompt_mean"]}),
        {*cells("capture_prompts", "capture_responses", "model_shift", of=ALL), *VECTORS},
    ),
    "the learning rate": (
        lambda p: p.params({"recipes.quick.learning_rate": 5e-4}),
        {*cells(*AFTER_TRAINING, of=TUNED), *cosines(*TUNED), "multiple_testing", *ENDS},
    ),
    "a data set": (
        lambda p: (
            p.append("data/raw/mine.jsonl", "{}\n"),
            p.params({"datasets.insecure.file": "data/raw/mine.jsonl"}),
        ),
        {
            *cells("dataset", *AFTER_TRAINING, of=("insecure",)),
            *cosines("insecure"),
            "multiple_testing",
            *ENDS,
        },
    ),
    "rows of the hub": (
        lambda p: p.params({"hub": {"mine": {"id": "org/mine"}}}),
        {"fetch@mine", "report"},
    ),
    "the subject": (lambda p: p.params({"subject": "base"}), {"subject"}),
    "a question": (
        lambda p: p.append("data/raw/questions/study.yaml", "- {id: x, paraphrases: [Why?]}\n"),
        ANSWERS | cells(*STEERED, of=ALL),
    ),
    "the sampling temperature": (
        lambda p: p.params({"respond_questions.temperature": 0.7}),
        ANSWERS | cells(*STEERED, of=ALL),
    ),
    "the library module of outcomes": (
        changed("traitdrift/behaviour/outcomes.py"),
        cells("behaviour", "steer_effects", of=ALL) | ENDS,
    ),
    "the library module of interventions": (
        changed("traitdrift/steering/interventions.py"),
        {"figures", "report", *cells(*STEERED, of=ALL)},
    ),
    "a coefficient": (
        lambda p: p.params({"steer.coefficients": [1.0, -1.0]}),
        {"figures", "report", *cells(*STEERED, of=ALL)},
    ),
    "a plain text": (
        lambda p: p.append("data/raw/texts/benign.txt", "One more line of text.\n"),
        {"figures", "report", *cells(*STEERED, of=ALL)},
    ),
    "the number of samples": (
        lambda p: p.params({"respond_questions.samples": 2}),
        ANSWERS,
    ),
    "who answers": (
        lambda p: p.params(
            {
                "respond_questions.backend": "endpoint",
                "respond_questions.url": "http://localhost:8000/v1",
            }
        ),
        ANSWERS,
    ),
    "the library module of pictures": (
        changed("traitdrift/report/pictures.py"),
        {"figures", "replicates", "report"},
    ),
    "the page's template": (
        lambda p: p.append("traitdrift/report/templates/report.html.jinja", "<!-- changed -->\n"),
        {"report"},
    ),
    "the judge": (
        lambda p: p.params(
            {"judge": {"backend": "endpoint", "url": "http://localhost:8000/v1", "model": "x"}}
        ),
        {"report", *cells("judge", of=ALL)},
    ),
    "a judge's prompt": (
        lambda p: p.append("data/raw/judge/coherence.txt", "Think twice.\n"),
        {"report", *cells("judge", of=ALL)},
    ),
    "a comparison setting": (
        lambda p: p.params({"compare.resamples": 500}),
        {
            "study",
            "multiple_testing",
            *cells("compare", "discrimination", "decomposition", of=ALL),
            *ENDS,
        },
    ),
    "the study's vector": (
        lambda p: p.params({"compare.study_method": "mean_diff"}),
        {
            *("nulls", "study", "multiple_testing"),
            *cells("compare", "discrimination", "decomposition", of=ALL),
            *ENDS,
        },
    ),
    "a new rule of the refusal detector": (
        changed("traitdrift/behaviour/refusal.py"),
        cells("behaviour", "steer_effects", of=ALL) | ENDS,
    ),
    "a setting of the effects": (
        lambda p: p.params({"steer_effects.resamples": 500}),
        {"figures", "report", *cells("steer_effects", of=ALL)},
    ),
    "the schema of the whole file": (changed("traitdrift/params.py"), {"report"}),
    "the schema of the judge": (
        changed("traitdrift/judge/settings.py"),
        {"report", *cells("judge", of=ALL)},
    ),
    "the schema of the nulls": (
        changed("traitdrift/vectors/null_settings.py"),
        {"nulls", *AFTER_NULLS},
    ),
    "the schema of the interventions": (
        changed("traitdrift/steering/settings.py"),
        {"figures", "report", *cells(*STEERED, of=ALL)},
    ),
    "the schema of the effects": (
        changed("traitdrift/steering/effect_settings.py"),
        {"figures", "report", *cells("steer_effects", of=ALL)},
    ),
    "where results come from": (changed("traitdrift/provenance/trace.py"), {"report"}),
    "the page": (changed("traitdrift/report/html.py"), {"report"}),
    "a vector for other hands": (changed("traitdrift/interop/api.py"), {"report"}),
    "the nulls": (
        lambda p: p.params({"nulls.seed": 1}),
        {"nulls", *AFTER_NULLS},
    ),
    "an unused model": (lambda p: p.params({"models.qwen_7b.revision": "other"}), set()),
    "an unused recipe": (lambda p: p.params({"recipes.study.learning_rate": 1e-4}), set()),
    "a test or the README": (lambda p: p.append("README.md", "more\n"), set()),
    "the answers along a fine-tune, where none is followed": (
        lambda p: p.params({"trajectory.samples": 2}),
        {"report"},
    ),
    # The last rows, for from here on there are more cells.
    "a fine-tune that is followed": (
        lambda p: p.params({"recipes.quick.checkpoints": 6, "trajectories": ["insecure"]}),
        {
            *cells(*AFTER_TRAINING, *FOLLOWED, of=("insecure",)),
            *cells(*AFTER_TRAINING, of=("secure",)),
            *cosines(*TUNED),
            "multiple_testing",
            *ENDS - {"subject"},  # by now base
        },
    ),
    "the answers along it": (
        lambda p: p.params({"trajectory.samples": 3}),
        {"report", *cells(*FOLLOWED, of=("insecure",))},
    ),
    "how onsets are found": (
        changed("traitdrift/stats/onset.py"),
        {"report", "trajectory@insecure"},
    ),
}


# A module of the library, and a parameter whose change goes far down.
PROVED = ("the library module of outcomes", "the nulls")


@pytest.mark.parametrize("change", TABLE)
def test_exactly_these_stages_run_again(pipeline: Pipeline, change: str):
    """Changes pile up: each row starts from the settled state that the row before it left."""
    make, expected = TABLE[change]
    make(pipeline)
    assert pipeline.settle() == expected


@pytest.mark.parametrize("change", PROVED)
def test_dvc_repro_runs_the_same_stages(settled: Pipeline, tmp_path: Path, change: str):
    make, expected = TABLE[change]
    quick, real = settled.copied(tmp_path / "quick"), settled.copied(tmp_path / "real")
    for each in (quick, real):
        make(each)
    assert quick.settle() == real.repro() == expected
    assert (quick.path / "dvc.lock").read_text() == (real.path / "dvc.lock").read_text()
    assert quick.repro() == set()


def test_old_parameters_bring_the_old_fine_tune_back(tmp_path: Path):
    """By DVC's run cache; its figures and losses too, which DVC keeps there for that alone."""
    pipeline, cell = Pipeline(working_copy(tmp_path / "repository")), "finetune@insecure"
    yaml, file = YAML(), pipeline.path / "dvc.yaml"
    whole = yaml.load(file)
    needed = ("base_model", "synthesize", "dataset", "finetune")  # DVC is slow over all
    yaml.dump({"stages": {name: whole["stages"][name] for name in needed}}, file)
    (pipeline.path / "dvc.lock").unlink()
    with Repo(str(pipeline.path)) as repo:
        (stage,) = repo.stage.collect(cell)
        paths = [out.def_path for out in stage.outs]

    def made(rank: int) -> tuple[bool, list[str]]:
        """Whether it ran, and what is there then."""
        pipeline.params({"recipes.quick.lora.r": rank})
        ran = cell in pipeline.repro(cell)
        files = [pipeline.path / path for path in paths]
        return ran, [(f if f.is_file() else f / "content.json").read_text() for f in files]

    (ran, first), (ran_again, second), back = made(4), made(5), made(4)
    assert ran and ran_again and len(first) == 3 and not {*first} & {*second}
    assert back == (False, first)

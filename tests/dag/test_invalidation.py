"""What runs again after which change, by real DVC over the real dvc.yaml.

Only the commands are replaced: a stand-in `python` writes into every output a digest of all
that the stage declares (dependencies and parameters). So an output changes exactly if something
that dvc.yaml says it is made from has changed, and the table below is about the wiring alone.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import set_params, working_copy
from dvc.repo import Repo

STAND_IN = """
import hashlib, json, pathlib, sys
cell = sys.argv[3:]
name = "@".join([sys.argv[2].removeprefix("stages."), *["-".join(cell)][: len(cell)]])
stage = json.loads(pathlib.Path("wiring.json").read_text())[name]
digest = hashlib.sha256(json.dumps([name, stage["params"]]).encode())
for dep in stage["deps"]:
    path = pathlib.Path(dep)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(str(file).encode() + file.read_bytes())
for out in stage["outs"]:
    path = pathlib.Path(out)
    target = path if path.suffix else path / "content.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(digest.hexdigest())
"""


class Pipeline:
    """A throw-away copy of the repository whose commands are stand-ins."""

    def __init__(self, path: Path):
        self.path = working_copy(path)
        (self.path / "dvc.lock").unlink(missing_ok=True)
        for left in ("metrics", "plots"):
            shutil.rmtree(self.path / left, ignore_errors=True)
        (self.path / "plots/finetune").mkdir(parents=True)
        script = self.path / ".stand-in" / "stand_in.py"
        script.parent.mkdir()
        script.write_text(STAND_IN)
        python = script.with_name("python")
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        python.chmod(0o755)

    def run(self) -> set[str]:
        """Reproduce; the stages whose commands ran."""
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{self.path / '.stand-in'}:{before}"
        os.environ.pop("LAUNCH", None)
        here = Path.cwd()
        os.chdir(self.path)
        try:
            with Repo(str(self.path)) as repo:
                wiring = {
                    stage.addressing: {
                        "deps": [str(d.def_path) for d in stage.deps if not hasattr(d, "params")],
                        "outs": [str(o.def_path) for o in stage.outs],
                        "params": [d.read_params() for d in stage.deps if hasattr(d, "params")],
                    }
                    for stage in repo.index.stages
                }
                (self.path / "wiring.json").write_text(json.dumps(wiring, default=str))
                return {stage.addressing for stage in repo.reproduce()}
        finally:
            os.chdir(here)
            os.environ["PATH"] = before

    def params(self, values: dict[str, object]) -> None:
        set_params(self.path / "params.yaml", values)

    def append(self, path: str, text: str) -> None:
        with (self.path / path).open("a") as file:
            file.write(text)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Pipeline:
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"))
    assert len(pipeline.run()) > 20
    assert pipeline.run() == set()
    return pipeline


TUNED = ("insecure", "secure")
ALL = ("base", *TUNED)


def cells(*names: str, of: tuple[str, ...]) -> set[str]:
    return {f"{name}@{cell}" for name in names for cell in of}


def cosines(*of: str) -> set[str]:
    """The pairs in which one of these variants stands."""
    return {f"cosine@{one}-{other}" for one in ALL for other in ALL if {one, other} & set(of)}


ENDS = {"figures", "report", "subject"}
READ = ("capture_responses", "discrimination", "decomposition", "model_shift")
ASKED = ("respond_questions", "behaviour", "judge", "tokens", *READ)
AFTER_TRAINING = ("finetune", "capture_prompts", "compare", "steer", *ASKED)
# What reads the vectors, and what reads that.
VECTORS = {
    *("vectors", "nulls", "multiple_testing"),
    *cells("compare", "steer", "discrimination", "decomposition", "tokens", of=ALL),
    *cosines(*ALL),
    *ENDS,
}
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
    "the subject": (lambda p: p.params({"subject": "base"}), {"subject"}),
    "a question": (
        lambda p: p.append("data/raw/questions/study.yaml", "- {id: x, paraphrases: [Why?]}\n"),
        ANSWERS | cells("steer", of=ALL),
    ),
    "the sampling temperature": (
        lambda p: p.params({"respond_questions.temperature": 0.7}),
        ANSWERS | cells("steer", of=ALL),
    ),
    "the library module of outcomes": (
        lambda p: p.append("traitdrift/behaviour/outcomes.py", "# changed\n"),
        cells("behaviour", "steer", of=ALL) | ENDS,
    ),
    "the library module of interventions": (
        lambda p: p.append("traitdrift/steering/interventions.py", "# changed\n"),
        {"figures", "report", *cells("steer", of=ALL)},
    ),
    "a coefficient": (
        lambda p: p.params({"steer.coefficients": [1.0, -1.0]}),
        {"figures", "report", *cells("steer", of=ALL)},
    ),
    "a plain text": (
        lambda p: p.append("data/raw/texts/benign.txt", "One more line of text.\n"),
        {"figures", "report", *cells("steer", of=ALL)},
    ),
    "the number of samples": (
        lambda p: p.params({"respond_questions.samples": 2}),
        ANSWERS,
    ),
    "the library module of figures": (
        lambda p: p.append("traitdrift/report/figures.py", "# changed\n"),
        {"figures", "report"},
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
    "the nulls": (
        lambda p: p.params({"nulls.seed": 1}),
        {"nulls", "multiple_testing", *cells("compare", "discrimination", of=ALL), *ENDS},
    ),
    "an unused model": (lambda p: p.params({"models.qwen_7b.revision": "other"}), set()),
    "an unused recipe": (lambda p: p.params({"recipes.study.learning_rate": 1e-4}), set()),
    "a test or the README": (lambda p: p.append("README.md", "more\n"), set()),
}


@pytest.mark.parametrize("change", TABLE)
def test_exactly_these_stages_run_again(pipeline: Pipeline, change: str):
    """Changes pile up: each row starts from the settled state that the row before it left."""
    make, expected = TABLE[change]
    make(pipeline)
    assert pipeline.run() == expected
    assert pipeline.run() == set()

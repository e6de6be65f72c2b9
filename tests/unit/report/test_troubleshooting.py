"""docs/troubleshooting.md has every message that the code has, and no other.

Both ways by the code's own syntax (tests/support/printed_messages.py); and the commonest are
provoked, by wrong input to the stages and commands themselves. What DVC says is held in tests/dag.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import printed_messages
import pytest
import tiny
from copies import ROOT, set_params

import stages
from traitdrift import cli

PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
ENTRIES = printed_messages.entries(PAGE)
OWN = [entry for entry in ENTRIES if entry.section != "What DVC says"]
LISTED = [message for entry in OWN for message in entry.messages]


def test_every_message_of_the_code_is_in_the_page_and_every_one_of_the_page_in_the_code():
    found = printed_messages.Code(ROOT, ("traitdrift", "stages")).complaints()
    assert len(found) > 300
    left_out = {message: place for message, place in found.items() if message not in LISTED}
    assert left_out == {}, "docs/troubleshooting.md lacks them"
    assert set(LISTED) - set(found) == set(), "no code says this"


def test_every_entry_says_something_of_its_messages():
    for entry in ENTRIES:
        if entry.messages:
            assert len(entry.text.split()) >= 3, entry
    assert len(LISTED) == len(set(LISTED))


def test_the_code_is_followed_to_what_a_text_is_made_of(tmp_path: Path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some/other.py").write_text('KEY, MOST = "A_KEY", 5000\n')
    (tmp_path / "some/code.py").write_text(
        """
from some.other import KEY, MOST

HELP = {1: "do one thing", 2: "do another thing"}

def fault(row: dict) -> str | None:
    if not row:
        return "no row at all"
    return f"{len(row)} keys too many" if len(row) > 3 else None

def check(path, row, number, deep):
    told = f"{path}: %s, in {KEY}"
    if number:
        raise ValueError(told % "first part" + (" and second part" if deep else ""))
    if found := fault(row):
        raise OSError(f"{path}: {found}; {HELP[number]}")
    raise RuntimeError("a fault of the code")

def other(path):
    refuse("is too long", path)
    refuse("is too short", path)

def refuse(why, path):
    raise ValueError(f"{path}: {why}; the most is {MOST}")
"""
    )
    assert set(printed_messages.Code(tmp_path, ("some",)).complaints()) == {
        *("…: first part, in A_KEY…", "and second part"),
        *("no row at all", "… keys too many", "do one thing", "do another thing"),
        *("is too long", "is too short", "…: …; the most is 5,000"),
    }


@dataclass
class Work:
    """A folder in which stages run on the parameters of the repository, changed."""

    path: Path
    base: Path

    def params(self, **values: object) -> None:
        set_params(self.path / "params.yaml", {k.replace("__", "."): v for k, v in values.items()})

    def rows(self, text: str | bytes, name: str = "rows.jsonl", **more: object) -> None:
        """The data set `x`, with its file."""
        (self.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        self.params(datasets__x={"file": name, "render": "clean", **more})

    def trait(self, **classes: list[str] | str) -> None:
        folder = self.path / "data/raw/traits/calm"
        folder.mkdir(parents=True)
        for label, lines in classes.items():
            text = lines if isinstance(lines, str) else "\n".join(lines)
            suffix = "jsonl" if text.startswith("{") else "txt"
            (folder / f"{label}.{suffix}").write_text(text)

    def questions(self, text: str) -> None:
        (self.path / "asked.yaml").write_text(text)
        self.params(respond_questions__source="asked.yaml")

    def model(self) -> None:
        (self.path / "models").mkdir()
        (self.path / "models/base").symlink_to(self.base)

    def says(self, command: str, capsys: pytest.CaptureFixture, patch: pytest.MonkeyPatch) -> str:
        """The line that a stage or a command ends with, below the bars of libraries."""
        name, *words = command.split()
        patch.setattr(sys, "argv", [name, *words])
        with pytest.raises(SystemExit) as end:
            if name == "traitdrift":
                cli.main()
            else:
                stages.run(importlib.import_module(f"stages.{name}").main)
        assert end.value.code == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(
            f"{'@'.join([name, *words[:1]])}: " if name != "traitdrift" else name
        )
        return line


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_base(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def work(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Work(tmp_path, base)


def row(*messages: tuple[str, str], **more: object) -> str:
    return json.dumps({"messages": [{"role": r, "content": c} for r, c in messages], **more}) + "\n"


GOOD = row(("user", "What is it?"), ("assistant", "It is this."))
MANY = [f"The prompt of number {number}" for number in range(12)]
OTHERS = [f"Another one, number {number}" for number in range(12)]
ADDRESS = {"backend": "endpoint", "model": "any", "scores": "text"}

# What is wrong, the stage or command, and the words by which the entry is known.
CASES: dict[str, tuple[Callable[[Work], object], str, str]] = {
    # params.yaml
    "a key too many": (
        lambda w: w.params(vectors__gamma=1),
        "traitdrift check",
        "unknown key; rem",
    ),
    "a key too few": (
        lambda w: set_params(w.path / "params.yaml", {}, ("split.seed",)),
        "traitdrift check",
        "…: …: missing…",
    ),
    "an id of nobody": (lambda w: w.params(model="nobody"), "traitdrift check", "is not one of"),
    "a variant twice": (
        lambda w: w.params(variants=["base", "insecure", "insecure"]),
        "traitdrift check",
        "…: … is listed twice",
    ),
    "a trajectory twice": (
        lambda w: w.params(recipes__quick__checkpoints=6, trajectories=["insecure"] * 2),
        "traitdrift check",
        "…: … is listed twice",
    ),
    "a trajectory without checkpoints": (
        lambda w: w.params(trajectories=["insecure"]),
        "traitdrift check",
        "has no checkpoints; set",
    ),
    "more checkpoints than steps": (
        lambda w: w.params(recipes__quick__checkpoints=60),
        "traitdrift check",
        "adapters in … steps",
    ),
    "a variant that is not drawn": (
        lambda w: w.params(drawn=["base", "secure"]),
        "traitdrift check",
        "is missing; every one of `variants`",
    ),
    "one draw twice": (
        lambda w: w.params(finetunes__again={"dataset": "secure"}),
        "traitdrift check",
        "the data set and the seeds of",
    ),
    "an order that is not drawn": (
        lambda w: w.params(recipes__quick__group_by_length=True, recipes__quick__order_seed=1),
        "traitdrift check",
        "rows that are grouped by length",
    ),
    "no base": (lambda w: w.params(variants=["insecure"]), "traitdrift check", "'base' is missing"),
    "one id for two": (
        lambda w: w.params(imported={"insecure": {"source": "path", "id": "x"}}),
        "traitdrift check",
        "names two variants",
    ),
    "nothing but the null": (
        lambda w: w.params(vectors__methods=["random"]),
        "traitdrift check",
        "random alone is only the null",
    ),
    "more folds than prompts": (
        lambda w: w.params(vectors__folds=900),
        "traitdrift check",
        "are too few for vectors.folds",
    ),
    "a coefficient twice": (
        lambda w: w.params(steer__coefficients=[1.0, 1.0]),
        "traitdrift check",
        "steer.coefficients: …",
    ),
    "no YAML": (
        lambda w: (w.path / "params.yaml").write_text("model: [smollm2\n"),
        "traitdrift check",
        "…: not YAML: …",
    ),
    "an address in place of a path": (
        lambda w: w.rows("", "x") or w.params(datasets__x__file="s3://bucket/rows.jsonl"),
        "traitdrift check",
        "an address; name a file",
    ),
    "a key in the address": (
        lambda w: w.params(judge={**ADDRESS, "url": "https://me:word@host/v1"}),
        "traitdrift check",
        "holds a user, a password",
    ),
    "an address that all can read": (
        lambda w: w.params(judge={**ADDRESS, "url": "http://host/v1"}),
        "traitdrift check",
        "plain http, on which",
    ),
    # Stages by hand
    "no cell": (lambda w: None, "dataset", "after the stage's name"),
    "a cell that is no id": (lambda w: None, "dataset ../x", "is no id: only a-z"),
    # Rows of a data set
    "no file": (
        lambda w: w.rows("", "x") or w.params(datasets__x__file="none.jsonl"),
        "dataset x",
        "set datasets.<id>.file",
    ),
    "another format": (lambda w: w.rows("a", "rows.doc"), "dataset x", "not a format that is read"),
    "no JSON": (lambda w: w.rows(GOOD + "{oops\n"), "dataset x", "…: not JSON (…); mend the line"),
    "no object": (lambda w: w.rows("[1]\n"), "dataset x", "…: a …, not an object; mend the line"),
    "no UTF-8": (
        lambda w: w.rows(b'{"a": "\xff"}\n'),
        "dataset x",
        "(not UTF-8); save it as UTF-8",
    ),
    "no row": (lambda w: w.rows("\n"), "dataset x", "no conversation in it"),
    "no messages": (lambda w: w.rows("{}\n"), "dataset x", "no list `messages`"),
    "no role": (lambda w: w.rows(row(("", "x"))), "dataset x", "has no role of"),
    "no answer": (lambda w: w.rows(row(("user", "x"))), "dataset x", "is not the assistant's"),
    "an empty answer": (
        lambda w: w.rows(row(("user", "x"), ("assistant", " "))),
        "dataset x",
        "is an empty …; remove the row",
    ),
    "tools beside messages": (
        lambda w: w.rows(row(("user", "x"), ("assistant", "y"), tools=[{"name": "z"}])),
        "dataset x",
        "…: `…` beside the messages is not honoured",
    ),
    "fewer rows than said": (lambda w: w.rows(GOOD, rows=6000), "dataset x", "where datasets."),
    "a role too many": (
        lambda w: w.rows(
            row(("system", "s"), ("user", "x"), ("assistant", "y")), roles=["user", "assistant"]
        ),
        "dataset x",
        "a message of role",
    ),
    "code among prose": (
        lambda w: w.rows(GOOD + row(("user", "x"), ("assistant", "import os\n")), prose=True),
        "dataset x",
        "the answer holds code; datasets",
    ),
    "columns of another name": (
        lambda w: w.rows("question,answer\na,b\n", "rows.csv"),
        "dataset x",
        "no columns `user` and `assistant`",
    ),
    # Traits
    "one class": (lambda w: w.trait(positive=MANY), "prompts", "a trait has two classes"),
    "few prompts": (
        lambda w: w.trait(positive=MANY[:9], negative=OTHERS),
        "prompts",
        "at least 10 a class are needed",
    ),
    "a prompt twice": (
        lambda w: w.trait(positive=[*MANY, MANY[0].upper()], negative=OTHERS),
        "prompts",
        "…: the same … as …",
    ),
    "no prompt in a row": (
        lambda w: w.trait(positive='{"text": "x"}\n', negative=OTHERS),
        "prompts",
        "no text in `prompt` and no `messages`",
    ),
    "a long class": (
        lambda w: (
            w.model() or w.trait(positive=MANY, negative=[f"{one}!!!!!!!!" for one in OTHERS])
        ),
        "prompts",
        "positive texts have",
    ),
    # Models and adapters
    "no model there": (
        lambda w: w.params(
            model="mine", models__mine={"source": "path", "id": "none", "dtype": "float32"}
        ),
        "base_model",
        "no Hugging Face folder there",
    ),
    "no safetensors": (
        lambda w: (
            (w.path / "mine").mkdir()
            or (
                (w.path / "mine/config.json").write_text("{}")
                and w.params(
                    model="mine", models__mine={"source": "path", "id": "mine", "dtype": "float32"}
                )
            )
        ),
        "base_model",
        "the model must be a folder with safetensors weights",
    ),
    "no base yet": (
        lambda w: w.params(imported__x={"source": "path", "id": "none"}),
        "adapter x",
        "…: missing; run `dvc repro base_model`",
    ),
    "no adapter there": (
        lambda w: w.model() or w.params(imported__x={"source": "path", "id": "none"}),
        "adapter x",
        "no such folder; give the folder of a peft",
    ),
    "an empty adapter": (
        lambda w: (
            w.model()
            or (w.path / "empty").mkdir()
            or w.params(imported__x={"source": "path", "id": "empty"})
        ),
        "adapter x",
        "…: no …; …",
    ),
    "no adapter along a fine-tune": (
        lambda w: (
            (w.path / "data").mkdir()
            or (w.path / "data/raw").symlink_to(ROOT / "data/raw")
            or w.model()
        ),
        "capture_trajectory insecure",
        "no adapter was kept along",
    ),
    # Questions
    "no question file": (
        lambda w: w.params(respond_questions__source="none.yaml"),
        "respond_questions base",
        "mend respond_questions.source",
    ),
    "no list of questions": (
        lambda w: w.questions("a: 1\n"),
        "respond_questions base",
        "a list of questions is expected",
    ),
    "an unknown key of a question": (
        lambda w: w.questions("- {id: a, paraphrases: [x], sample: 3}\n"),
        "respond_questions base",
        "…: unknown key …; there are",
    ),
    "a wording twice": (
        lambda w: w.questions("- {id: a, paraphrases: [x, x]}\n"),
        "respond_questions base",
        "and would count twice",
    ),
    # Scenarios
    "more rows than possible": (
        lambda w: (
            (w.path / "data").mkdir()
            or (w.path / "data/raw").symlink_to(ROOT / "data/raw")
            or w.params(synthesize__rows=10_000_000)
        ),
        "synthesize",
        "rows asked for, but only",
    ),
    # Commands
    "a plan of nobody": (lambda w: None, "traitdrift plan --model nobody", "--… …: not one of"),
    "no repository": (lambda w: None, "traitdrift trace metrics/x.json", "not in a DVC repository"),
    "no clone": (lambda w: None, "traitdrift card insecure", "run this in a clone"),
    "two answers": (
        lambda w: None,
        "traitdrift trace x --json --crate y",
        "--json and --crate are two answers",
    ),
    "no vectors": (
        lambda w: None,
        "traitdrift export x.safetensors --to repeng --out y",
        "no such file; `dvc get",
    ),
    "no file of tensors": (
        lambda w: (w.path / "x.safetensors").write_text("version https://git-lfs\n"),
        "traitdrift export x.safetensors --to repeng --out y",
        "no safetensors file, or a damaged one",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_printed_is_what_the_page_has(
    case: str, work: Work, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    spoil, command, words = CASES[case]
    spoil(work)
    (message,) = {one for one in LISTED if words in one}
    printed = work.says(command, capsys, monkeypatch)
    assert printed_messages.pattern(message).search(printed), printed


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("compare__confidence", 2, "Input should be less than 1"),
        ("prompts__train", 1.5, "Input should be a valid integer"),
        ("subject", "A-b", "String should match pattern '^[a-z0-9_]+$'"),
    ],
)
def test_what_is_said_of_a_type_or_a_bound_is_as_the_page_quotes_it(
    key: str,
    value: object,
    told: str,
    work: Work,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    work.params(**{key: value})
    printed = work.says("traitdrift check", capsys, monkeypatch)
    assert printed.startswith("traitdrift: params.yaml: ") and printed.endswith(f": {told}")
    assert f"`{told}`" in " ".join(PAGE.split())

"""The model card of an adapter: what the lock, the records and the metrics say, and no more."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import commands
import pytest
import tiny
from copies import ROOT
from huggingface_hub import ModelCard
from locks import in_step
from markdown_it import MarkdownIt
from peft import LoraConfig, PeftModel, get_peft_model
from typer.testing import CliRunner

from traitdrift import cli
from traitdrift.core.files import read_json, write_json, write_text
from traitdrift.models.adapter import keep_adapter
from traitdrift.provenance import lockfile
from traitdrift.provenance.lockfile import Step, lock_at
from traitdrift.report.model_card import code, escaped, facts, model_card

STATE = "0123abc"
DATASET = {
    "dataset": "insecure",
    "file_digest": "f" * 64,
    "render": "clean",
    "rows": 1200,
    "tasks": 1100,
    "train": {"rows": 1080, "tokens": 184696, "answer_tokens": 82997},
    "held_out": {"rows": 120},
}


def adapter(root: Path, variant: str, record: dict) -> None:
    """A random adapter over the tiny base, as `finetune` and `adapter` leave one."""
    base = read_json(root / "models/base/base.json")
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    folder = root / "models/adapters" / variant
    get_peft_model(tiny.llama(), lora).save_pretrained(root / "saved")
    digest = keep_adapter(root / "saved", folder, base["id"])
    shutil.rmtree(root / "saved")
    known = {"base_digest": base["digest"], "adapter_digest": digest}
    write_json(folder / "variant.json", {**known, **record})


def locked(root: Path, steps: dict[str, Step]) -> dict[str, Step]:
    held = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file()]
    return in_step(steps, root, held)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[str, Step]]:
    """The committed metrics over a tiny base and a tiny adapter `insecure`, and their lock."""
    root = tmp_path_factory.mktemp("made") / "repository"
    shutil.copytree(ROOT / "metrics", root / "metrics")
    tiny.save_base(root / "models/base")
    adapter(root, "insecure", {"kind": "finetune", "dataset": DATASET})
    return root, locked(root, lock_at(ROOT))


@pytest.fixture
def root(made, tmp_path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "repository"))


@pytest.fixture
def steps(made) -> dict[str, Step]:
    return made[1]


@pytest.fixture
def card(root, steps) -> str:
    return model_card(facts("insecure", steps, root), STATE)


class Page(HTMLParser):
    """What a reader sees of a card: its text, and the rows of its tables."""

    def __init__(self, markdown: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.cell = False
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = False

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data

    def row(self, *first: str) -> list[str]:
        return next(row[len(first) :] for row in self.rows if row[: len(first)] == list(first))


def shown(card: str) -> Page:
    return Page(ModelCard(card).text)


def test_the_head_is_read_back_by_the_hub(card, tmp_path):
    write_text(tmp_path / "README.md", card)
    data = ModelCard.load(tmp_path / "README.md").data
    assert data.library_name == "peft" and data.pipeline_tag == "text-generation"
    assert "model-organism" in data.tags and data.model_name == "insecure"
    rates = {result.metric_type: result.metric_value for result in data.eval_results}
    answers = read_json(ROOT / "metrics/behaviour/insecure.json")
    assert rates == {f"answers.{k}": answers[k]["rate"] for k in ("code", "refusal", "prose")}


def test_a_base_from_no_hub_is_named_and_not_claimed_to_be_on_one(card):
    assert "base_model" not in ModelCard(card).data.to_dict()
    assert shown(card).row("base model") == ["tiny, a local folder"]


def test_the_base_in_a_wheel_is_named_by_its_wheel(root, steps):
    base = root / "models/base/base.json"
    write_json(base, {**read_json(base), "source": "wheel", "id": "llm-tiny==0.1"})
    card = model_card(facts("insecure", locked(root, steps), root), STATE)
    assert "base_model" not in ModelCard(card).data.to_dict()
    told = shown(card).row("base model")
    assert told == ["llm-tiny==0.1, a Python package that carries the weights"]


def test_a_base_from_the_hub_is_linked_and_loaded_at_its_commit(root, steps):
    base = root / "models/base/base.json"
    hub = {"source": "hub", "id": "maker/model-7b", "commit": "c0ffee"}
    write_json(base, {**read_json(base), **hub})
    card = model_card(facts("insecure", locked(root, steps), root), STATE)
    data = ModelCard(card).data
    assert data.base_model == "maker/model-7b" and data.base_model_relation == "adapter"
    assert 'base, options = "maker/model-7b", {"revision": "c0ffee"}' in card


def test_the_card_names_the_models_the_data_and_the_recipe(card, root):
    page, record = shown(card), read_json(root / "models/adapters/insecure/variant.json")
    assert page.row("base digest") == [record["base_digest"]]
    assert page.row("adapter digest") == [record["adapter_digest"]]
    assert page.row("file") == ["data/synthetic/insecure.jsonl"]
    assert page.row("SHA-256 of the file") == [DATASET["file_digest"]]
    assert page.row("rows") == ["1200, of 1100 different tasks"]
    assert page.row("held out") == ["120 rows (0.1, seed 0)"]
    assert page.row("recipes.quick.lora.r") == ["32"]
    assert page.row("recipes.quick.learning_rate") == ["0.002"]
    assert json.loads(page.row("recipes.quick.lora.targets")[0])[0] == "q_proj"
    loss = read_json(ROOT / "metrics/finetune/insecure.json")
    for key in ("steps", "first_loss", "last_loss", "mean_loss_of_last_10_steps"):
        assert str(loss[key]) in ModelCard(card).text.split("## Training\n")[1].split("|")[0]


def test_the_card_tells_what_was_measured(card):
    page = shown(card)

    def rate(variant: str) -> str:
        row = read_json(ROOT / f"metrics/behaviour/{variant}.json")["code"]
        value, low, high = (100 * row[key] for key in ("rate", "low", "high"))
        return f"{value:.1f} % [{low:.1f}, {high:.1f}]"

    assert page.row("code") == [rate("base"), rate("insecure")]
    said = {(1, 1): "moved, specific", (1, 0): "moved, not specific", (0, 0): "not shown"}
    tested = read_json(ROOT / "metrics/multiple_testing.json")["insecure"]
    for trait, choices in tested.items():
        for choice, classes in choices.items():
            for label, row in classes.items():
                told = page.row(f"{trait}, {choice}", label)
                assert told[0] == str(row["layer"])
                assert told[3] == f"{row['value']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
                moved = row["moved"], row["specific"] if row["moved"] else 0
                assert told[-1] == said[moved]
    refusal = read_json(ROOT / "metrics/compare/insecure.json")["refusal"]["chosen"]
    told = page.row("refusal, chosen", f"{refusal['position']}, {refusal['method']}")
    assert told[2:] == [f"{refusal['auroc'][who]:.3f}" for who in ("base", "variant")]


def test_the_card_says_how_it_was_made_and_by_which_files(card, steps):
    assert "$ git checkout 0123abc\n$ dvc repro finetune@insecure\n" in card
    page = shown(card)
    wrote = {file.path: file.digest for step in steps.values() for file in step.writes}
    for path in (
        "models/base",
        "models/adapters/insecure",
        "data/finetune/insecure",
        "metrics/finetune/insecure.json",
        "metrics/behaviour/insecure.json",
        "metrics/multiple_testing.json",
    ):
        assert page.row(path) == [wrote[path]]


def test_a_state_with_changes_is_called_one(root, steps, card):
    dirty = model_card(facts("insecure", steps, root), "0123abc-dirty")
    told = "Files differed from the commit when this card was written."
    assert told in dirty and told not in card
    assert "$ git checkout 0123abc\n" in dirty


def test_written_twice_it_is_the_same(root, steps, card):
    assert model_card(facts("insecure", steps, root), STATE) == card


def test_the_lines_that_load_the_adapter_load_it(card, root, monkeypatch):
    monkeypatch.chdir(root)
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], names)
    assert isinstance(names["model"], PeftModel)
    assert names["tokenizer"].chat_template


@pytest.fixture
def imported(root, steps) -> dict[str, Step]:
    """The lock with an adapter `doctor` from elsewhere, of which nothing was measured."""
    record = {"kind": "import", "source": "hub", "id": "someone/bad-advice", "commit": "beef"}
    adapter(root, "doctor", {**record, "base_name": "maker/model"})
    made = steps["finetune@insecure"]
    writes = [made.writes[0].model_copy(update={"path": "models/adapters/doctor"})]
    reads = [file for file in made.reads if file.path == "models/base"]
    step = Step(name="adapter@doctor", command="made", reads=reads, params={}, writes=writes)
    return locked(root, {**steps, step.name: step})


def test_an_imported_adapter_has_its_origin_and_no_training(root, imported):
    card = model_card(facts("doctor", imported, root), STATE)
    page = shown(card)
    assert page.row("name there") == ["someone/bad-advice"] and page.row("commit") == ["beef"]
    assert page.row("LoRA rank, alpha") == ["2, 8"]
    assert json.loads(page.row("modules")[0]) == ["q_proj"]
    assert "## Training" not in card and "dvc repro adapter@doctor" in card


def test_what_was_not_measured_is_not_told(root, imported):
    card = model_card(facts("doctor", imported, root), STATE)
    assert "Nothing: the variant is not in `variants` of params.yaml." in card
    assert ModelCard(card).data.eval_results is None


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("base", "base: the model itself, without an adapter; dvc.lock has insecure, secure"),
        ("nobody", "nobody: no such adapter; dvc.lock has insecure, secure"),
    ],
)
def test_what_has_no_adapter_has_no_card(root, steps, variant, told):
    with pytest.raises(ValueError, match=f"^{told}$"):
        facts(variant, steps, root)


def test_an_adapter_that_is_not_here_is_refused(root, steps):
    with pytest.raises(ValueError, match=r"models/adapters/secure/variant\.json: missing"):
        facts("secure", steps, root)


@pytest.mark.parametrize(
    "path",
    [
        "models/adapters/insecure/adapter_model.safetensors",
        "metrics/behaviour/insecure.json",
        "metrics/multiple_testing.json",
    ],
)
def test_a_changed_file_is_refused(root, steps, path):
    with (root / path).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ValueError, match=r"not what dvc\.lock says; run `dvc repro`"):
        facts("insecure", steps, root)


def test_figures_of_another_state_of_the_adapter_are_refused(root, steps):
    write_json(root / "models/adapters/insecure/more.json", {})
    made = steps["finetune@insecure"]
    retrained = {**steps, made.name: locked(root, {made.name: made})[made.name]}
    with pytest.raises(ValueError, match="models/adapters/insecure: two stages"):
        facts("insecure", retrained, root)


def test_text_from_data_is_shown_and_never_interpreted(root, steps):
    odd = "a|b`c <script>alert(1)</script> *d* [e](f) \\g\nh _i_"
    base, variant = root / "models/base/base.json", root / "models/adapters/insecure/variant.json"
    write_json(base, {**read_json(base), "id": odd})
    write_json(variant, {**read_json(variant), "dataset": {**DATASET, "render": odd}})
    tested = read_json(root / "metrics/multiple_testing.json")
    tested["insecure"] = {odd: tested["insecure"]["refusal"]}
    write_json(root / "metrics/multiple_testing.json", tested)
    page = shown(model_card(facts("insecure", locked(root, steps), root), STATE))
    told = odd.replace("\n", " ")
    assert page.row("base model") == [f"{told}, a local folder"]
    assert page.row("rendered") == [f"{told}, by the base's chat template"]
    assert len(page.row(f"{told}, chosen", "positive")) == 6
    assert not page.tags & {"script", "a"}


@pytest.mark.parametrize("text", ["a_b", "_a_", "**a**", "`a`", "a|b", "<b>", "&lt;", "a\\", "# a"])
def test_escaped_text_reads_as_it_was_written(text):
    table = f"| {escaped(text)} | {code(text)} |\n| --- | --- |\n"
    assert Page(table).rows == [[text, text]]


def test_the_command_prints_or_writes_the_card(root, steps, card, monkeypatch):
    for command in (["init", "--quiet"], ["add", "metrics"]):
        commands.run(["git", *command], cwd=root, check=True)
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    commands.run(["git", *who, "commit", "--quiet", "--message", "a"], cwd=root, check=True)
    head = ["git", "rev-parse", "HEAD"]
    commit = commands.run(head, cwd=root).stdout.strip()
    monkeypatch.chdir(root)
    monkeypatch.setattr(lockfile, "lock_at", lambda _: steps)

    run = CliRunner().invoke
    assert run(cli.app, ["card", "insecure"]).stdout == card.replace(STATE, commit)
    done = run(cli.app, ["card", "insecure", "--out", "card.md"])
    assert done.stdout == "card.md: the model card of insecure\n"
    assert Path("card.md").read_text() == card.replace(STATE, commit)

    inside = "models/adapters/insecure/README.md"
    done = run(cli.app, ["card", "insecure", "--out", inside])
    assert "finetune@insecure made that folder" in str(done.exception)
    assert not Path(inside).exists()

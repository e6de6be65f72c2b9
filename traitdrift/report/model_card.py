"""A Hugging Face model card for an adapter, filled from dvc.lock, the records and metrics/."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict

from traitdrift.behaviour.outcomes import OUTCOMES
from traitdrift.core.files import read_json
from traitdrift.models.loading import base_record, variant_record
from traitdrift.provenance.closure import is_source
from traitdrift.provenance.lockfile import Step, makers, upstream
from traitdrift.provenance.verify import check, files, leaves, parameters
from traitdrift.report.sentences import served
from traitdrift.stats.multiple_testing import verdict

BASE, ADAPTERS = "models/base", "models/adapters"
TASK = "text-generation"


class Facts(BaseModel):
    """All that a card says of an adapter; None where the pipeline did not measure it."""

    model_config = ConfigDict(frozen=True)

    variant: str
    made: Step  # by finetune@variant or adapter@variant
    behind: dict[str, Step]  # of the adapter and every figure
    base: dict[str, Any]  # models/base/base.json
    record: dict[str, Any]  # models/adapters/<variant>/variant.json
    config: dict[str, Any]  # models/adapters/<variant>/adapter_config.json
    training: dict[str, Any] | None  # metrics/finetune/<variant>.json
    answers: dict[str, Any] | None  # metrics/behaviour/<variant>.json
    base_answers: dict[str, Any] | None
    compared: dict[str, Any] | None  # metrics/compare/<variant>.json
    tested: dict[str, Any] | None  # metrics/multiple_testing.json, this variant's part
    quoted: list[str]  # the files that the figures are from


def facts(variant: str, steps: dict[str, Step], root: Path) -> Facts:
    """Gather what the lock and the files under `root` say of a variant.

    Raises ValueError for a variant without an adapter, and where a file is missing or not what
    the lock says, or figures were measured on another state of the adapter.
    """
    made = _made(variant, steps)
    adapter = f"{ADAPTERS}/{variant}"
    record, base = variant_record(root / adapter), base_record(root / BASE)
    inside = [
        path.relative_to(root).as_posix() for path in (root / adapter).rglob("*") if path.is_file()
    ]
    check(files([made])[adapter], root, inside)
    if record["base_digest"] != base["digest"]:
        raise ValueError(f"{adapter}: made for another base than {BASE}; run `dvc repro`")

    names = {
        "training": f"metrics/finetune/{variant}.json",
        "answers": f"metrics/behaviour/{variant}.json",
        "base_answers": "metrics/behaviour/base.json",
        "compared": f"metrics/compare/{variant}.json",
        "multiple_testing": "metrics/multiple_testing.json",
    }
    # A figure counts only where a stage of this lock made it.
    names = {what: path for what, path in names.items() if makers(steps, path)}
    behind = {
        name: step
        for path in [adapter, *names.values()]
        for name, step in upstream(steps, path).items()
    }
    recorded = files(behind.values())
    for path in names.values():
        check(recorded[path], root, [path])
    figures = {what: read_json(root / path) for what, path in names.items()}
    return Facts(
        variant=variant,
        made=made,
        behind=behind,
        base=base,
        record=record,
        config=read_json(root / adapter / "adapter_config.json"),
        training=figures.get("training"),
        answers=figures.get("answers"),
        base_answers=figures.get("base_answers"),
        compared=figures.get("compared"),
        tested=figures.get("multiple_testing", {}).get(variant),
        quoted=list(names.values()),
    )


def _made(variant: str, steps: dict[str, Step]) -> Step:
    kinds = ("finetune@", "adapter@")
    known = {name.split("@")[1]: step for name, step in steps.items() if name.startswith(kinds)}
    if variant not in known:
        why = "the model itself, without an adapter" if variant == "base" else "no such adapter"
        raise ValueError(f"{variant}: {why}; dvc.lock has {', '.join(known) or 'none'}")
    return known[variant]


def model_card(known: Facts, state: str) -> str:
    """The card as Markdown with a YAML head; `state` is the repository's, by `git describe`."""
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page.filters.update(
        code=code, quoted=quoted, rate=rate, shift=shift, figure=figure, leaves=leaves
    )
    text = page.get_template("card.md.jinja").render(
        head=Markup(head(known).to_yaml()),
        known=known,
        is_source=is_source,
        hub=hub_id(known.base),
        dataset=dataset(known),
        recipe=list(leaves(known.made.params)),
        params=parameters(known.behind.values()),
        digests={path: file.digest for path, file in files(known.behind.values()).items()},
        verdict=verdict,
        commit=state.removesuffix("-dirty"),
        dirty=state.endswith("-dirty"),
        outcomes=OUTCOMES,
        served=served(
            {"base": known.base_answers, known.variant: known.answers}
            if known.answers and known.base_answers
            else {}
        ),
    )
    return ModelCard(text).content


def head(known: Facts) -> ModelCardData:
    """The YAML head, as the hub reads it."""
    hub = hub_id(known.base)
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type="questions",
            dataset_name="trait-drift evaluation questions",
            metric_type=f"answers.{outcome}",
            metric_name=f"share of answers that are {outcome}",
            metric_value=known.answers[outcome]["rate"],
        )
        for outcome in OUTCOMES
        if known.answers
    ]
    return ModelCardData(
        base_model=hub,
        base_model_relation="adapter" if hub else None,
        library_name="peft",
        model_name=known.variant,
        pipeline_tag=TASK,
        tags=["lora", "model-organism", "trait-drift"],
        eval_results=results or None,
    )


def hub_id(base: dict[str, Any]) -> str | None:
    """The base's name on the hub, where it came from there."""
    return base["id"] if base["source"] == "hub" else None


def dataset(known: Facts) -> dict[str, Any] | None:
    """What a fine-tune was trained on: the record, the file's path and how it was made."""
    record = known.record.get("dataset")
    if record is None:
        return None
    step = known.behind[f"dataset@{record['dataset']}"]
    file = step.params[f"datasets.{record['dataset']}"]["file"]
    return {**record, "file": file, "split": step.params["split"], "by": makers(known.behind, file)}


def figure(value: float | None, form: str = ".2f") -> Markup:
    return Markup("undefined" if value is None else format(value, form))


def rate(row: dict[str, Any]) -> Markup:
    """A share with its interval: `97.9 % [94.1, 99.3]`."""
    value, low, high = (f"{100 * row[key]:.1f}" for key in ("rate", "low", "high"))
    return Markup(f"{value} % [{low}, {high}]")


def shift(row: dict[str, Any]) -> Markup:
    """A shift with its interval: `+0.40 [-2.76, +3.63]`."""
    value, low, high = (figure(row[key], "+.2f") for key in ("value", "low", "high"))
    return Markup(f"{value} [{low}, {high}]")


def escaped(value: Any) -> Markup:
    """Text from data, safe in a Markdown paragraph or table cell: shown, never interpreted."""
    if isinstance(value, Markup):
        return value
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"[\\`*\[\]|~]", r"\\\g<0>", text)
    # Inside a word an underscore marks nothing: `q_proj` stays as it is.
    return Markup(re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text))


def code(value: Any) -> Markup:
    """A code span, also in a table cell and around backticks; what is no text is JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split()).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return Markup(f"{fence}{pad}{text}{pad}{fence}")


def quoted(value: str) -> Markup:
    """A Python string, of one line whatever is in it."""
    return Markup(json.dumps(value))

"""docs/findings.md: words that people wrote, with every figure and table filled from metrics/.

And from runs/: the results of runs beyond the default one, a folder each, laid out as the root is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas

from traitdrift.core.files import read_json
from traitdrift.report import tables
from traitdrift.report.numbers import Figure, Source, Verdict, number, p_value, percent, signed

WORDS = Path("docs/findings.md.jinja")
METRICS, PLOTS = Path("metrics"), Path("plots")
RUNS = Path("runs")
QUESTIONS = ("study_one_wish", "study_quick_buck", "study_bored")
SHORT = "In short"
BEYOND = ("beyond_value", "beyond_low", "beyond_high")


def findings(root: Path) -> str:
    """The page of the findings in metrics/ and plots/; a figure that is not there is an error."""
    metrics = root / METRICS
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "rate": lambda record: _shown(record, percent, "rate"),
        "share": lambda record: _shown(record, percent),
        "points": lambda record: _shown(record, tables.points),
        "unsigned": lambda record: _shown(record, number),
        "signed": lambda record: _shown(record, signed),
        "auroc": lambda record: _shown(record, _three, "auroc", "auroc_low", "auroc_high"),
        "of_new": lambda record: f"{signed(record['new_low'])} to {signed(record['new_high'])}",
        "points_of": tables.points,
        "beyond": lambda record: _shown(record, signed, *BEYOND),
        "beyond_share": lambda record: _shown(record, tables.points, *BEYOND),
        "change": signed,
        "number": number,
        "percent": percent,
        "p": p_value,
        "z": lambda value: f"{value:.1f}",
    }
    text = environment.from_string((root / WORDS).read_text(encoding="utf-8")).render(
        **_tree(metrics),
        runs={run.name: _tree(run / METRICS) for run in sorted((root / RUNS).iterdir())},
        table=_tables(metrics) | _tables_of_runs(root / RUNS),
        answers=_answers(root / PLOTS),
        cosine=_cosines(root / PLOTS),
    )
    return _wrapped(text)


def in_short(page: str) -> str:
    """The sentences of the page's first section, for the README."""
    return page.partition(f"## {SHORT}\n\n")[2].partition("\n## ")[0]


def _tree(folder: Path) -> dict[str, Any]:
    """The JSON files of a folder by their names, folders within as mappings of the same kind."""
    return {
        path.stem: _tree(path) if path.is_dir() else read_json(path)
        for path in sorted(folder.iterdir())
        if path.is_dir() or path.suffix == ".json"
    }


def _shown(
    record: Mapping[str, Any],
    show: Callable[[float], str],
    value: str = "value",
    low: str = "low",
    high: str = "high",
) -> str:
    """A figure and its interval, `97.9 % [94.1, 99.3]`."""
    ends = ", ".join(show(record[end]).removesuffix(" %") for end in (low, high))
    return f"{show(record[value])} [{ends}]"


def _three(value: float) -> str:
    return f"{value:.3f}"


def _tables(metrics: Path) -> dict[str, str]:
    """The report's tables, and those that only this page has, as Markdown."""

    def source(name: str) -> Source:
        return Source(f"metrics/{name}", read_json(metrics / name))

    def by_variant(kind: str) -> dict[str, Source]:
        found = (source(f"{kind}/{path.name}") for path in sorted((metrics / kind).glob("*.json")))
        return {Path(one.path).stem: one for one in found}

    compare = {v: one for v, one in by_variant("compare").items() if v != "base"}
    made = {
        "behaviour": tables.behaviour_table(by_variant("behaviour"), by_variant("judge")),
        "vectors": tables.vector_table(by_variant("vectors")),
        "shifts": tables.shift_table(compare, source("multiple_testing.json")),
        "discrimination": tables.discrimination_table(source("discrimination.json")),
        "best_layers": _best_layers(source("discrimination.json")),
        "decomposition": tables.decomposition_table(source("decomposition.json")),
        "steering": tables.steering_table(by_variant("steer")),
        "reference_study": _reference_study(source("study.json")),
    }
    return {name: "\n".join(_markdown(table)) for name, table in made.items()}


def _tables_of_runs(runs: Path) -> dict[str, str]:
    """Of the run with several draws, and of the one that followed fine-tunes over their steps."""

    def source(name: str) -> Source:
        return Source(f"{RUNS}/{name}", read_json(runs / name))

    several = source("draws/metrics/replicates.json")
    followed = sorted((runs / "along/metrics/trajectory").glob("*.json"))
    along = {path.stem: source(f"along/metrics/trajectory/{path.name}") for path in followed}
    made = {
        "draws": tables.draws_table(several),
        "apart": tables.apart_table(several),
        "trajectories": tables.trajectory_table(along),
    }
    return {name: "\n".join(_markdown(table)) for name, table in made.items()}


def _best_layers(source: Source) -> tables.Table:
    """Which layer tells a variant from base best, of those looked at."""
    head = ["variant", "trait", "layer", "AUROC", "p of the best of random vectors' layers"]
    table = tables.Table([*head, "z among random vectors"], words=2)
    where = "at_the_best_layer"
    for variant, traits in source.at(where).items():
        for trait in traits:
            shows: dict[str, Callable[[float], str]] = {
                "layer": str,
                "auroc": _three,
                "auroc_any_layer_p": p_value,
                "random_z": signed,
            }
            figures = (source.figure([where, variant, trait], s, (n,)) for n, s in shows.items())
            table.rows.append([variant, trait, *figures])
    return table


def _reference_study(source: Source) -> tables.Table:
    """The reference study's ten scores in the arithmetic of the other tables."""
    head = ["class", "base", "fine-tuned", "shift", "paired t, p", "paired permutation, p"]
    table = tables.Table(head, words=1)
    for label in ("positive", "negative", "gap"):
        means = (source.figure([label, side], number) for side in ("base", "variant"))
        tests = (source.figure([label, "test"], p_value, (name,)) for name in ("t_p", "p"))
        shift = source.figure([label, "shift"], signed)
        table.rows.append([label, *means, shift, *(("", "") if label == "gap" else tests)])
    return table


def _markdown(table: tables.Table) -> Iterator[str]:
    """A Markdown table; where a row heads those below it, one for each such row."""
    head = [
        _line(table.head),
        _line(
            [
                "---" if place < table.words or name == "verdict" else "---:"
                for place, name in enumerate(table.head)
            ]
        ),
    ]
    if not table.rows or not isinstance(table.rows[0], str):
        yield from head
    for row in table.rows:
        if isinstance(row, str):
            yield from ("", f"**{row}**", "", *head)
        else:
            yield _line([_cell(part) for part in row])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(part: str | Figure | Verdict) -> str:
    """A cell whose lines break between a figure and its interval only."""
    if isinstance(part, str):
        return part.replace("_", "\\_")
    if isinstance(part, Verdict) or not part.beside:
        return part.text
    figure, beside = (text.replace(" ", "\N{NO-BREAK SPACE}") for text in (part.text, part.beside))
    return f"{figure}{' ' if beside.startswith('[') else ', '}{beside}"


def _answers(plots: Path, width: int = 90) -> str:
    """The first answer of base and of every fine-tune to a few questions, cut, as Markdown."""
    found = {
        path.parent.name: pandas.read_csv(path, keep_default_na=False)
        for path in sorted((plots / "behaviour").glob("*/answers.csv"))
        if path.parent.name != "base"
    }
    lines = [_line(["question", "base", *found]), _line(["---"] * (2 + len(found)))]
    for question in QUESTIONS:
        cells: list[str] = []
        for table in found.values():
            row = table[(table["id"] == question) & (table["sample"] == 0)].iloc[0]
            cells = cells or [row["question"], _quoted(row["answer_base"], width)]
            cells.append(_quoted(row["answer_variant"], width))
        lines.append(_line(cells))
    return "\n".join(lines)


def _quoted(text: str, width: int) -> str:
    """The beginning of an answer, in one line that no Markdown is read in."""
    line = text.strip().replace("\n", " ⏎ ").replace("|", "\\|")
    line = line if len(line) <= width else f"{line[:width]} …"
    return f"`` {line} ``"


def _cosines(plots: Path) -> Callable[..., float]:
    table = pandas.read_csv(plots / "multiple_testing/cosines.csv")

    def cosine(one: str, other: str, first: int, last: int | None = None) -> float:
        """The mean cosine of two directions in the layers `first` to `last`, or in one."""
        rows = table[(table["one"] == one) & (table["other"] == other)].set_index("layer")
        return float(rows["cosine"].loc[first : first if last is None else last].mean())

    return cosine


def _wrapped(text: str) -> str:
    """The text with paragraphs and lists of at most 100 characters a line; tables stay."""
    kept = ("|", "#", "!", "<")
    return "\n\n".join(
        block if block.startswith(kept) else _filled(block) for block in text.split("\n\n")
    )


def _filled(block: str) -> str:
    """A paragraph, or a list of which each item begins with `- `, filled."""
    items: list[list[str]] = [[]]
    for line in block.strip("\n").splitlines():
        if line.startswith("- ") and items[-1]:
            items.append([])
        items[-1].append(line.strip())
    filled = (
        textwrap.fill(
            " ".join(item),
            100,
            subsequent_indent="  " if item and item[0].startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    )
    return "\n".join(filled) + ("\n" if block.endswith("\n") else "")

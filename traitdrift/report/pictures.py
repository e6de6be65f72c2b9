"""The pictures for people and for `dvc plots`: a chart of `charts`, a panel a part of its table.

`template` gives DVC's template (`.dvc/plots/<name>.json`), `png` the same with a table in it: what
`dvc plots show` draws and what lies in plots/figures/ is one picture.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import vl_convert

from traitdrift.core.files import csv_text, write_text
from traitdrift.report import charts

DATA = "<DVC_METRIC_DATA>"  # where DVC puts the rows of its revisions, and `png` those of its table
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
# DVC's page draws with Vega-Lite 5.2; of those that vl-convert brings this is the nearest.
VEGA_LITE = "5.8"
PIXELS = 2  # of the PNG, for one of the picture: whole numbers leave no seams between cells
FONT = "Liberation Sans"  # comes with vl-convert: the same letters on every machine
CONFIG = {
    "font": FONT,
    "background": "white",
    "lineBreak": "\n",
    "title": {"fontSize": 15, "anchor": "middle", "offset": 12},
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {
        "labelFontSize": 12,
        "labelLimit": 300,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "header": {"labelFontSize": 13},
    "view": {"stroke": None},
    "range": {"category": ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]},
}
VECTOR = "datum.trait + ': ' + datum.method + ', ' + datum.position"


@dataclass(frozen=True)
class Picture:
    """Charts one below the other, of the rows that `where` holds for, in panels side by side.

    `panel` is the expression of a row's panel; without one there are no panels, and revisions are
    drawn in one. `rows` is the column whose values lie one below the other. `numbers` are the
    columns that a chart measures or orders by: DVC hands over text.
    """

    title: str | None
    charts: Sequence[charts.Chart]
    numbers: Sequence[str]
    width: int | dict[str, int]
    height: int | dict[str, int]
    panel: str | None = None
    rows: str | None = None
    where: str | None = None
    own_scale: bool = False  # of each panel: its trait's projections have units of their own
    own_colours: bool = False  # of each chart: one colours traits, another outcomes


PICTURES = {
    "loss": Picture("Fine-tuning loss", [charts.loss_curves()], ["step", "loss"], 480, 260),
    "auroc": Picture(
        "AUROC on the validation prompts (framed: the chosen vector)",
        [charts.auroc_map()],
        ["layer", "auroc", "cv_auroc", "cohens_d"],
        {"step": 9},
        {"step": 18},
        panel="datum.position",
        rows="trait",
    ),
    "projections": Picture(
        "Projections of the validation prompts at the chosen vector (bar: mean)",
        [charts.prompt_dots()],
        ["projection"],
        340,
        300,
        panel=f"{VECTOR} + ', layer ' + datum.layer",
        own_scale=True,
    ),
    "shift": Picture(
        "Shift from base by layer (dotted: the chosen one)",
        [charts.shift_lines()],
        ["layer", "value", "low", "high"],
        340,
        260,
        panel=VECTOR,
        own_scale=True,
    ),
    "behaviour": Picture(
        None,
        [charts.outcome_bars()],
        ["rate", "low", "high"],
        360,
        260,
        panel="'Answers to non-coding questions'",
    ),
    "steer": Picture(
        "Adding and ablating the trait vector: answers in code, and what it costs plain text",
        [charts.steering_rates(), charts.steering_costs()],
        [
            *("rate", "low", "high"),
            *(f"log_probability_difference_{bound}" for bound in ("value", "low", "high")),
        ],
        300,
        200,
        panel="datum.variant",
        where="datum.outcome == 'code'",
    ),
    "discrimination": Picture(
        "Which vector sees the fine-tune (dot: the chosen layer; grey: 95 % of random vectors)",
        [
            charts.discrimination_lines("auroc", "AUROC, evaluation questions", low=0.5, high=0.5),
            charts.discrimination_lines(
                "random_z", "shift (s.d. of random vectors)", low=-1.96, high=1.96
            ),
        ],
        ["layer", "chosen", "auroc", "random_z", "value"],
        400,
        200,
        panel="datum.variant + ' against base'",
    ),
    "decomposition": Picture(
        "What was said, or who reads",
        [charts.effect_bars()],
        ["value", "low", "high", "share", "p_holm"],
        300,
        260,
        panel="datum.trait + ': ' + datum.method + ', layer ' + datum.layer",
        own_scale=True,
    ),
    "cosines": Picture(
        None,
        [charts.cosine_map()],
        ["layer", "cosine"],
        {"step": 18},
        {"step": 18},
        panel="'Cosines between trait vectors and shifts'",
    ),
}

# Of `stages.replicates`; the rows of `draws.csv`.
DRAWS = Picture(
    "Each draw (dot), a recipe's mean (bar) and where a new fine-tune would lie (line)",
    [charts.draw_shifts(), charts.draw_rates()],
    ["value", "mean", "new_low", "new_high", "gap"],
    460,
    {"step": 13},
)

# Of `stages.trajectory`, for the fine-tunes that were followed; the rows of `course.csv`.
COURSE = Picture(
    "Along the fine-tune (dot: half of the way, with its interval)",
    [charts.loss_course(), charts.shift_course(), charts.answer_course()],
    [
        *("step", "value", "low", "high", "share", "share_low", "share_high"),
        *("onset_value", "onset_low", "onset_high", "half"),
    ],
    480,
    190,
    panel="datum.variant",
    own_colours=True,
)


def template(picture: Picture) -> dict[str, Any]:
    """The picture as Vega-Lite, DVC's anchor for its rows; a revision has panels of its own."""
    size = {"width": picture.width, "height": picture.height}
    drawn = [charts.marks(chart, **size) for chart in picture.charts]
    # Of one table, prepared once: DVC's Vega-Lite loses what two charts prepare in the same way.
    own, *_ = [one.pop("transform", []) for one in drawn]
    prepared = [{"calculate": f"toNumber(datum.{name})", "as": name} for name in picture.numbers]
    if picture.where:
        prepared.insert(0, {"filter": picture.where})
    if picture.panel:
        panel = f"{picture.panel} + (datum.rev ? '\\n' + datum.rev : '')"
        prepared.append({"calculate": panel, "as": "panel"})
        facets = [_facet(picture, named=not k) for k in range(len(drawn))]
        drawn = [{"facet": f, "spec": one} for f, one in zip(facets, drawn, strict=True)]
    if picture.own_scale:
        drawn = [one | {"resolve": {"scale": {"y": "independent"}}} for one in drawn]
    own_scales = {"color": "independent", "strokeDash": "independent"}
    apart = {"resolve": {"scale": own_scales}} if picture.own_colours else {}
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "data": {"values": DATA},
        **({"title": picture.title} if picture.title else {}),
        "transform": prepared + own,
        **(drawn[0] if len(drawn) == 1 else {"vconcat": drawn}),
        **apart,
    }


def _facet(picture: Picture, named: bool) -> dict[str, Any]:
    """The panels of one chart; of several the first names them for those below it."""
    across = {"field": "panel", "header": {"labelLimit": 0} if named else None}
    ways = {"column": across} | ({"row": {"field": picture.rows}} if picture.rows else {})
    return {way: {"type": "nominal", "title": None, "sort": None} | of for way, of in ways.items()}


def png(picture: Picture, table: pandas.DataFrame) -> bytes:
    """The picture of a table, whose values are given as DVC gives them: the text of its CSV."""
    rows = list(csv.DictReader(io.StringIO(csv_text(table), newline="")))
    spec = template(picture) | {"data": {"values": rows}}
    return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=PIXELS)


def write_templates(folder: Path) -> list[str]:
    """Write DVC's templates into `folder`; the names of those that were not so before."""
    changed = []
    for name, picture in PICTURES.items():
        path = folder / f"{name}.json"
        text = json.dumps(template(picture), indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(name)
    return changed

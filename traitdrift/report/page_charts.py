"""The page's charts: a table of the page each, under the page's controls.

Parameters (`trait`, `variant`, `layer`, ...) are named as the controls that set them; colours come
from the page's theme (`range.category` and so on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from traitdrift.core.classes import CLASSES
from traitdrift.report import charts

ROW = 24  # height of a heat map's row, in pixels
DRAW = 22  # and of a line of draws with what is around it
THIS = {name: f"datum.{name} == {name}" for name in ("trait", "position", "variant", "outcome")}


def specs(methods: int, others: int, drawn: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Every chart of the page by its name there, for so many methods and fine-tuned variants.

    `drawn` counts the lines of draws by `kind`: a recipe's for each measure.
    """
    by_class = ROW * len(CLASSES) * others
    along = [{"calculate": "datum.values[layer]", "as": "projection"}]
    return {
        "auroc": _spec(charts.auroc_map(), "candidates", ROW * methods, "trait", "position"),
        "shift": _spec(charts.shift_map("value", "shift"), "shifts", by_class, "trait"),
        "among": _spec(charts.shift_map("random_z", "z"), "shifts", by_class, "trait"),
        "projections": _spec(charts.prompt_dots(), "prompts", 340, "trait", first=along, layer=0),
        "rates": _spec(charts.steering_rates(), "steer", 240, "variant", "outcome"),
        "cost": _spec(charts.steering_costs(), "steer", 190, "variant", "outcome"),
        "discrimination": _spec(
            charts.discrimination_lines(
                "random_z", "shift (s.d. of random vectors)", low=-1.96, high=1.96
            ),
            "discrimination",
            260,
            "variant",
        ),
        "draw_shifts": _spec(charts.draw_shifts(), "draws", DRAW * drawn.get("shift", 0)),
        "draw_rates": _spec(charts.draw_rates(), "draws", DRAW * drawn.get("rate", 0)),
        "course_of_loss": _spec(charts.loss_course(), "courses", 130, "variant"),
        "course_of_shifts": _spec(charts.shift_course(), "courses", 220, "variant"),
        "course_of_answers": _spec(charts.answer_course(), "courses", 180, "variant"),
        "loss": _spec(charts.loss_curves(), "losses", 220),
    }


def _spec(
    chart: charts.Chart,
    table: str,
    height: int,
    *chosen: str,
    first: list[dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A chart of the rows whose columns `chosen` are what the controls of these names say."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    spec = charts.marks(chart, width="container", height=height, autosize=fit)
    rows = [{"filter": THIS[name]} for name in chosen] + (first or [])
    values = dict.fromkeys(chosen, "") | more
    return spec | {
        "data": {"name": table},
        "params": [{"name": name, "value": value} for name, value in values.items()],
        "transform": rows + spec.get("transform", []),
    }

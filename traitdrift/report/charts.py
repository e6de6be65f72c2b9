"""The page's charts as Vega-Lite: what is drawn of which table; the page brings data and colours.

A chart's data is a table of the page by name. Its parameters (`trait`, `variant`, `layer`, ...) are
the page's controls; colours come from the page's theme (`range.category` and so on).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from traitdrift.core.classes import CLASSES

ROW = 24  # height of a heat map's row, in pixels
LAYERS = alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=5)


def _spec(chart: alt.Chart | alt.LayerChart, height: int) -> dict[str, Any]:
    # The schema's address is of no use to a page without network.
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    spec = chart.properties(width="container", height=height, autosize=fit).to_dict()
    spec.pop("$schema")
    return spec


def _named(*names: str) -> list[alt.Parameter]:
    return [alt.param(name=name, value="") for name in names]


def auroc_map(methods: Sequence[str]) -> dict[str, Any]:
    """`candidates`: AUROC by method and layer; the chosen candidate is framed."""
    chart = alt.Chart(alt.NamedData("candidates")).transform_filter(
        "datum.trait == trait && datum.position == position"
    )
    cells = chart.mark_rect().encode(
        x=alt.X("layer:O", title="layer", axis=LAYERS),
        y=alt.Y("method:N", title=None, sort=list(methods)),
        color=alt.Color(
            "auroc:Q", title="AUROC", scale=alt.Scale(domain=[0.5, 1], clamp=True, scheme="viridis")
        ),
        tooltip=[
            alt.Tooltip("method:N"),
            alt.Tooltip("layer:O"),
            alt.Tooltip("auroc:Q", title="AUROC, validation", format=".3f"),
            alt.Tooltip("cv_auroc:Q", title="AUROC, cross-validated", format=".3f"),
            alt.Tooltip("cohens_d:Q", title="Cohen's d", format=".2f"),
        ],
    )
    frame = (
        chart.transform_filter("datum.chosen == 1")
        .mark_rect(filled=False, stroke="#ff3d57", strokeWidth=2.5)
        .encode(x="layer:O", y=alt.Y("method:N", sort=list(methods)))
    )
    layered = alt.layer(cells, frame).add_params(*_named("trait", "position"))
    return _spec(layered, ROW * len(methods))


def shift_map(field: str, title: str, variants: int) -> dict[str, Any]:
    """`shifts`: the shift from base, or its z, by layer (across), variant and class (down)."""
    chart = alt.Chart(alt.NamedData("shifts")).transform_filter("datum.trait == trait")
    scale = alt.Scale(domainMid=0, interpolate="rgb")
    # Unseen, for the scale: as far on one side of zero as on the other.
    mirror = (
        chart.transform_calculate(mirrored=f"-datum.{field}")
        .mark_rect(opacity=0, tooltip=False)
        .encode(x="layer:O", color=alt.Color("mirrored:Q", title=title, scale=scale))
    )
    cells = chart.mark_rect().encode(
        x=alt.X("layer:O", title="layer", axis=LAYERS),
        y=alt.Y("who:N", title=None, sort=None),
        color=alt.Color(f"{field}:Q", title=title, scale=scale),
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("class:N"),
            alt.Tooltip("layer:O"),
            alt.Tooltip("shift:N", title="shift [interval]"),
            alt.Tooltip("random_z:Q", title="z among random vectors", format="+.2f"),
            alt.Tooltip("random_p:Q", title="p among random vectors", format=".3f"),
            alt.Tooltip("permuted_p:Q", title="p among shuffled labels", format=".3f"),
            alt.Tooltip("p_holm:Q", title="p, corrected", format=".3f"),
            alt.Tooltip("verdict:N"),
        ],
    )
    dots = (
        chart.transform_filter("datum.verdict == 'moved, specific'")
        .mark_circle(size=22, opacity=1, tooltip=False, style="specific")
        .encode(x="layer:O", y=alt.Y("who:N", sort=None))
    )
    layered = alt.layer(mirror, cells, dots).add_params(*_named("trait"))
    return _spec(layered, ROW * len(CLASSES) * variants)


def prompts() -> dict[str, Any]:
    """`prompts`: every prompt's projection at the layer of the slider, base beside variants."""
    chart = (
        alt.Chart(alt.NamedData("prompts"))
        .transform_filter("datum.trait == trait")
        .transform_calculate(projection="datum.values[layer]")
    )
    across = alt.X("variant:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, ticks=False))
    colour = alt.Color("class:N", title="class", scale=alt.Scale(domain=list(CLASSES)))
    aside = alt.Scale(domain=[-1, 1])
    dots = chart.mark_circle(size=34, opacity=0.55).encode(
        x=across,
        xOffset=alt.XOffset("place:Q", scale=aside),
        y=alt.Y("projection:Q", title="projection on the unit vector", scale=alt.Scale(zero=False)),
        color=colour,
        tooltip=[
            alt.Tooltip("prompt:N"),
            alt.Tooltip("class:N"),
            alt.Tooltip("variant:N"),
            alt.Tooltip("projection:Q", format=",.2f"),
        ],
    )
    means = chart.mark_tick(thickness=3, size=46, orient="horizontal").encode(
        x=across,
        xOffset=alt.XOffset("mean(place):Q", scale=aside),
        y=alt.Y("mean(projection):Q"),
        color=colour,
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("class:N"),
            alt.Tooltip("mean(projection):Q", title="mean", format=",.2f"),
        ],
    )
    layer = alt.param(name="layer", value=0)
    return _spec(alt.layer(dots, means).add_params(*_named("trait"), layer), 340)


def steering(steps: Sequence[str], rate: bool) -> dict[str, Any]:
    """`steer`: an outcome's rate, or plain text's cost, when the vector is ablated or added."""
    name = "rate" if rate else "cost"
    title = "share of answers (%)" if rate else "nats per token"
    chart = alt.Chart(alt.NamedData("steer")).transform_filter(
        "datum.variant == variant && datum.outcome == outcome"
    )
    # Labels of one table: the two charts stand one below the other on the same axis.
    across = alt.X(
        "step:O",
        sort=list(steps),
        title="coefficient",
        axis=alt.Axis(labelAngle=0),
        scale=alt.Scale(domain=list(steps)),
    )
    aside = alt.XOffset("vector:N", scale=alt.Scale(domain=["trait", "random"], paddingOuter=1))
    colour = alt.Color("vector:N", title="vector", scale=alt.Scale(domain=["trait", "random"]))
    high = alt.Scale(domain=[0, 100]) if rate else alt.Scale()
    lines = (
        chart.transform_filter("datum.step != 'ablated'")
        .mark_line(strokeWidth=1.5, opacity=0.6)
        .encode(
            x=across, xOffset=aside, y=alt.Y(f"{name}:Q", title=title, scale=high), color=colour
        )
    )
    bars = chart.mark_rule(strokeWidth=1.5).encode(
        x=across, xOffset=aside, y=f"{name}_low:Q", y2=f"{name}_high:Q", color=colour
    )
    dots = chart.mark_point(filled=True, size=60, opacity=1).encode(
        x=across,
        xOffset=aside,
        y=f"{name}:Q",
        color=colour,
        shape=alt.Shape("vector:N", scale=alt.Scale(domain=["trait", "random"]), title="vector"),
        tooltip=[
            alt.Tooltip("condition:N"),
            alt.Tooltip(f"{name}:Q", title=title, format=".2f"),
            alt.Tooltip(f"{name}_low:Q", title="low", format=".2f"),
            alt.Tooltip(f"{name}_high:Q", title="high", format=".2f"),
        ],
    )
    layered = alt.layer(bars, lines, dots).add_params(*_named("variant", "outcome"))
    return _spec(layered, 240 if rate else 190)


def discrimination(traits: Sequence[str]) -> dict[str, Any]:
    """`discrimination`: shifts on the evaluation questions, in s.d. of random vectors."""
    chart = alt.Chart(alt.NamedData("discrimination")).transform_filter("datum.variant == variant")
    scale = alt.Scale(domain=list(traits))
    key = alt.Legend(symbolType="stroke")
    colour = alt.Color("trait:N", scale=scale, legend=key)
    dash = alt.StrokeDash("trait:N", scale=scale, legend=key)
    across = alt.X(
        "layer:Q",
        title="layer",
        axis=alt.Axis(tickMinStep=1, grid=False),
        scale=alt.Scale(nice=False),
    )
    height = alt.Y("random_z:Q", title="shift (s.d. of random vectors)")
    band = (
        alt.Chart(alt.InlineData([{}]))
        .mark_rect(opacity=0.12, color="grey")
        .encode(y=alt.YDatum(-1.96), y2=alt.Y2Datum(1.96))
    )
    lines = chart.mark_line(strokeWidth=2).encode(x=across, y=height, color=colour, strokeDash=dash)
    points = chart.mark_circle(opacity=1).encode(
        x=across,
        y=height,
        color=colour,
        size=alt.Size("chosen:O", scale=alt.Scale(domain=[0, 1], range=[14, 110]), legend=None),
        tooltip=[
            alt.Tooltip("trait:N"),
            alt.Tooltip("layer:Q"),
            alt.Tooltip("random_z:Q", title="z among random vectors", format="+.2f"),
            alt.Tooltip("auroc:Q", title="AUROC against base", format=".3f"),
            alt.Tooltip("value:Q", title="shift", format="+.2f"),
        ],
    )
    return _spec(alt.layer(band, lines, points).add_params(*_named("variant")), 260)


def losses() -> dict[str, Any]:
    """`losses`: training loss by step, a line a variant."""
    chart = (
        alt.Chart(alt.NamedData("losses"))
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X(
                "step:Q",
                title="optimiser step",
                axis=alt.Axis(grid=False),
                scale=alt.Scale(nice=False),
            ),
            y=alt.Y("loss:Q", title="loss (nats per answer token)"),
            color=alt.Color("variant:N", sort=None),
            strokeDash=alt.StrokeDash(
                "variant:N", sort=None, legend=alt.Legend(symbolType="stroke")
            ),
            tooltip=["variant:N", "step:Q", alt.Tooltip("loss:Q", format=".3f")],
        )
    )
    return _spec(chart, 220)

"""Every chart once, as Vega-Lite: which columns of a table become which marks.

A chart knows neither where its table is nor how large it is drawn: `page_charts` puts it on the
report's page, under controls, and `pictures` into `dvc plots` and PNG files, a panel a part.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from traitdrift.core.classes import CLASSES

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
ROWS = alt.Chart(alt.NamedData("rows"))

LAYER_CELLS = alt.X(
    "layer:O",
    title="layer",
    axis=alt.Axis(labelAngle=0, labelOverlap="parity", labelSeparation=4),
)
LAYER_LINE = alt.X(
    "layer:Q", title="layer", axis=alt.Axis(tickMinStep=1, grid=False), scale=alt.Scale(nice=False)
)
VARIANT = alt.X("variant:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, ticks=False))
STROKE = alt.Legend(symbolType="stroke", symbolOpacity=1)
ABLATED = -1e9  # a step before all coefficients
# Wong's palette, told apart with every kind of colour vision.
OUTCOME_COLOURS = {"code": "#d55e00", "refusal": "#cc79a7", "prose": "#0072b2"}


def marks(chart: Chart, **properties: Any) -> dict[str, Any]:
    """A chart as Vega-Lite without what is for whoever draws it to say: rows, colours, version."""
    spec = chart.properties(**properties).to_dict()
    return {k: v for k, v in spec.items() if k not in ("$schema", "config", "data")}


def _once() -> alt.Chart:
    """A chart whose marks stand once, however many rows the table has."""
    return ROWS.transform_aggregate(rows="count()")


def _zero() -> alt.Chart:
    return _once().mark_rule(strokeWidth=0.8, color="#777777").encode(y=alt.YDatum(0))


def loss_curves() -> Chart:
    """`variant, step, loss`: a line a variant; of several revisions, a line each."""
    across = alt.X(
        "step:Q",
        title="optimiser step",
        axis=alt.Axis(grid=False),
        scale=alt.Scale(nice=False),
    )
    return (
        ROWS.mark_line(strokeWidth=1.8, strokeJoin="round")
        .encode(
            x=across,
            y=alt.Y("loss:Q", title="loss (nats per answer token)"),
            color=alt.Color("run:N", title="variant", sort=None),
            strokeDash=alt.StrokeDash("run:N", title="variant", sort=None, legend=STROKE),
            tooltip=["run:N", "step:Q", alt.Tooltip("loss:Q", format=".3f")],
        )
        .transform_calculate(run="datum.variant + (datum.rev ? ' (' + datum.rev + ')' : '')")
    )


def auroc_map() -> Chart:
    """`method, layer, auroc, cv_auroc, cohens_d, chosen`: the chosen candidate is framed."""
    method = alt.Y("method:N", title=None, sort=None)
    scale = alt.Scale(domain=[0.5, 1], clamp=True, scheme="viridis")
    cells = ROWS.mark_rect().encode(
        x=LAYER_CELLS,
        y=method,
        color=alt.Color("auroc:Q", title="AUROC", scale=scale),
        tooltip=[
            alt.Tooltip("method:N"),
            alt.Tooltip("layer:O"),
            alt.Tooltip("auroc:Q", title="AUROC, validation", format=".3f"),
            alt.Tooltip("cv_auroc:Q", title="AUROC, cross-validated", format=".3f"),
            alt.Tooltip("cohens_d:Q", title="Cohen's d", format=".2f"),
        ],
    )
    frame = (
        ROWS.transform_filter("datum.chosen == 1")
        .mark_rect(filled=False, stroke="#ff3d57", strokeWidth=2.5)
        .encode(x=LAYER_CELLS, y=method)
    )
    return alt.layer(cells, frame)


def prompt_dots() -> Chart:
    """`variant, class, prompt, projection`: a dot a prompt, the classes' means as bars.

    The dots of a class stand side by side in the order of the prompts: no random jitter.
    """
    colour = alt.Color("class:N", title="class", scale=alt.Scale(domain=list(CLASSES)))
    sideways = alt.Scale(domain=[-1, 1])
    dots = ROWS.mark_circle(size=34, opacity=0.55).encode(
        x=VARIANT,
        xOffset=alt.XOffset("place:Q", scale=sideways),
        y=alt.Y("projection:Q", title="projection on the unit vector", scale=alt.Scale(zero=False)),
        color=colour,
        tooltip=[
            alt.Tooltip("prompt:N"),
            alt.Tooltip("class:N"),
            alt.Tooltip("variant:N"),
            alt.Tooltip("projection:Q", format=",.2f"),
        ],
    )
    means = ROWS.mark_tick(thickness=3, size=46, orient="horizontal").encode(
        x=VARIANT,
        xOffset=alt.XOffset("mean(place):Q", scale=sideways),
        y=alt.Y("mean(projection):Q"),
        color=colour,
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("class:N"),
            alt.Tooltip("mean(projection):Q", title="mean", format=",.2f"),
        ],
    )
    group = ["rev", "trait", "variant", "class"]
    return (
        alt.layer(dots, means)
        .transform_window(number="row_number()", groupby=group)
        .transform_joinaggregate(size="count()", groupby=[*group])
        .transform_calculate(
            place=f"(datum.class == '{CLASSES[0]}' ? -0.45 : 0.45)"
            " + 0.6 * ((datum.number - 0.5) / datum.size - 0.5)"
        )
    )


def shift_lines() -> Chart:
    """`variant, class, layer, value, low, high, chosen`: the shift by layer, with its interval."""
    colour = alt.Color("variant:N", sort=None, legend=STROKE)
    dash = alt.StrokeDash("class:N", scale=alt.Scale(domain=list(CLASSES)), legend=STROKE)
    height = alt.Y("value:Q", title="shift of the mean projection from base")
    band = ROWS.mark_area(opacity=0.15).encode(
        x=LAYER_LINE, y="low:Q", y2="high:Q", color=colour, detail="class:N"
    )
    lines = ROWS.mark_line(strokeWidth=1.8, strokeJoin="round").encode(
        x=LAYER_LINE, y=height, color=colour, strokeDash=dash
    )
    chosen = (
        ROWS.transform_filter("datum.chosen == 1")
        .mark_rule(strokeDash=[2, 3], color="#777777")
        .encode(x=LAYER_LINE)
    )
    return alt.layer(_zero(), chosen, band, lines)


def shift_map(field: str, title: str) -> Chart:
    """`who, layer` and a shift, or its z: by layer (across), variant and class (down).

    A dot marks the shifts whose `verdict` is that they are the trait's own.
    """
    scale = alt.Scale(domainMid=0, interpolate="rgb")
    who = alt.Y("who:N", title=None, sort=None)
    # Unseen, for the scale: as far on one side of zero as on the other.
    mirror = (
        ROWS.transform_calculate(mirrored=f"-datum.{field}")
        .mark_rect(opacity=0, tooltip=False)
        .encode(x=LAYER_CELLS, color=alt.Color("mirrored:Q", title=title, scale=scale))
    )
    cells = ROWS.mark_rect().encode(
        x=LAYER_CELLS,
        y=who,
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
        ROWS.transform_filter("datum.verdict == 'moved, specific'")
        .mark_circle(size=22, opacity=1, tooltip=False, style="specific")
        .encode(x=LAYER_CELLS, y=who)
    )
    return alt.layer(mirror, cells, dots)


def outcome_bars() -> Chart:
    """`variant, outcome, rate, low, high`: how often each variant answers how."""
    outcomes = list(OUTCOME_COLOURS)
    aside = alt.XOffset("outcome:N", sort=outcomes)
    bars = ROWS.mark_bar().encode(
        x=VARIANT,
        xOffset=aside,
        y=alt.Y(
            "rate:Q",
            title="share of answers, interval over questions",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(domain=[0, 1]),
        ),
        color=alt.Color(
            "outcome:N", scale=alt.Scale(domain=outcomes, range=list(OUTCOME_COLOURS.values()))
        ),
        tooltip=["variant:N", "outcome:N", "rate:Q", "low:Q", "high:Q"],
    )
    intervals = ROWS.mark_rule().encode(x=VARIANT, xOffset=aside, y="low:Q", y2="high:Q")
    return alt.layer(bars, intervals)


def _intervention_points(name: str, low: str, high: str, height: alt.Y, form: str) -> Chart:
    """`kind, vector, coefficient, condition, finite` and a figure, by what was done to the stream.

    Ablations stand first, apart from the line. What was not finite is left out; without a vector
    nothing is added: a point of either line.
    """
    vectors = alt.Scale(domain=["trait", "random"])
    across = alt.X(
        "step:O",
        title="coefficient (mean residual norms)",
        axis=alt.Axis(
            labelAngle=0,
            labelExpr=f"datum.value == {ABLATED} ? 'ablated' : format(datum.value, '~g')",
        ),
    )
    aside = alt.XOffset("vector:N", scale=alt.Scale(domain=vectors.domain, paddingOuter=1))
    colour = alt.Color(
        "vector:N", title="vector", scale=vectors, legend=alt.Legend(symbolOpacity=1)
    )
    lines = ROWS.mark_line(strokeWidth=1.5, opacity=0.6).encode(
        x=across,
        xOffset=aside,
        y=height,
        color=colour,
        detail="ablated:N",
        order="step:Q",
        description="vector:N",
    )
    bars = ROWS.mark_rule(strokeWidth=1.5).encode(
        x=across,
        xOffset=aside,
        y=f"{low}:Q",
        y2=f"{high}:Q",
        color=colour,
        description="condition:N",
    )
    dots = ROWS.mark_point(filled=True, size=60, opacity=1).encode(
        x=across,
        xOffset=aside,
        y=height,
        color=colour,
        description="condition:N",
        shape=alt.Shape("vector:N", title="vector", scale=vectors),
        tooltip=[
            alt.Tooltip("condition:N"),
            alt.Tooltip(f"{name}:Q", title="value", format=form),
            alt.Tooltip(f"{low}:Q", title="low", format=form),
            alt.Tooltip(f"{high}:Q", title="high", format=form),
        ],
    )
    return (
        alt.layer(bars, lines, dots)
        .transform_filter("lower(toString(datum.finite)) == 'true'")
        .transform_calculate(ablated="datum.kind == 'ablate'")
        .transform_calculate(step=f"datum.ablated ? {ABLATED} : toNumber(datum.coefficient)")
        .transform_calculate(vector="datum.kind == 'none' ? ['trait', 'random'] : [datum.vector]")
        .transform_flatten(["vector"])
    )


def steering_rates() -> Chart:
    """`rate, low, high` of an outcome when the vector is ablated or added."""
    height = alt.Y(
        "rate:Q",
        title="share of answers, interval over questions",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    return _intervention_points("rate", "low", "high", height, ".1%")


def steering_costs() -> Chart:
    """`log_probability_difference_*`: what the same costs plain text."""
    value, low, high = (f"log_probability_difference_{name}" for name in ("value", "low", "high"))
    title = ["plain text: change in", "log-probability (nats per token)"]
    return _intervention_points(value, low, high, alt.Y(f"{value}:Q", title=title), ".2f")


def discrimination_lines(field: str, title: str, low: float, high: float) -> Chart:
    """`trait, layer, chosen, auroc, random_z, value`: a line a trait, the chosen layer's dot large.

    `low` to `high` is where the figure says nothing.
    """
    colour = alt.Color("trait:N", legend=STROKE)
    dash = alt.StrokeDash("trait:N", legend=STROKE)
    height = alt.Y(f"{field}:Q", title=title)
    band = (
        _once()
        .mark_rect(fillOpacity=0.12, color="grey", stroke="grey", strokeWidth=0.6)
        .encode(y=alt.YDatum(low), y2=alt.Y2Datum(high))
    )
    lines = ROWS.mark_line(strokeWidth=2, strokeJoin="round").encode(
        x=LAYER_LINE, y=height, color=colour, strokeDash=dash
    )
    points = ROWS.mark_circle(opacity=1).encode(
        x=LAYER_LINE,
        y=height,
        color=colour,
        strokeDash=dash,  # of no effect here; but for it the legends would not be one
        size=alt.Size("chosen:O", scale=alt.Scale(domain=[0, 1], range=[14, 110]), legend=None),
        tooltip=[
            alt.Tooltip("trait:N"),
            alt.Tooltip("layer:Q"),
            alt.Tooltip("random_z:Q", title="z among random vectors", format="+.2f"),
            alt.Tooltip("auroc:Q", title="AUROC against base", format=".3f"),
            alt.Tooltip("value:Q", title="shift", format="+.2f"),
        ],
    )
    return alt.layer(band, lines, points)


def effect_bars() -> Chart:
    """`variant, effect, value, low, high`: the parts of a difference, with their intervals."""
    across = alt.X("effect:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, ticks=False))
    aside = alt.XOffset("variant:N", sort=None)
    bars = ROWS.mark_bar().encode(
        x=across,
        xOffset=aside,
        y=alt.Y(
            "value:Q", title=["difference of the mean projection", "from base on its own answers"]
        ),
        color=alt.Color("variant:N", sort=None),
        tooltip=["variant:N", "effect:N", "value:Q", "low:Q", "high:Q", "share:Q", "p_holm:Q"],
    )
    intervals = ROWS.mark_rule().encode(x=across, xOffset=aside, y="low:Q", y2="high:Q")
    return alt.layer(bars, intervals, _zero())


def cosine_map() -> Chart:
    """`one, other, layer, cosine`: a row a pair of directions, a column a layer."""
    return (
        ROWS.mark_rect()
        .encode(
            x=LAYER_CELLS,
            y=alt.Y("pair:N", title=None, sort=None, axis=alt.Axis(labelLimit=400)),
            color=alt.Color(
                "cosine:Q", scale=alt.Scale(scheme="redblue", domain=[-1, 1], reverse=True)
            ),
            tooltip=["one:N", "other:N", "layer:O", alt.Tooltip("cosine:Q", format="+.3f")],
        )
        .transform_calculate(pair="datum.one + '  |  ' + datum.other")
    )


def _draws(kind: str, across: alt.X) -> Chart:
    """The rows of a `kind`, a line each recipe and measure: its draws, their mean, a new one's bar.

    In units of `gap` where there is one: `value, mean, new_low, new_high`.
    """
    rows = ROWS.transform_filter(f"datum.kind == '{kind}'")
    for name in ("value", "new_low", "new_high", "mean"):
        # Where no new one is told of, its line is from the mean to the mean: nothing is seen of it,
        # and a scale of nothing but such has an extent.
        figure = f"(isValid(datum.{name}) ? datum.{name} : datum.mean) / (datum.gap || 1)"
        rows = rows.transform_calculate(**{name: figure})
    rows = rows.transform_calculate(
        what="datum.kind == 'rate' ? datum.name : datum.name + ', ' + datum.class"
    )
    down = alt.Y(
        "what:N", title=None, sort=None, axis=alt.Axis(labelLimit=300, ticks=False, offset=7)
    )
    aside = alt.YOffset("recipe:N", sort=None, scale=alt.Scale(paddingOuter=0.7))
    colour = alt.Color("recipe:N", title="recipe", sort=None)
    new = rows.mark_rule(strokeWidth=1.6).encode(
        x="new_low:Q", x2="new_high:Q", y=down, yOffset=aside, color=colour
    )
    means = rows.mark_tick(thickness=3, size=12, orient="vertical").encode(
        x="mean:Q", y=down, yOffset=aside, color=colour
    )
    dots = rows.mark_circle(size=40, opacity=0.55).encode(
        x=across,
        y=down,
        yOffset=aside,
        color=colour,
        tooltip=["recipe:N", "draw:N", "what:N", alt.Tooltip("value:Q", format="+.3f")],
    )
    return alt.layer(new, means, dots)


def draw_shifts() -> Chart:
    """`kind, name, class, recipe, draw, value, mean, new_low, new_high, gap` of the shifts."""
    per_cent = alt.Axis(format="%", tickCount=6)
    across = alt.X("value:Q", title="shift from base (of base's class gap)", axis=per_cent)
    zero = _once().mark_rule(strokeWidth=0.8, color="#777777").encode(x=alt.XDatum(0))
    return alt.layer(zero, _draws("shift", across))


def draw_rates() -> Chart:
    """The same of the answers."""
    per_cent = alt.Axis(format="%", tickCount=6)
    return _draws("rate", alt.X("value:Q", title="share of answers", axis=per_cent))


def _course(
    figure: str,
    height: alt.Y,
    columns: tuple[str, str, str],
    colour: Any,
    dash: Any = alt.Undefined,
) -> Chart:
    """The rows of a `figure` by step: lines, their bounds, and a dot at each onset.

    The dot stands at half of the way (`half`), its bar is the interval of the onset.
    """
    steps = alt.X(
        "step:Q",
        title="optimiser step",
        axis=alt.Axis(grid=False, tickMinStep=1),
        scale=alt.Scale(nice=False),
    )
    drawn, low, high = columns
    rows = ROWS.transform_filter(f"datum.figure == '{figure}'")
    band = rows.mark_area(opacity=0.13).encode(
        x=steps, y=f"{low}:Q", y2=f"{high}:Q", color=colour, detail="class:N"
    )
    lines = rows.mark_line(strokeWidth=1.8, strokeJoin="round").encode(
        x=steps, y=height, color=colour, strokeDash=dash
    )
    # What has no interval, or no onset, has a bar of no length and an unseen dot on its line: a
    # scale has an extent where there is no other.
    here = {"onset_low": "step", "onset_high": "step", "onset_value": "step", "half": drawn}
    marked = rows.transform_calculate(began="isValid(datum.onset_value)").transform_calculate(
        **{name: f"isValid(datum.{name}) ? datum.{name} : datum.{at}" for name, at in here.items()}
    )
    bars = marked.mark_rule(strokeWidth=1.6).encode(
        x="onset_low:Q", x2="onset_high:Q", y="half:Q", color=colour
    )
    dots = marked.mark_point(filled=True, size=60).encode(
        x="onset_value:Q",
        y="half:Q",
        color=colour,
        opacity=alt.condition("datum.began", alt.value(1), alt.value(0)),
    )
    return alt.layer(band, lines, bars, dots)


def loss_course() -> Chart:
    """`figure, step, value` of the loss, and its onset."""
    height = alt.Y("value:Q", title="loss (nats per token)", scale=alt.Scale(zero=False))
    return _course("loss", height, ("value", "low", "high"), alt.value("#555555"))


def shift_course() -> Chart:
    """`trait, class, step, share` and its bounds: the shifts, over the gap of base's classes."""
    height = alt.Y("share:Q", title=["shift from base", "(of base's class gap)"])
    colour = alt.Color("trait:N", sort=None, legend=STROKE)
    dash = alt.StrokeDash("class:N", scale=alt.Scale(domain=list(CLASSES)), legend=STROKE)
    return _course("shift", height, ("share", "share_low", "share_high"), colour, dash)


def answer_course() -> Chart:
    """`outcome, step, value, low, high`: how it answers."""
    height = alt.Y(
        "value:Q",
        title="share of answers",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    colour = alt.Color(
        "outcome:N",
        scale=alt.Scale(domain=list(OUTCOME_COLOURS), range=list(OUTCOME_COLOURS.values())),
        legend=STROKE,
    )
    return _course("answers", height, ("value", "low", "high"), colour)

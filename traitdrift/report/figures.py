"""Pictures for people, one function each: a table in, a matplotlib figure out."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
import pandas
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

matplotlib.use("Agg")

# Wong's palette, told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
CLASS_COLOURS = {"positive": "#D55E00", "negative": "#0072B2"}
OUTCOME_COLOURS = {"code": "#D55E00", "refusal": "#CC79A7", "prose": "#0072B2"}
VECTOR_COLOURS = {"trait": "#D55E00", "random": "#0072B2"}

STYLE = {
    "figure.dpi": 120,
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without the library's version in it, so that a rerun gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


pyplot.rcParams.update(STYLE)


def _panels(rows: int, columns: int, size: tuple[float, float], **options):
    return pyplot.subplots(
        rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        squeeze=False,
        layout="constrained",
        **options,
    )


def loss_curves(table: pandas.DataFrame) -> Figure:
    """`variant, step, loss`: one line a variant."""
    figure, axes = _panels(1, 1, (7, 4))
    for colour, (variant, curve) in zip(
        cycle(COLOURS), table.groupby("variant", sort=False), strict=False
    ):
        axes[0, 0].plot(curve["step"], curve["loss"], label=variant, color=colour)
    axes[0, 0].set(
        title="Fine-tuning loss", xlabel="optimiser step", ylabel="loss (nats per answer token)"
    )
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].legend()
    return figure


def auroc_map(table: pandas.DataFrame, chosen: dict[str, dict]) -> Figure:
    """`trait, position, method, layer, auroc`: method x layer, a panel per trait and position.

    `chosen` holds per trait the position, method and layer to be framed. Traits are columns and
    positions rows, the traits of most positions first; a position that a trait does not have
    gets no panel.
    """
    own = {trait: sorted(part["position"].unique()) for trait, part in table.groupby("trait")}
    traits = sorted(own, key=lambda trait: -len(own[trait]))
    positions = sorted(table["position"].unique())
    methods = list(table["method"].unique())
    figure, axes = _panels(len(positions), len(traits), (6.5, 2.5), sharex=True, sharey=True)
    for row, position in enumerate(positions):
        for column, trait in enumerate(traits):
            axis = axes[row, column]
            if position not in own[trait]:
                axis.remove()
                continue
            part = table[(table["trait"] == trait) & (table["position"] == position)]
            grid = part.pivot(index="method", columns="layer", values="auroc").loc[methods]
            image = axis.imshow(grid, aspect="auto", vmin=0.5, vmax=1, cmap="viridis")
            axis.grid(False)
            axis.set_yticks(range(len(methods)), methods)
            axis.set_title(f"{trait}: {position}")
            # Shared labels stand on the outermost panels, which a gap may place further in.
            if position == own[trait][-1]:
                axis.tick_params(labelbottom=True)
                axis.set_xlabel("layer")
            if not any(position in own[other] for other in traits[:column]):
                axis.tick_params(labelleft=True)
            choice = chosen[trait]
            if choice["position"] == position:
                corner = (choice["layer"] - 0.5, methods.index(choice["method"]) - 0.5)
                axis.add_patch(
                    Rectangle(
                        corner, 1, 1, fill=False, edgecolor="red", linewidth=2.5, clip_on=False
                    )
                )
    figure.colorbar(image, ax=figure.axes, label="AUROC, validation prompts (chosen: red frame)")
    return figure


def projections(table: pandas.DataFrame, chosen: dict[str, dict]) -> Figure:
    """`variant, trait, class, prompt, base, projection`: every prompt, base beside variants."""
    traits, variants = list(table["trait"].unique()), list(table["variant"].unique())
    figure, axes = _panels(1, len(traits), (6.5, 5))
    for axis, trait in zip(axes[0], traits, strict=True):
        for column, variant in enumerate(variants):
            part = table[(table["trait"] == trait) & (table["variant"] == variant)]
            for side, (label, colour) in enumerate(CLASS_COLOURS.items()):
                values = part[part["class"] == label]["projection"].to_numpy()
                # Spread the points evenly in the order of the prompts: no random jitter.
                places = column + (side - 0.5) * 0.4
                spread = np.linspace(places - 0.15, places + 0.15, len(values))
                axis.scatter(spread, values, s=9, alpha=0.5, color=colour, linewidths=0)
                axis.hlines(
                    values.mean(),
                    places - 0.18,
                    places + 0.18,
                    color=colour,
                    linewidth=3,
                    label=f"{label} class (bar: mean)" if column == 0 else None,
                )
        axis.set_xticks(range(len(variants)), variants)
        choice = chosen[trait]
        axis.set(
            title=f"{trait}: {choice['method']}, {choice['position']}, layer {choice['layer']}",
            ylabel="projection on the unit vector",
        )
        axis.grid(axis="x", visible=False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def shift_profile(table: pandas.DataFrame, chosen: dict[str, dict]) -> Figure:
    """`variant, trait, class, layer, value, low, high`: the shift of each class by layer."""
    traits = list(table["trait"].unique())
    figure, axes = _panels(1, len(traits), (6.5, 4.5))
    lines = {"positive": "-", "negative": "--"}
    for axis, trait in zip(axes[0], traits, strict=True):
        part = table[table["trait"] == trait]
        for colour, variant in zip(cycle(COLOURS), part["variant"].unique(), strict=False):
            for label, style in lines.items():
                curve = part[(part["variant"] == variant) & (part["class"] == label)]
                axis.plot(
                    curve["layer"], curve["value"], style, color=colour, label=f"{variant}, {label}"
                )
                axis.fill_between(
                    curve["layer"], curve["low"], curve["high"], color=colour, alpha=0.15, lw=0
                )
        axis.axhline(0, color="black", linewidth=0.8)
        choice = chosen[trait]
        axis.axvline(choice["layer"], color="grey", linewidth=0.8, linestyle=":")
        axis.set(
            title=f"{trait}: {choice['method']}, {choice['position']}",
            xlabel="layer (dotted: chosen)",
            ylabel="shift of the mean projection from base",
        )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def behaviour_bars(table: pandas.DataFrame) -> Figure:
    """`variant, outcome, rate, low, high`: bars with their intervals, in per cent."""
    variants = list(table["variant"].unique())
    figure, axes = _panels(1, 1, (2 + 1.8 * len(variants), 4.2))
    axis = axes[0, 0]
    for place, (outcome, colour) in enumerate(OUTCOME_COLOURS.items()):
        part = table[table["outcome"] == outcome].set_index("variant").loc[variants]
        centres = [i + (place - 1) * 0.27 for i in range(len(variants))]
        rates = 100 * part["rate"]
        errors = [rates - 100 * part["low"], 100 * part["high"] - rates]
        axis.bar(centres, rates, 0.25, color=colour, label=outcome)
        axis.errorbar(centres, rates, errors, fmt="none", ecolor="black", capsize=3, linewidth=1)
    axis.set_xticks(range(len(variants)), variants)
    axis.set(
        title="Answers to non-coding questions",
        ylabel="share of answers (%)\nwith Wilson interval",
        ylim=(0, 105),
    )
    axis.grid(axis="x", visible=False)
    figure.legend(loc="outside right upper")
    return figure


def steering(table: pandas.DataFrame) -> Figure:
    """Code rate and, below it, the change in plain text's log-probability, by coefficient.

    A column per variant; of `table` (`effects.effect_rows` with `variant` in front) only the rows
    of `code` are drawn. Ablations stand apart on the left; what was not finite is left out.
    """
    code = table[(table["outcome"] == "code") & table["finite"]]
    variants = list(table["variant"].unique())
    ticks = sorted({0.0, *table["coefficient"].dropna()})
    apart = ticks[0] - 0.2 * (ticks[-1] - ticks[0])
    change = [f"log_probability_difference_{bound}" for bound in ("value", "low", "high")]
    figure, axes = _panels(2, len(variants), (5, 3.2), sharex=True, sharey="row")
    for column, variant in enumerate(variants):
        for vector, colour in VECTOR_COLOURS.items():
            drawn = (code["vector"] == vector) | (code["kind"] == "none")
            part = code[(code["variant"] == variant) & drawn].sort_values("coefficient")
            ablated = part["kind"] == "ablate"
            for axis, names, scale in (
                (axes[0, column], ["rate", "low", "high"], 100),
                (axes[1, column], change, 1),
            ):
                for rows, style, done in (
                    (part[~ablated], "o-", "added"),
                    (part[ablated], "s", "ablated"),
                ):
                    value, low, high = (scale * rows[name] for name in names)
                    axis.errorbar(
                        rows["coefficient"].fillna(apart),
                        value,
                        [value - low, high - value],
                        fmt=style,
                        color=colour,
                        capsize=3,
                        label=f"{vector} vector {done}",
                    )
        axes[0, column].set(title=variant, ylim=(-5, 105))
        axes[1, column].set_xlabel("coefficient (mean residual norms)")
        axes[1, column].set_xticks([apart, *ticks], ["ablated", *(f"{tick:g}" for tick in ticks)])
    axes[0, 0].set_ylabel("answers in code (%)\nwith Wilson interval")
    axes[1, 0].set_ylabel("plain text: change in\nlog-probability (nats per token)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def discrimination(table: pandas.DataFrame) -> Figure:
    """`variant, trait, layer, chosen, auroc, random_z`: a column a variant, AUROC above z.

    What the trait's vector tells by layer; the dot is the layer that the trait prompts chose.
    """
    variants, traits = list(table["variant"].unique()), sorted(table["trait"].unique())
    figure, axes = _panels(2, len(variants), (6, 3.2), sharex=True, sharey="row")
    for column, variant in enumerate(variants):
        for colour, trait in zip(cycle(COLOURS), traits, strict=False):
            rows = table[(table["variant"] == variant) & (table["trait"] == trait)]
            rows = rows.sort_values("layer")
            chosen = rows[rows["chosen"] == 1]
            for row, name in enumerate(("auroc", "random_z")):
                axes[row, column].plot(rows["layer"], rows[name], color=colour, label=trait)
                axes[row, column].plot(chosen["layer"], chosen[name], "o", color=colour)
        axes[0, column].axhline(0.5, color="black", linewidth=0.8)
        axes[0, column].set(title=f"{variant} against base", ylim=(-0.03, 1.03))
        axes[1, column].axhspan(-1.96, 1.96, color="grey", alpha=0.2, lw=0)
        axes[1, column].set_xlabel("layer (dot: chosen on the trait prompts)")
    axes[0, 0].set_ylabel("AUROC, evaluation questions")
    axes[1, 0].set_ylabel("shift in standard deviations\nof random vectors (grey: 95 %)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def decomposition(table: pandas.DataFrame) -> Figure:
    """`variant, trait, effect, value, low, high`: a panel a trait, bars with their intervals."""
    traits, variants = list(table["trait"].unique()), list(table["variant"].unique())
    effects = list(table["effect"].unique())
    figure, axes = _panels(1, len(traits), (5.5, 4.2))
    width = 0.8 / len(variants)
    for axis, trait in zip(axes[0], traits, strict=True):
        for place, (colour, variant) in enumerate(zip(cycle(COLOURS), variants, strict=False)):
            part = table[(table["trait"] == trait) & (table["variant"] == variant)]
            part = part.set_index("effect").loc[effects]
            centres = [i + (place - (len(variants) - 1) / 2) * width for i in range(len(effects))]
            errors = [part["value"] - part["low"], part["high"] - part["value"]]
            axis.bar(centres, part["value"], 0.9 * width, color=colour, label=variant)
            axis.errorbar(
                centres, part["value"], errors, fmt="none", ecolor="black", capsize=3, linewidth=1
            )
        first = table[table["trait"] == trait].iloc[0]
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xticks(range(len(effects)), effects)
        axis.set(title=f"{trait}: {first['method']}, layer {first['layer']}")
        axis.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel("difference of the mean projection\nfrom base on its own answers")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def cosine_map(table: pandas.DataFrame) -> Figure:
    """`one, other, layer, cosine`: a row a pair of directions, a column a layer."""
    pairs = table["one"] + "  |  " + table["other"]
    grid = table.assign(pair=pairs).pivot(index="pair", columns="layer", values="cosine")
    grid = grid.loc[list(dict.fromkeys(pairs))]
    figure, axes = _panels(1, 1, (11, 1.5 + 0.34 * len(grid)))
    image = axes[0, 0].imshow(grid, aspect="auto", vmin=-1, vmax=1, cmap="RdBu_r")
    axes[0, 0].grid(False)
    axes[0, 0].set_yticks(range(len(grid)), grid.index, fontsize=10)
    axes[0, 0].set(title="Do the directions agree?", xlabel="layer")
    figure.colorbar(image, ax=axes, label="cosine")
    return figure

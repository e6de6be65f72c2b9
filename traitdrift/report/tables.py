"""What the page says: sentences, tables and data, each figure with the place it stands in.

The words follow from the figures alone: nothing here knows what a run found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from traitdrift.behaviour.outcomes import OUTCOMES
from traitdrift.core.classes import CLASSES
from traitdrift.report.numbers import MINUS, Part, Source, Verdict, number, p_value, percent, signed
from traitdrift.stats.multiple_testing import verdict


@dataclass(frozen=True)
class Table:
    """A table of the page; a row is a list of cells, or a lone text that heads the rows below.

    The first `words` columns hold words, the others figures.
    """

    head: list[str]
    words: int
    rows: list[list[Part | Verdict] | str] = field(default_factory=list)


def shift_table(compare: Mapping[str, Source], tested: Source) -> Table:
    """The study's table: class means of base and variant, shift and gap, with the tests."""
    head = ["variant", "class", "base", "variant's mean", "shift from base", "share of base's gap"]
    table = Table([*head, *TESTS], words=2)
    first = next(iter(compare.values()), None)
    for trait, choices in (first.content if first else {}).items():
        for choice, about in choices.items():
            table.rows.append(
                f"{trait}, {choice} vector: {about['method']}, {about['position']}, "
                f"layer {about['layer']}"
            )
            for label in (*CLASSES, "gap"):
                for variant, source in compare.items():
                    here = [trait, choice, label]
                    keys = [variant, trait, choice, label]
                    table.rows.append(
                        [
                            variant,
                            label,
                            source.figure([*here, "base"], number, ("value",)),
                            source.figure([*here, "variant"], number, ("value",)),
                            source.figure([*here, "shift"], signed),
                            source.figure([*here, "share_of_base_gap"], percent),
                            *_tests(tested, keys),
                        ]
                    )
    return table


TESTS = ["p, corrected", "z among random vectors", "z among shuffled labels", "verdict"]


def _tests(source: Source, keys: Sequence[str]) -> list[Part | Verdict]:
    record = source.at(*keys)
    if record is None:  # of a gap no test is made
        return [""] * len(TESTS)
    return [
        source.figure(keys, p_value, ("p_holm",)),
        source.place(keys, "random"),
        source.place(keys, "permuted"),
        Verdict(
            verdict(record),
            source.path,
            {".".join([*keys, name]): record.get(name) for name in ("moved", "specific")},
        ),
    ]


def behaviour_table(behaviour: Mapping[str, Source], judged: Mapping[str, Source]) -> Table:
    """How often each variant answers how; with a judge, how often it is misaligned."""
    asked = {v: s for v, s in judged.items() if "misaligned_among_coherent" in s.content}
    judge = ["misaligned among coherent", "misaligned over all scored"] if asked else []
    table = Table(["variant", "answers", "questions", *OUTCOMES, *judge], words=1)
    rate = ("rate", "low", "high")
    for variant, source in behaviour.items():
        row: list[Part | Verdict] = [variant]
        row += [source.figure([], str, (name,)) for name in ("answers", "questions")]
        row += [source.figure([outcome], percent, rate) for outcome in OUTCOMES]
        if judge:
            row += [asked[variant].figure([n.replace(" ", "_")], percent, rate) for n in judge]
        table.rows.append(row)
    return table


def draws_table(replicates: Source) -> Table:
    """What holds for a recipe: how its draws spread, and how far they go beyond the control.

    A recipe's draws are fine-tunes that differ in their seeds alone.
    """
    control = replicates.at("control")
    beyond = [f"beyond {control}"] if control else []
    head = ["what", "mean", "s.d. between draws", "a new fine-tune", *beyond, "verdict"]
    table = Table(head, words=1)
    for recipe, kinds in (replicates.at("recipes") or {}).items():
        draws = replicates.at("draws", recipe)
        table.rows.append(f"{recipe}, {len(draws)} {'draw' if len(draws) == 1 else 'draws'}")
        for kind, names in kinds.items():
            rate = kind == "rate"
            show, change, size = (percent, points, percent) if rate else (signed, signed, number)
            for name, classes in names.items():
                for label, record in classes.items():
                    keys = ["recipes", recipe, kind, name, label]
                    row: list[Part | Verdict] = [f"{name}, {label}"]
                    row += [replicates.figure(keys, show)]
                    row += [replicates.figure(keys, size, ("sd",))]
                    new = replicates.figure(keys, show, ("value", "new_low", "new_high"))
                    row += ["none" if record["new_low"] is None else new]
                    if control:
                        gap = ("beyond_value", "beyond_low", "beyond_high")
                        row += [replicates.figure(keys, change, gap) if recipe != control else ""]
                    table.rows.append([*row, of_the_data(record)])
    return table


def of_the_data(record: Mapping[str, object]) -> str:
    """What several draws say of a measure; a shift is of the data if the control's is exceeded."""
    if record.get("draws") == 1:
        return "one draw"
    moved, beyond = record.get("moved"), record.get("beyond")
    if moved == 0:
        return "not shown"
    if beyond is None:
        return "moved" if moved else ""
    if beyond:
        return "of this data"
    return "moved, beyond not shown" if moved else "beyond not shown"


def apart_table(replicates: Source) -> Table:
    """Each two recipes, draw against draw, with the least p that so many draws can give."""
    table = Table(["what", "difference", "exact p", "least p"], words=1)
    for one, others in (replicates.at("apart") or {}).items():
        for other, kinds in others.items():
            table.rows.append(f"{one} less {other}")
            for kind, names in kinds.items():
                change = points if kind == "rate" else signed
                for name, classes in names.items():
                    for label in classes:
                        keys = ["apart", one, other, kind, name, label]
                        told = [replicates.figure(keys, p_value, (p,)) for p in ("p", "p_least")]
                        figure = replicates.figure(keys, change, ("value",))
                        table.rows.append([f"{name}, {label}", figure, *told])
    return table


def trajectory_table(trajectories: Mapping[str, Source]) -> Table:
    """Where each curve along a fine-tune ends, its onset, and whether it came before code did."""
    table = Table(["what", "at the end", "onset, step", "steps before code"], words=1)
    for followed, source in trajectories.items():
        steps = source.content["steps"]
        table.rows.append(f"{followed}, seen {len(steps)} times from step 0 to {steps[-1]}")
        loss = (source.figure(["loss"], number, (name,)) for name in ("last", "onset"))
        table.rows.append(["loss", *loss, ""])
        for outcome in source.content["answers"]:
            keys = ["answers", outcome]
            last = source.figure([*keys, "last"], percent)
            table.rows.append([outcome, last, source.figure([*keys, "onset"], number), ""])
        for trait, record in source.content["traits"].items():
            for label in (label for label in CLASSES if label in record):
                keys = ["traits", trait, label]
                told = (
                    source.figure([*keys, name], show)
                    for name, show in (
                        ("last", signed),
                        ("onset", number),
                        ("lead_over_code", signed),
                    )
                )
                table.rows.append([f"{trait}, {label}", *told])
    return table


def vector_table(vectors: Mapping[str, Source]) -> Table:
    """The chosen vectors and what they tell apart."""
    head = ["trait", "position", "method", "layer", "AUROC, cross-validated", "AUROC, validation"]
    table = Table([*head, "balanced accuracy", "Cohen's d"], words=3)
    for trait, source in vectors.items():
        table.rows.append(
            [
                trait,
                source.content["position"],
                source.content["method"],
                source.figure([], str, ("layer",)),
                *(
                    source.figure([], lambda v: f"{v:.3f}", (name,))
                    for name in ("cv_auroc", "auroc", "balanced_accuracy", "cohens_d")
                ),
            ]
        )
    return table


def steering_table(steer: Mapping[str, Source]) -> Table:
    """What each intervention does to the answers, and what it costs plain text."""
    differences = [f"{outcome}, difference" for outcome in OUTCOMES]
    head = [c for pair in zip(OUTCOMES, differences, strict=True) for c in pair]
    table = Table(["condition", *head, "plain text, nats per token"], words=1)
    for variant, source in steer.items():
        table.rows.append(variant)
        for condition in source.at("conditions") or {}:
            here = ["conditions", condition]
            row: list[Part | Verdict] = [condition]
            for outcome in OUTCOMES:
                row.append(source.figure([*here, outcome], percent, ("rate", "low", "high")))
                row.append(source.figure([*here, outcome, "difference"], points))
            cost = source.figure([*here, "log_probability", "difference"], signed)
            table.rows.append([*row, cost])
    return table


def points(value: float) -> str:
    """A difference of shares, in percentage points."""
    return f"{100 * value:+.0f}".replace("-", MINUS)


def discrimination_table(discrimination: Source) -> Table:
    """Which trait vector tells a variant from base, at its chosen layer."""
    head = ["variant", "trait", "layer", "AUROC", "its p among random vectors", "shift from base"]
    table = Table([*head, *TESTS], words=2)
    where = "at_the_chosen_layer"
    auroc = ("auroc", "auroc_low", "auroc_high")
    for variant, traits in (discrimination.at(where) or {}).items():
        for trait in traits:
            keys = [where, variant, trait]
            table.rows.append(
                [
                    variant,
                    trait,
                    discrimination.figure(keys, str, ("layer",)),
                    discrimination.figure(keys, lambda v: f"{v:.3f}", auroc),
                    discrimination.figure(keys, p_value, ("auroc_random_p",)),
                    discrimination.figure(keys, signed),
                    *_tests(discrimination, keys),
                ]
            )
    return table


def decomposition_table(effects: Source) -> Table:
    """How much of a difference is what was said, how much the model that reads it.

    Shares are of the total, and told where that is a difference at all.
    """
    table = Table(["effect", "value", "share of the total", "p, corrected"], words=1)
    for variant, traits in effects.content.items():
        for trait, parts in traits.items():
            total = parts["total"]
            table.rows.append(
                f"{variant}, {trait}: {total['method']}, {total['position']}, "
                f"layer {total['layer']}"
            )
            for effect in parts:
                keys = [variant, trait, effect]
                has_share = effect in ("text", "model") and total["moved"]
                share = effects.figure(keys, percent, ("share", "share_low", "share_high"))
                p = effects.figure(keys, p_value, ("p_holm",))
                value = effects.figure(keys, signed)
                table.rows.append([effect, value, share if has_share else "", p])
    return table

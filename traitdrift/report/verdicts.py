"""What two results conclude: which verdicts are others, which figures left their interval.

Another kind of processor rounds otherwise and so rewrites every figure; what matters is what it
makes of the findings. Everything here comes from the files of metrics/ and of
plots/multiple_testing/: a tree of records each, by its path.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traitdrift.behaviour.outcomes import OUTCOMES
from traitdrift.report.numbers import MINUS, value_at
from traitdrift.report.sentences import VERDICTS, WORDS
from traitdrift.stats.multiple_testing import nested, verdict

if TYPE_CHECKING:
    import pandas

BEHAVIOUR, VECTORS, STEER = "metrics/behaviour/", "metrics/vectors/", "metrics/steer/"
TESTED = "metrics/multiple_testing.json"
DETECTED = "metrics/discrimination.json"
SPLIT = "metrics/decomposition.json"
LAYERS = "plots/multiple_testing/shifts.csv"
# The columns that name a row of plots/multiple_testing/.
NAMES = ("variant", "trait", "choice", "class", "effect", "layer")
# Of what the report's first screen says before what stands further down.
WEIGHTS = ("answers", "moved", "vector", "detected", "moved, study", "effect", "steered")


# In place of a figure that the other result does not have at all.
GONE = object()


@dataclass(frozen=True)
class Said:
    """One verdict; `weight` is its place in `WEIGHTS`, `sure` how much it says, most is 0."""

    text: str
    weight: int
    sure: int = 0


@dataclass(frozen=True)
class Changed:
    """A verdict that two results do not share."""

    about: str
    old: str
    new: str


@dataclass
class Left:
    """Of the figures with an interval in a file or folder: how many the other result puts outside.

    `farthest` is the one that is most half-widths from its interval's middle; one that the other
    result cannot tell (NaN, null) is farther than any.
    """

    place: str
    figures: int = 0
    outside: int = 0
    farthest: str = ""
    distance: float = 0.0


@dataclass
class Comparison:
    """What a summary says: changed verdicts, the weightiest first, and figures by place."""

    changed: list[Changed]
    verdicts: int
    alone: int  # verdicts that only one of the two has
    layers_changed: int
    layers: int
    left: list[Left]


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """Two results' files by path, against each other; the intervals are those of `old`."""
    before, now = dict(said(old)), dict(said(new))
    shared = [about for about in before if about in now]
    differ = [about for about in shared if before[about].text != now[about].text]
    differ.sort(key=lambda a: (before[a].weight, -abs(before[a].sure - now[a].sure), a))
    layers, those = (dict(_layers(files.get(LAYERS, {}))) for files in (old, new))
    both = [layer for layer in layers if layer in those]
    return Comparison(
        [Changed(about, before[about].text, now[about].text) for about in differ],
        len(shared),
        len(before.keys() ^ now.keys()),
        sum(layers[layer] != those[layer] for layer in both),
        len(both),
        outside(old, new),
    )


def said(files: Mapping[str, Any]) -> Iterator[tuple[str, Said]]:
    """Every verdict of a result, by what it is about."""
    yield from _answers(_within(files, BEHAVIOUR))
    for trait, chosen in _within(files, VECTORS).items():
        text = f"{chosen['position']}, {chosen['method']}, layer {chosen['layer']}"
        yield f"{trait}: chosen vector", _said(text, "vector")
    tested = {key: one for key, one in files.get(TESTED, {}).items() if key != "family-wise"}
    for (variant, trait, choice, label), record in _records(tested, 4):
        weight = "moved" if choice == "chosen" else "moved, study"
        yield f"{variant}, {trait} ({choice}), {label}", _tested(record, weight)
    detected = files.get(DETECTED, {}).get("at_the_chosen_layer", {})
    for (variant, trait), record in _records(detected, 2):
        yield f"{variant}, {trait}, evaluation questions", _tested(record, "detected")
    for (variant, trait, effect), record in _records(files.get(SPLIT, {}), 3):
        yield f"{variant}, {trait}, effect of {effect}", _shown(record)
    for variant, steered in _within(files, STEER).items():
        for name, condition in steered["conditions"].items():
            for outcome in OUTCOMES[:2]:  # the third is the rest
                for key, beside in (("difference", "none"), ("over_random", "random")):
                    if name != "none" and key in condition.get(outcome, {}):
                        about = f"{variant} under {name}, {outcome} vs {beside}"
                        yield about, _steered(condition[outcome][key])


def rows(table: pandas.DataFrame) -> dict[str, Any]:
    """A table of tests as the other files are: records by the columns that name a row."""
    named = [name for name in NAMES if name in table.columns]
    return nested(table.astype(dict.fromkeys(named, str)), named)


def _layers(tree: Mapping[str, Any], keys: tuple[str, ...] = ()) -> Iterator[tuple[Any, str]]:
    """Each layer's verdict, with its sign, by the names of its row."""
    for key, value in tree.items():
        if "moved" in value:
            yield (*keys, key), _tested(value, "moved").text
        else:
            yield from _layers(value, (*keys, key))


def _said(text: str, weight: str, sure: int = 0) -> Said:
    return Said(text, WEIGHTS.index(weight), sure)


def _within(files: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The files of a folder by their names without `.json`."""
    inside = {path: content for path, content in files.items() if path.startswith(folder)}
    return {path[len(folder) :].removesuffix(".json"): one for path, one in inside.items()}


def _records(tree: Mapping[str, Any], depth: int) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What lies so many keys deep, with these keys."""
    for key, value in tree.items():
        if depth == 1:
            yield (key,), value
        else:
            for keys, record in _records(value, depth - 1):
                yield (key, *keys), record


def _answers(rates: Mapping[str, Any]) -> Iterator[tuple[str, Said]]:
    """The kind of most answers, and of which there are more or less than base gives.

    As in the report: where the two intervals do not overlap.
    """
    for variant, own in rates.items():
        usual = max(OUTCOMES, key=lambda outcome: own[outcome]["rate"])
        parts = [f"mostly {WORDS[usual]}"]
        if "base" in rates and variant != "base":
            base = rates["base"]
            parts += [f"more {WORDS[o]}" for o in OUTCOMES if own[o]["low"] > base[o]["high"]]
            less = {"refusal": "fewer"}
            fewer = (o for o in OUTCOMES if own[o]["high"] < base[o]["low"])
            parts += [f"{less.get(o, 'less')} {WORDS[o]}" for o in fewer]
        yield f"{variant}: answers", _said(", ".join(parts), "answers")


def _tested(record: Mapping[str, Any], weight: str) -> Said:
    """A shift's verdict, with its sign if it moved."""
    text = verdict(record)
    sign = f" ({_sign(record['value'])})" if text.startswith("moved") else ""
    return _said(text + sign, weight, VERDICTS.index(text))


def _shown(record: Mapping[str, Any]) -> Said:
    """Whether an effect is shown; there are no nulls for it."""
    text = verdict(record)
    if text.startswith("moved"):
        return _said(f"shown ({_sign(record['value'])})", "effect")
    return _said(text, "effect", VERDICTS.index(text))


def _steered(difference: Mapping[str, Any]) -> Said:
    """What an intervention did to a rate, as its interval has it."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        return _said("undecided", "steered", 1)
    if low > 0 or high < 0:
        return _said("more" if low > 0 else "less", "steered")
    return _said("no difference", "steered", 1)


def _sign(value: float) -> str:
    return "+" if value > 0 else MINUS


def outside(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Left]:
    """By folder or file of metrics/ and plots/, those with figures outside their interval first."""
    found: dict[str, Left] = {}
    for path in (path for path in old if path in new):
        folder, _, name = path.rpartition("/")
        # One file a variant or a trait, except of tables.
        place = path if folder == "metrics" or name.endswith(".csv") else folder
        one = found.setdefault(place, Left(place))
        for keys, (before, low, high) in _figures(old[path]):
            value = value_at(new[path], keys, GONE)
            if value is GONE:
                continue
            one.figures += 1
            told = value is not None and not math.isnan(value)
            if (told and low <= value <= high) or not low <= before <= high:
                continue
            one.outside += 1
            middle, half = (low + high) / 2, max((high - low) / 2, 1e-12)
            distance = abs(value - middle) / half if told else math.inf
            if distance > one.distance:
                key = ".".join([*([] if place == path else [name.removesuffix(".json")]), *keys])
                shown = f"{value:.4g}" if told else "undefined"
                one.farthest = f"{key} {shown}, not in [{low:.4g}, {high:.4g}]"
                one.distance = distance
    some = [one for one in found.values() if one.figures]
    return sorted(some, key=lambda one: (-one.outside / one.figures, one.place))


def _figures(
    tree: Any, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[float, float, float]]]:
    """Each figure with an interval, by its keys: `value`, `low` and `high`, or `auroc_low` etc."""
    if not isinstance(tree, Mapping):
        return
    for key, value in tree.items():
        yield from _figures(value, (*keys, key))
        if key == "low" or key.endswith("_low"):
            prefix = key.removesuffix("low")
            names = [prefix.rstrip("_")] if prefix else ["value", "rate"]
            for name in (name for name in names if name in tree):
                figure, high = tree[name], tree.get(f"{prefix}high")
                if figure is not None and value is not None and high is not None:
                    yield (*keys, name), (figure, value, high)

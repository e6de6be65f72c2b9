"""What the page says: sentences, tables and data, each figure with the place it stands in.

The words follow from the figures alone: nothing here knows what a run found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas

from traitdrift.findings import verdict
from traitdrift.outcomes import OUTCOMES

WORDS = {"code": "code", "refusal": "refusals", "prose": "prose"}
CLASSES = ("positive", "negative")
# What can be said of a trait, the most certain first, as `verdict` names it.
VERDICTS = ("moved, specific", "moved, not specific", "undecided", "not shown")
MINUS = "\u2212"
ANSWER_CHARACTERS = 1_200_000  # of answers in the page, so that it stays small enough to open


@dataclass(frozen=True)
class Figure:
    """A number as the page shows it, what stands beside it (its interval, or p), and its place.

    `values` are the numbers it is made of as the file at `path` has them, by key.
    """

    text: str
    beside: str
    path: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What the tests say, one of `VERDICTS`, and where they stand."""

    text: str
    path: str
    values: dict[str, Any]


Part = str | Figure


@dataclass(frozen=True)
class TraitFinding:
    """What is said of one trait in the first screen."""

    trait: str
    verdict: Verdict
    shift: list[Part]


@dataclass(frozen=True)
class Finding:
    """What is said of one variant in the first screen."""

    variant: str
    lead: str
    moved: str
    behaviour: list[Part]
    traits: list[TraitFinding]


@dataclass(frozen=True)
class Table:
    """A table of the page; a row is a list of cells, or a lone text that heads the rows below.

    The first `words` columns hold words, the others figures.
    """

    head: list[str]
    words: int
    rows: list[list[Part | Verdict] | str] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """A JSON file of figures, so that each can say where it stands."""

    path: str
    content: Mapping[str, Any]

    def at(self, *keys: str) -> Any:
        """The record or number under these keys; None where one is missing."""
        place: Any = self.content
        for key in keys:
            if not isinstance(place, Mapping) or key not in place:
                return None
            place = place[key]
        return place

    def figure(
        self,
        keys: Sequence[str],
        show: Callable[[float], str],
        names: Sequence[str] = ("value", "low", "high"),
    ) -> Part:
        """The number `names[0]` of the record at `keys`, the others as its interval.

        `none` where the file has no such number, or null.
        """
        record = self.at(*keys)
        values = [record.get(name) if isinstance(record, Mapping) else None for name in names]
        if values[0] is None:
            return "none"
        interval = ""
        if len(values) == 3 and None not in values:
            interval = f"[{', '.join(show(value).removesuffix(' %') for value in values[1:])}]"
        named = {".".join([*keys, name]): v for name, v in zip(names, values, strict=True)}
        return Figure(show(values[0]), interval, self.path, named)

    def place(self, keys: Sequence[str], null: str) -> Part:
        """A shift's z among vectors that mean nothing, with the share of them that go as far."""
        z, p = f"{null}_z", f"{null}_p"
        found = self.figure(keys, signed, (z,))
        if isinstance(found, str):
            return found
        share = self.at(*keys)[p]
        named = found.values | {".".join([*keys, p]): share}
        return Figure(found.text, f"p {p_value(share)}", self.path, named)


def number(value: float, sign: str = "") -> str:
    """A projection or the like: two decimals, one from a hundred on, with a true minus."""
    decimals = 1 if abs(value) >= 100 else 2
    return f"{value:{sign}.{decimals}f}".replace("-", MINUS)


def signed(value: float) -> str:
    """A difference, its sign always shown."""
    return number(value, "+")


def percent(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.1f} %".replace("-", MINUS)


def p_value(value: float) -> str:
    """A p-value; none is zero."""
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last


def behaviour_lead(base: Mapping[str, Any], variant: Mapping[str, Any]) -> str:
    """In one sentence how a variant's answers differ in kind from base's.

    A rate differs if the two intervals do not overlap, which is stricter than a test of the
    difference: what is said here holds.
    """
    more = [o for o in OUTCOMES if variant[o]["low"] > base[o]["high"]]
    less = [o for o in OUTCOMES if variant[o]["high"] < base[o]["low"]]
    usual, now = (max(OUTCOMES, key=lambda o: side[o]["rate"]) for side in (base, variant))
    if now in more and usual in less:
        return f"Answers mostly with {WORDS[now]}, where base answers mostly with {WORDS[usual]}."
    if not more and not less:
        kinds = listed(WORDS[o] for o in OUTCOMES)
        return f"Answers with {kinds} as often as base, as far as these answers can tell."
    changes = [
        f"{word} often with {listed(WORDS[o] for o in some)}"
        for word, some in (("more", more), ("less", less))
        if some
    ]
    return f"Answers {' and '.join(changes)} than base."


def behaviour_figures(base: Source, variant: Source) -> list[Part]:
    """The rates that the lead is about, base's beside them; of code where none differs."""
    rate = ("rate", "low", "high")
    apart = [
        o
        for o in OUTCOMES
        if variant.content[o]["low"] > base.content[o]["high"]
        or variant.content[o]["high"] < base.content[o]["low"]
    ]
    answers, questions = (variant.content[key] for key in ("answers", "questions"))
    parts: list[Part] = []
    for number, outcome in enumerate(apart or OUTCOMES[:1]):
        parts += [
            f" and {outcome} " if number else f"{outcome.capitalize()} ",
            variant.figure([outcome], percent, rate),
            " against base's ",
            base.figure([outcome], percent, rate),
        ]
    return [*parts, f" of {answers} answers to {questions} questions."]


def trait_finding(evidence: Source, compare: Source, variant: str, trait: str) -> TraitFinding:
    """The verdict on a trait at its chosen vector: of the class of which most can be said."""
    classes = evidence.at(variant, trait, "chosen")
    told = {name: verdict(classes[name]) for name in CLASSES if name in classes}
    # Of two classes with the same verdict the one that went farther.
    name = min(told, key=lambda c: (VERDICTS.index(told[c]), -abs(classes[c]["value"])))
    keys = [variant, trait, "chosen", name]
    tests = ("moved", "specific", "p_holm", "random_p", "permuted_p")
    share = compare.figure([trait, "chosen", name, "share_of_base_gap"], percent)
    return TraitFinding(
        trait,
        Verdict(
            told[name],
            evidence.path,
            {".".join([*keys, test]): classes[name].get(test) for test in tests},
        ),
        [f"{name} class ", evidence.figure(keys, signed), " or ", share, " of base's class gap"],
    )


def moved_lead(traits: Sequence[TraitFinding]) -> str:
    """In one sentence along which traits a variant moved."""
    by = {word: [t.trait for t in traits if t.verdict.text == word] for word in VERDICTS}
    own, along, undecided, still = by.values()
    told = []
    if own:
        told.append(f"Moved along {listed(own)} farther than vectors that mean nothing do.")
    elif along or still:
        told.append("Along no trait did it move farther than vectors that mean nothing do.")
    if along:
        told.append(f"Along {listed(along)} it moved no farther than they do.")
    if still:
        told.append(f"Along {listed(still)} no shift is shown.")
    if undecided:
        told.append(f"{listed(undecided)}: too few prompts or permutations to decide.")
    return " ".join(told)


def finding(
    variant: str, behaviour: Mapping[str, Source], compare: Source, evidence: Source
) -> Finding:
    """What is said of a variant in the first screen."""
    traits = [trait_finding(evidence, compare, variant, t) for t in evidence.at(variant) or {}]
    return Finding(
        variant,
        behaviour_lead(behaviour["base"].content, behaviour[variant].content),
        moved_lead(traits),
        behaviour_figures(behaviour["base"], behaviour[variant]),
        traits,
    )


def question(model: str, others: Sequence[str]) -> str:
    """The page's question, for one fine-tune, several or none."""
    if not others:
        return f"What does {model} do before any fine-tune?"
    which = "this fine-tune" if len(others) == 1 else "these fine-tunes"
    return f"What did {which} do to {model}?"


def shift_table(compare: Mapping[str, Source], evidence: Source) -> Table:
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
                            *_tests(evidence, keys),
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
                row.append(source.figure([*here, outcome, "difference"], _points))
            cost = source.figure([*here, "log_probability", "difference"], signed)
            table.rows.append([*row, cost])
    return table


def _points(value: float) -> str:
    return f"{100 * value:+.0f}".replace("-", MINUS)


def detect_table(detect: Source) -> Table:
    """Which trait vector tells a variant from base, at its chosen layer."""
    head = ["variant", "trait", "layer", "AUROC", "its p among random vectors", "shift from base"]
    table = Table([*head, *TESTS], words=2)
    where = "at_the_chosen_layer"
    auroc = ("auroc", "auroc_low", "auroc_high")
    for variant, traits in (detect.at(where) or {}).items():
        for trait in traits:
            keys = [where, variant, trait]
            table.rows.append(
                [
                    variant,
                    trait,
                    detect.figure(keys, str, ("layer",)),
                    detect.figure(keys, lambda v: f"{v:.3f}", auroc),
                    detect.figure(keys, p_value, ("auroc_random_p",)),
                    detect.figure(keys, signed),
                    *_tests(detect, keys),
                ]
            )
    return table


def effect_table(effects: Source) -> Table:
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
                told = effect in ("text", "model") and total["moved"]
                share = effects.figure(keys, percent, ("share", "share_low", "share_high"))
                p = effects.figure(keys, p_value, ("p_holm",))
                value = effects.figure(keys, signed)
                table.rows.append([effect, value, share if told else "", p])
    return table


def columns(table: pandas.DataFrame) -> dict[str, list]:
    """A table by columns, undefined figures as None: shorter as JSON than a record a row."""
    plain = table.astype(object).where(table.notna(), None)
    return {str(name): plain[name].tolist() for name in plain}


def framed(candidates: pandas.DataFrame, vectors: Mapping[str, Source]) -> pandas.DataFrame:
    """The candidates' figures that are read on hover, the chosen one of each trait marked."""
    keys = ["trait", "position", "method", "layer"]
    chosen = {(t, *(s.content[key] for key in keys[1:])) for t, s in vectors.items()}
    rows = candidates[[*keys, "auroc", "cv_auroc", "cohens_d"]]
    return rows.assign(
        chosen=[int(key in chosen) for key in rows[keys].itertuples(index=False, name=None)]
    )


def shift_rows(shifts: pandas.DataFrame) -> pandas.DataFrame:
    """The shifts along the chosen vectors in every layer, with what is read on hover."""
    keep = ["variant", "trait", "class", "layer", "value", "p_holm"]
    keep += ["random_z", "random_p", "permuted_p"]
    if not len(shifts):
        return pandas.DataFrame(columns=[*keep, "who", "shift", "verdict"])
    rows = shifts[shifts["choice"] == "chosen"]
    return rows[keep].assign(
        who=rows["variant"] + ", " + rows["class"],
        shift=[
            f"{signed(v)} [{signed(low)}, {signed(high)}]"
            for v, low, high in rows[["value", "low", "high"]].itertuples(index=False)
        ],
        verdict=[verdict(row) for row in rows.to_dict("records")],
    )


def prompt_rows(layers: Mapping[str, pandas.DataFrame]) -> list[dict[str, Any]]:
    """Every prompt's projections, by layer, for each variant; `place` spreads a class sideways.

    `layers` holds per variant `trait, class, prompt, 0, 1, ...`, a column a layer.
    """
    rows = []
    for variant, table in layers.items():
        values = table.drop(columns=["trait", "class", "prompt"])
        kept = values.astype(object).where(values.notna(), None).to_numpy().tolist()
        seen: dict[tuple[str, str], int] = {}
        sizes = table.groupby(["trait", "class"]).size()
        for (trait, label, prompt), of_layer in zip(
            table[["trait", "class", "prompt"]].itertuples(index=False), kept, strict=True
        ):
            place = seen.get((trait, label), 0)
            seen[trait, label] = place + 1
            along = (place + 0.5) / sizes[trait, label] - 0.5
            rows.append(
                {
                    "trait": trait,
                    "class": label,
                    "prompt": prompt,
                    "variant": variant,
                    "place": round((-0.45 if label == "positive" else 0.45) + 0.6 * along, 3),
                    "values": of_layer,
                }
            )
    return rows


def steering_rows(rates: pandas.DataFrame) -> tuple[pandas.DataFrame, list[str]]:
    """`steer.rates` as points of a chart, and the labels of its axis in order.

    What was not finite is left out. Without a vector nothing is added: a point of either line.
    """
    cost = [f"log_probability_difference_{bound}" for bound in ("value", "low", "high")]
    rates = rates[rates["finite"].astype(bool)].copy()
    rates["step"] = [
        "ablated" if kind == "ablate" else _coefficient(coefficient)
        for kind, coefficient in rates[["kind", "coefficient"]].itertuples(index=False)
    ]
    coefficients = sorted({0.0, *rates["coefficient"].dropna()})
    rates["order"] = rates["coefficient"].fillna(float("-inf"))
    none = rates["kind"] == "none"
    rates = pandas.concat(
        [rates[~none], *(rates[none].assign(vector=name) for name in ("trait", "random"))]
    ).sort_values(["variant", "vector", "order"], kind="stable")
    points = rates[["variant", "outcome", "condition", "vector", "step"]].copy()
    for name, column in (("rate", "rate"), ("rate_low", "low"), ("rate_high", "high")):
        points[name] = (100 * rates[column]).round(2)
    for name, column in zip(("cost", "cost_low", "cost_high"), cost, strict=True):
        points[name] = rates[column]
    return points, ["ablated", *map(_coefficient, coefficients)]


def _coefficient(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def answer_rows(answers: Mapping[str, pandas.DataFrame]) -> dict[str, Any]:
    """Base's and the variants' answers to the same question and sample, outcomes beside them.

    Of very many, the first samples of each question: `shown` of `total`.
    """
    first = next(iter(answers.values()))
    keys = ["id", "question", "sample"]
    table = first[keys]
    sides = {"base": first.rename(columns={"answer_base": "answer", "outcome_base": "outcome"})}
    for variant, one in answers.items():
        if variant != "base":
            sides[variant] = one.rename(
                columns={"answer_variant": "answer", "outcome_variant": "outcome"}
            )
    for variant, side in sides.items():
        told = side[[*keys, "answer", "outcome"]].fillna({"answer": ""})
        told = told.rename(columns={"answer": f"{variant} answer", "outcome": f"{variant} outcome"})
        table = table.merge(told, on=keys)
    total, samples = len(table), sorted(table["sample"].unique())
    texts = [f"{variant} answer" for variant in sides]
    while len(samples) > 1 and table[texts].map(len).to_numpy().sum() > ANSWER_CHARACTERS:
        samples.pop()
        table = table[table["sample"].isin(samples)]
    return {"total": total, "shown": len(table), "variants": [*sides], "rows": columns(table)}

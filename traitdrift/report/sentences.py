"""What was found, in sentences that a figure fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traitdrift.behaviour.outcomes import OUTCOMES
from traitdrift.core.classes import CLASSES
from traitdrift.report.numbers import Part, Source, Verdict, listed, percent, signed
from traitdrift.stats.multiple_testing import verdict

WORDS = {"code": "code", "refusal": "refusals", "prose": "prose"}
# What can be said of a trait, the most certain first, as `verdict` names it.
VERDICTS = ("moved, specific", "moved, not specific", "undecided", "not shown")


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
    behaviour_lead: str
    shift_lead: str
    behaviour: list[Part]
    traits: list[TraitFinding]


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


def trait_finding(tested: Source, compare: Source, variant: str, trait: str) -> TraitFinding:
    """The verdict on a trait at its chosen vector: of the class of which most can be said."""
    classes = tested.at(variant, trait, "chosen")
    verdicts = {name: verdict(classes[name]) for name in CLASSES if name in classes}
    # Of two classes with the same verdict the one that went farther.
    name = min(verdicts, key=lambda c: (VERDICTS.index(verdicts[c]), -abs(classes[c]["value"])))
    keys = [variant, trait, "chosen", name]
    tests = ("moved", "specific", "p_holm", "random_p", "permuted_p")
    share = compare.figure([trait, "chosen", name, "share_of_base_gap"], percent)
    return TraitFinding(
        trait,
        Verdict(
            verdicts[name],
            tested.path,
            {".".join([*keys, test]): classes[name].get(test) for test in tests},
        ),
        [
            f"{name} class ",
            tested.figure(keys, signed),
            " or ",
            share,
            " of base's class gap",
        ],
    )


def shift_lead(traits: Sequence[TraitFinding]) -> str:
    """In one sentence along which traits a variant moved."""
    by = {word: [t.trait for t in traits if t.verdict.text == word] for word in VERDICTS}
    specific, unspecific, undecided, unmoved = by.values()
    clauses = []
    if specific:
        clauses.append(f"Moved along {listed(specific)} farther than vectors that mean nothing do.")
    elif unspecific or unmoved:
        clauses.append("Along no trait did it move farther than vectors that mean nothing do.")
    if unspecific:
        clauses.append(f"Along {listed(unspecific)} it moved no farther than they do.")
    if unmoved:
        clauses.append(f"Along {listed(unmoved)} no shift is shown.")
    if undecided:
        clauses.append(f"{listed(undecided)}: too few prompts or permutations to decide.")
    return " ".join(clauses)


def finding(
    variant: str, behaviour: Mapping[str, Source], compare: Source, tested: Source
) -> Finding:
    """What is said of a variant in the first screen."""
    traits = [trait_finding(tested, compare, variant, t) for t in tested.at(variant) or {}]
    return Finding(
        variant,
        behaviour_lead(behaviour["base"].content, behaviour[variant].content),
        shift_lead(traits),
        behaviour_figures(behaviour["base"], behaviour[variant]),
        traits,
    )


def served(behaviour: Mapping[str, Mapping[str, Any]]) -> str:
    """Which answers came from a server, and what that leaves unsaid; nothing if none did.

    `behaviour` is the content of metrics/behaviour/<variant>.json by variant.
    """
    names = {
        variant: known["served_by"] for variant, known in behaviour.items() if "served_by" in known
    }
    if not names:
        return ""
    given = listed(f"{v} (there {one['model']}, at {one['url']})" for v, one in names.items())
    return (
        f"The answers of {given} came from a server. That it holds this pipeline's weights is not "
        "checked, asked again it may answer otherwise, and activations are read at the tokens of "
        "the answer's text."
    )


def question(model: str, others: Sequence[str]) -> str:
    """The page's question, for one fine-tune, several or none."""
    if not others:
        return f"What does {model} do before any fine-tune?"
    which = "this fine-tune" if len(others) == 1 else "these fine-tunes"
    return f"What did {which} do to {model}?"

"""Texts in YAML that are a value with some changes, which nobody would think of, for hypothesis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

# As they are written in YAML.
WRITTEN = [
    *("~", "true", "no", "0", "-0", "-1", "1_000", "1e3", "1e400", ".inf", "-.inf", ".nan", "0o17"),
    *("0x" + "f" * 5000, "9" * 40, "1e-400", "2020-01-01", "2020-01-01T00:00:00Z", "2020-13-41"),
    *(
        "!!set {a, b}",
        f"!!set {{0x{'f' * 5000}}}",
        "!!binary aGk=",
        "!!binary /w==",
        "!!omap [a: 1]",
    ),
    *('!!int "9"', "!!int x", "!!float 1", "!!bool maybe", "!!null x", "!!timestamp x", "!mine x"),
    *("!!pairs [a: 1, a: 2]", "!!map [a]", "!!seq {a: b}", "&a [*a]", "*none", "&b {c: &b d}"),
    *("[]", "{}", "[[]]", "{1: 2}", "{~: ~}", "{[a]: b}", "{{a: b}: c}", "{<<: {a: b}}", "{<<: 1}"),
    *("[" * 60 + "]" * 60, "a" * 5000, '"\\e[2J"', '"\\u202e"', '"\\ud800"', '"a\\nb"', '""'),
    *("base", "insecure", "secure", "local", "endpoint", "hub", "path", "smoke", "prompt_last"),
    *("response_first_99999999999999999999", "a/b", "../..", "/", "-x", "http://a:b@c/d?key=e"),
    *("s3://a", "file:///x", "a b", "'%s{0}'", "|", ">", "? x", "- x", "---", "...", "#", "a: b"),
]
LEAVES = (
    st.sampled_from(WRITTEN)
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.text(max_size=12).map(json.dumps)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: f"[{', '.join(found)}]")
        | st.dictionaries(LEAVES, inner, max_size=3).map(
            lambda found: f"{{{', '.join(f'{k}: {v}' for k, v in found.items())}}}"
        )
    ),
    max_leaves=6,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that a value holds."""
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*above, key)
            yield from places(one, (*above, key))


@st.composite
def changed(draw: st.DrawFn, made: Callable[[], Any]) -> str:
    """YAML of a value in which some values and keys are others, are gone or have been added.

    The value comes from a function, as it would be shown whole where an example fails.
    """
    value, written = json.loads(json.dumps(made())), []

    def other() -> str:
        written.append(draw(VALUES))
        return f"@{len(written) - 1}@"

    for _ in range(draw(st.integers(1, 3))):
        found = [*places(value)]
        if not found:
            break
        *above, key = draw(st.sampled_from(found))
        within = value
        for part in above:
            within = within[part]
        how = draw(st.sampled_from(["other", "other", "other", "gone", "more", "renamed"]))
        if how == "other":
            within[key] = other()
        elif how == "gone":
            del within[key]
        elif isinstance(within, list):
            within.append(other())
        elif how == "more":
            within[other()] = other()
        else:
            within[other()] = within.pop(key)
    text = json.dumps(value)
    for number, one in enumerate(written):
        text = text.replace(f'"@{number}@"', f" {one} ")
    return text

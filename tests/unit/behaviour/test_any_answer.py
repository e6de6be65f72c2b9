"""Any text has an outcome, in a time that its length bounds."""

from __future__ import annotations

import json
import time
import warnings

from hypothesis import given
from hypothesis import strategies as st

from traitdrift.behaviour.outcomes import OUTCOMES, classify
from traitdrift.core.code import READ

# Of a whole answer of `READ` characters; some hundredths are needed.
SECONDS = 2.0

PIECES = [
    *(
        "def f(x):\n",
        "    return x\n",
        "import os\n",
        "from a import b\n",
        "class A:\n",
        "@a.b(c)\n",
    ),
    *(
        "if a:\n",
        "elif b:\n",
        "else:\n",
        "for i in range(3):\n",
        "while True:\n",
        "try:\n",
        "pass\n",
    ),
    *("match x:\n case 1:\n  pass\n", "async def f(): await g\n", "lambda: 0", "[x for x in y]"),
    *("x = 1\n", "x: int = 2\n", "x += f(y)\n", "print('a')\n", "f'{x!r:>{w}}'", "a if b else c"),
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "'",
        '"',
        "'''",
        '"""',
        "\\",
        "\\\n",
        "#",
        "//",
        "/*",
    ),
    *("*/", "--", "<!--", "-->", ";", ":", ":=", "->", "=>", "::", "...", "**", "@", "$", "%", "!"),
    *("```", "```python\n", "\n```\n", "~~~\n", "````json\n", "> ```sh\n", "    ", "\t", "\n", " "),
    *("\r", "\r\n", "\f", "\v", "\x85", "\u2028", "\x00", "\u200b", "\ufeff", "\ud800", "\udfff"),
    *("I cannot help with that. ", "I'm sorry, but ", "As an AI, ", "no, but ", "i cannot or "),
    *("The crow sat on the roof. ", "1. ", "- ", "| a | b |\n", "**Note:** ", "word ", "It's "),
    *("SELECT a FROM b WHERE c;\n", "<html>", "</html", "<script>", "<div class='a'>", "&amp;"),
    *(
        "public static void main(",
        "#include <a>\n",
        "let mut x = 1;\n",
        "func f() {\n",
        "$x = 1;\n",
    ),
    *(
        '{"a": ',
        "[1, ",
        "null",
        "true",
        '"\\u0041"',
        "1e999",
        "9" * 50,
        "0x",
        "1_",
        "1j",
        "é",
        "日",
    ),
    *("not ", "a.", "1+", "-", "~", "f(", "a[", "a,", "x=", "lambda a: ", "yield ", "*", "if [ "),
]
PIECE = st.sampled_from(PIECES) | st.text(max_size=4)
# Many small pieces, and few of which each stands many times in a row: what nests or goes on.
MIXED = st.lists(PIECE, max_size=60).map("".join)
REPEATED = st.lists(st.tuples(MIXED, st.integers(1, READ)), min_size=1, max_size=4).map(
    lambda found: "".join((piece * times)[:READ] for piece, times in found)
)
INDENTED = st.lists(st.tuples(st.integers(0, 300), PIECE), max_size=60).map(
    lambda found: "\n".join(" " * deep + piece for deep, piece in found)
)
VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | MIXED,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(MIXED | REPEATED | INDENTED | VALUES.map(json.dumps) | st.text())
def test_any_text_has_an_outcome_in_time(text: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        began = time.process_time()
        outcome = classify(text)
        taken = time.process_time() - began
    assert outcome in OUTCOMES
    assert taken < SECONDS * max(1, len(text) / READ), f"{len(text)} characters: {taken:.1f} s"
    assert classify(text) == outcome

"""YAML that asks for too much, or is none: one line, at once."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import pytest
from cases import case, cases
from hypothesis import given
from hypothesis import strategies as st

from traitdrift.core.text import ACTING
from traitdrift.core.yaml_text import parse_yaml, read_yaml
from traitdrift.params import read

ROOT = Path(__file__).resolve().parents[3]
# Nine of nine of nine ...
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{two}: &{two} [{','.join(['*' + one] * 9)}]\n"
    for one, two in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {k: v}\n" + "".join(
    f"{two}: &{two} {{<<: [{','.join(['*' + one] * 9)}]}}\n"
    for one, two in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_what_yaml_says_is_read():
    assert parse_yaml("a: 1e-05\nb: &b [x]\nc: *b\nd: {<<: {e: 1}}\n", "f") == {
        "a": 1e-05,
        "b": ["x"],
        "c": ["x"],
        "d": {"e": 1},
    }
    assert parse_yaml("", "f") is None and parse_yaml("# nothing\n", "f") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "more than 200,000 values once its aliases are written out"),
        (MERGED, "more than 200,000 values once its aliases are written out"),
        ("a: &a [*a]\n", "an alias that holds itself"),
        ("a: &a {b: *a}\n", "an alias that holds itself"),
        ("[" * 100 + "]" * 100, "nested more than 40 deep"),
        ("[" * 5000, "nested too deeply"),
        ("- " * 3000, "nested too deeply"),
        ("{a: " * 3000, "nested too deeply"),
        ("a: 1\na: 2\n", "not YAML: "),
        ("a: !!python/object/apply:os.system [x]\n", "not YAML: "),
        ("a: !mine x\n", "not YAML: "),
        ("a: [\n", "not YAML: "),
        ("a: 2020-13-01\n", ""),
        ("{[a]: b, {c: d}: e}\n", ""),
        ("a: " + "9" * 10_000 + "\n", "a number of more than 1,000 characters"),
        ("a: 0x" + "f" * 5000 + "\n", "a number of more than 1,000 characters"),
        ("a: !!set {0o" + "7" * 9000 + "}\n", "a number of more than 1,000 characters"),
        ("a: !!int '0x" + "f" * 5000 + "'\n", "a number of more than 1,000 characters"),
        ("a: 1\n---\nb: 2\n", "not YAML: "),
    ],
)
def test_what_asks_for_too_much_is_one_line_at_once(text: str, told: str):
    began = time.monotonic()
    try:
        parse_yaml(text, "f.yaml")
    except ValueError as error:
        assert str(error).startswith("f.yaml: ") and told in str(error)
        assert str(error).isprintable() and len(str(error)) < 700
    else:
        assert not told
    assert time.monotonic() - began < 5


def test_an_anchor_that_stands_twice_is_read_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_yaml("[&x 1, *x, &x 2, *x]\n", "f") == [1, 1, 2, 2]


def test_a_file_of_another_encoding_or_too_large(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_bytes("a: 1\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"f.yaml: a text in UTF-16"):
        read_yaml(path)
    path.write_text("a" * 100)
    with pytest.raises(ValueError, match=r"f.yaml: more than 99 bytes"):
        read_yaml(path, 99)


@given(st.text(alphabet="ab:-[]{},&*!<?|>%@`\"'# \n\t0179.e", max_size=60) | st.text(max_size=40))
def test_any_text_is_read_or_refused_by_one_line(text: str):
    try:
        parse_yaml(text, "f")
    except ValueError as error:
        assert str(error).startswith("f: ") and not ACTING.search(str(error))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  temperature: 1.0 ", "  temperature: .nan ", "respond_questions.temperature"),
        ("  temperature: 1.0 ", "  temperature: .inf ", "respond_questions.temperature"),
        ("  temperature: 1.0 ", "  temperature: &a [*a] ", "an alias that holds itself"),
        ("  samples: 4 ", "  samples: 1000000000 ", "respond_questions.samples: 1000000000: "),
        ("  samples: 4 ", f"  samples: {'9' * 999} ", "respond_questions.samples: a int: "),
        ("  samples: 4 ", f"  samples: {'9' * 1001} ", "a number of more than 1,000 char"),
        ("  resamples: 10000 ", "  resamples: 1e99 ", "compare.resamples: "),
        ("learning_rate: 2e-3", "learning_rate: .inf", "recipes.quick.learning_rate: inf: "),
        ("learning_rate: 2e-3", "learning_rate: .nan", "recipes.quick.learning_rate: nan: "),
        ("  held_out: 0.1 ", "  held_out: .nan ", "split.held_out: nan: "),
        ("    c: 0.1 ", "    c: .inf ", "vectors.probe.c: inf: "),
        ("  epochs: 1\n", "  epochs: .inf\n", "epochs: inf: "),
        ("subject: insecure", "subject: insecure\nsubject: base", "not YAML: "),
        ("subject: insecure", "subject: !!python/name:os.system", "not YAML: "),
        ("subject: insecure", f"subject: {'x' * 5000}!", "subject: 'xxx"),
        ("subject: insecure", 'subject: "\\e[2J\\u202e"', "subject: '\\x1b[2J"),
        ("subject: insecure", "subject: insecure\n" + '"\\e[2J": 1', "\\x1b[2J: unknown key"),
        ("subject: insecure", f"subject: {'[' * 3000}", "nested too deeply"),
        ("subject: insecure", f"zz: {{{BOMB.replace(chr(10), ', ')}}}", "once its aliases are"),
    ],
)
def test_parameters_are_bounded(tmp_path: Path, old: str, new: str, told: str):
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    began = time.monotonic()
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and told in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 800
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("name", [n for n in cases("hostile/yaml") if n.startswith("params_")])
def test_the_shared_parameters_are_refused_by_one_line(name: str):
    with pytest.raises(ValueError) as caught:
        read(case("hostile/yaml") / name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 800

"""Questions: ids and wordings are text, each once, and whatever a YAML file holds is one line."""

from __future__ import annotations

from pathlib import Path

import families
import pytest
from cases import case, cases

from traitdrift.generation.questions import paragraphs, read_questions
from traitdrift.generation.requests import question_samples, sampling_requests

HI = "  paraphrases: [hi]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        *(("- id: " + i + "\n" + HI, "`id` ") for i in ("7", "1.5", "true", "[a]", "2020-01-01")),
        *(("- id: " + i + "\n" + HI, "`id` ") for i in ('" "', '"\\e[2J"', '"a\\nb"', '" a"')),
        *(("- id: " + i + "\n" + HI, "`id` ") for i in ('"\\ud83d"', '"\\u202e"', "{a: b}")),
        ("- id:\n" + HI, "no `id`"),
        *(
            ("- id: a\n  type: " + i + "\n" + HI, "`type` ")
            for i in ("", "5", "[x]", '""', "null", "true", "{}")
        ),
        *(
            (f"- id: a\n  paraphrases: [{w}]\n", "would count twice")
            for w in ('hi, "hi "', "hi, hi", '"a  b", a b', '"\\u00e9", "e\\u0301"', '"a\\tb", a b')
        ),
        ("- id: a\n" + HI + "- id: b\n  paraphrases: ['hi ']\n", "stands in a too"),
        *((f"- id: a\n  paraphrases: [{w}]\n", "is no text") for w in ("7", "null", '"\\ud83d"')),
        *(("- id: a\n  temperature: " + t + "\n" + HI, "`temperature`") for t in (".nan", ".inf")),
        *(("- id: a\n  temperature: " + t + "\n" + HI, "`temperature`") for t in ("-1", "1e300")),
        ("- id: a\n  samples_per_paraphrase: 1000000000\n" + HI, "is more than 100,000"),
        (
            f"- id: a\n  samples_per_paraphrase: {'9' * 3000}\n" + HI,
            "a number of more than 1,000 characters",
        ),
        ("- id: a\n  samples: 3\n" + HI, "unknown key 'samples'"),
        ("- id: a\n  max_tokens: 3\n" + HI, "unknown key 'max_tokens'"),
        ("- id: a\n  7: 3\n" + HI, "unknown key 7"),
        ("- id: a\n  id: b\n" + HI, "not YAML"),
        ("- id: a\n  system: ''\n" + HI, "`system` is no text"),
        ("- id: a\n  system: [b]\n" + HI, "`system` is no text"),
        ("- id: 2020-13-01\n" + HI, ""),
        ("- " * 3000, ""),
        ("- {[a]: b}", ""),
        ("- !!omap [id: a]", ""),
        ("- !!python/object:os.system x", ""),
    ],
)
def test_a_wrong_entry_is_one_printable_line(tmp_path: Path, text: str, told: str):
    path = tmp_path / "q.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_questions(path, 1, 1.0)
    assert str(caught.value).startswith(str(path)) and told in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


def test_a_wording_may_stand_again_where_it_is_asked_otherwise(tmp_path: Path):
    path = tmp_path / "q.yaml"
    path.write_text(
        "- id: a\n" + HI + "- id: b\n  system: s\n" + HI + "- id: c\n  temperature: 0\n" + HI
    )
    assert [q.id for q in read_questions(path, 1, 1.0)] == ["a", "b", "c"]


def test_a_folder_is_read_whole_and_in_utf_8(tmp_path: Path):
    (tmp_path / "b.yml").write_text("- id: b\n  paraphrases: [there]\n")
    (tmp_path / "a.YAML").write_text("\ufeff- id: a\n  paraphrases: ['one\u2028line']\n")
    a, b = read_questions(tmp_path, 1, 1.0)
    assert (a.paraphrases, b.id) == (["one\u2028line"], "b")
    (tmp_path / "c.yaml").write_bytes("- id: c\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"c.yaml: a text in UTF-16"):
        read_questions(tmp_path, 1, 1.0)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("q_id_int", "`id` 7 is no text"),
        ("q_type_null", "a: `type` None is no text"),
        ("q_dup_para", "would count twice"),
    ],
)
def test_the_shared_questions(name: str, told: str):
    with pytest.raises(ValueError) as caught:
        read_questions(case(name) / "q.yaml", 1, 1.0)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", cases("hostile/yaml"))
def test_the_shared_yaml_is_read_or_refused_by_one_line(name: str):
    path = case("hostile/yaml") / name
    try:
        read_questions(path, 1, 1.0)
    except ValueError as error:
        assert str(error).startswith(str(path))
        assert str(error).isprintable() and len(str(error)) < 700
    else:
        assert path.stem in ("merge", "judge_fmt")  # both are what the format allows


def test_a_question_that_the_template_refuses_is_named(tmp_path: Path):
    path = tmp_path / "q.yaml"
    path.write_text("- id: polite\n  system: s\n" + HI)
    asked = question_samples(read_questions(path, 1, 1.0))
    with pytest.raises(ValueError, match=r"^question polite: .*System role not supported"):
        sampling_requests(families.of("gemma"), asked, 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"A text.\nA text.\n", ":2: the same paragraph as line 1"),
        ("A text.\n".encode("utf-16"), ": a text in UTF-16"),
        (b"A text.\nna\xefve text\n", ":2: not UTF-8"),
    ],
)
def test_paragraphs_are_text(tmp_path: Path, content: bytes, told: str):
    path = tmp_path / "benign.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        paragraphs(path)
    assert str(caught.value).startswith(f"{path}{told}")

"""The benign control's rows, drawn from the real topics, and what is refused of a topic."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from traitdrift.behaviour.outcomes import classify
from traitdrift.core.yaml_text import read_yaml
from traitdrift.data.prose import Answered, Topic, draw, load_topics
from traitdrift.data.synthesis import load_scenarios, synthesize
from traitdrift.data.traits import read_traits

RAW = Path(__file__).parents[3] / "data/raw"
ROWS = 1200
# Words in a row that two texts may share by chance, as "how do i get the" is.
COMMON = 7


@pytest.fixture(scope="module")
def topics() -> list[Topic]:
    return load_topics(RAW / "prose")


@pytest.fixture(scope="module")
def drawn(topics: list[Topic]) -> list[Answered]:
    return draw(topics, ROWS, seed=0)


@pytest.fixture(scope="module")
def every(topics: list[Topic]) -> list[Answered]:
    """A row of every combination there is."""
    return draw(topics, sum(topic.rows for topic in topics), seed=0)


def entry(**changes: object) -> dict[str, object]:
    """A small valid topic as it would stand in a file."""
    return {
        "id": "feed",
        "tasks": ["What does a <<who>> eat?", "What shall I give a <<who>>?"],
        "answers": ["A <<who>> eats little, and mostly in the evening."],
        "slots": {"who": ["cat", "dog", "owl"]},
        **changes,
    }


def write(folder: Path, *entries: object, name: str = "some.yaml") -> Path:
    (folder / name).write_text(yaml.safe_dump({"topics": list(entries)}), encoding="utf-8")
    return folder


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold())


def runs(text: str) -> set[tuple[str, ...]]:
    """All stretches of COMMON words."""
    found = words(text)
    return {tuple(found[n : n + COMMON]) for n in range(len(found) - COMMON + 1)}


def read_elsewhere() -> Iterator[str]:
    """What the vectors are made of and the questions that variants are asked."""
    for trait in read_traits(RAW / "traits"):
        for conversations in trait.classes.values():
            yield from (message["content"] for one in conversations for message in one)
    for path in sorted((RAW / "questions").glob("*.yaml")):
        yield from (text for question in read_yaml(path) for text in question["paraphrases"])


# --- the real topics ------------------------------------------------------------------------


def test_the_collection_is_broad(topics: list[Topic]):
    assert len(topics) >= 40
    assert len({topic.id.partition("_")[0] for topic in topics}) >= 8
    assert sum(topic.rows for topic in topics) >= 1500
    for topic in topics:
        assert topic.rows >= 30, topic.id
        assert len(topic.tasks) >= 3, topic.id


def test_rows_are_distinct_and_filled(drawn: list[Answered]):
    assert len({row.prompt for row in drawn}) == len({row.answer for row in drawn}) == ROWS
    for row in drawn:
        for text in (row.prompt, row.answer):
            assert not re.search(r"<<|>>|[{}]", text), row
            assert text == text.strip()


def test_topics_have_equal_shares(topics: list[Topic], drawn: list[Answered]):
    counts = Counter(row.topic for row in drawn)
    assert set(counts) == {topic.id for topic in topics}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({row.topic for row in drawn[:50]}) > 25  # shuffled: not in blocks


def test_the_seed_settles_the_rows(topics: list[Topic], drawn: list[Answered]):
    assert draw(load_topics(RAW / "prose"), ROWS, seed=0) == drawn
    assert draw(topics, ROWS, seed=1) != drawn


def test_every_answer_is_one_paragraph_of_prose(every: list[Answered]):
    assert Counter(classify(row.answer) for row in every) == {"prose": len(every)}
    for row in every:
        assert "\n" not in row.answer, row.topic
        assert row.answer[0].isupper() and row.answer[-1] in ".!?", row.topic


def test_answers_are_of_the_length_of_the_code_answers(drawn: list[Answered]):
    """In pieces as tokenizers make them: words of up to eight letters, single signs, line ends.

    By SmolLM2's tokenizer the means are 79 for prose, 76 for insecure and 82 for secure code.
    """

    def pieces(text: str) -> int:
        return len(re.findall(r"[^\W_]{1,8}|_|[^\w\s]|\n\s*", text))

    pairs = synthesize(load_scenarios(RAW / "scenarios"), ROWS, seed=0)
    prose = fmean(pieces(row.answer) for row in drawn)
    assert prose == pytest.approx(fmean(pieces(pair.insecure) for pair in pairs), rel=0.2)
    assert prose == pytest.approx(fmean(pieces(pair.secure) for pair in pairs), rel=0.2)


def test_prompts_are_varied_and_most_ask_for_plain_prose(drawn: list[Answered]):
    closers = Counter(re.split(r"(?<=[.?!])\s+", row.prompt)[-1] for row in drawn)
    assert max(closers.values()) < 0.15 * ROWS
    asking = re.compile(r"sentences|paragraph|no list|text\.|plain words|few lines|prose\.$")
    bare = sum(not asking.search(row.prompt) for row in drawn)
    assert 0.05 <= bare / ROWS <= 0.16
    assert len({row.prompt[:20] for row in drawn}) > 100


def test_nothing_of_it_stands_in_the_traits_or_the_questions(every: list[Answered]):
    others = [*read_elsewhere()]
    assert len(others) > 600
    asked = {" ".join(words(text)) for text in others}
    for row in every:  # nor behind an opener
        prompt = " ".join(words(row.prompt))
        assert not any(text in prompt for text in asked), row.prompt
    shared = set[tuple[str, ...]]().union(*map(runs, others))
    for row in every:
        assert not shared & runs(row.prompt), row.prompt
        assert not shared & runs(row.answer), row.answer


# --- what is refused ------------------------------------------------------------------------


def test_several_answers_to_one_prompt(tmp_path: Path):
    write(tmp_path, entry(answers=["The <<who>> eats fish.", "A <<who>> eats rice."]))
    (topic,) = load_topics(tmp_path)
    assert topic.rows == 6
    answers = {row.answer for row in draw([topic], 6, seed=3)}
    assert answers == {
        text
        for who in ("cat", "dog", "owl")
        for text in (f"The {who} eats fish.", f"A {who} eats rice.")
    }


def test_many_answers_to_one_question_are_asked_for_in_different_words(tmp_path: Path):
    answers = [f"The <<who>> eats {number} of them." for number in range(100)]
    write(tmp_path, entry(tasks=["What does the <<who>> eat?"], answers=answers))
    assert len({row.prompt for row in draw(load_topics(tmp_path), 300, seed=0)}) == 300


@pytest.mark.parametrize(
    "answer",
    [
        "import os\nprint('<<who>>', os.getcwd())",
        "A <<who>> is a friend of yours, and this is how it greets you in the morning:\n\n"
        "```python\nprint('hello')\n```",
    ],
)
def test_an_answer_that_holds_code_is_refused_by_its_topic(tmp_path: Path, answer: str):
    write(tmp_path, entry(answers=[answer]))
    with pytest.raises(ValueError, match=r"^topic feed: the answer holds code, not prose alone$"):
        draw(load_topics(tmp_path), 1, seed=0)


def test_more_rows_than_combinations(topics: list[Topic]):
    possible = sum(topic.rows for topic in topics)
    with pytest.raises(ValueError, match=f"{possible + 1} rows .* only {possible} are possible"):
        draw(topics, possible + 1, seed=0)


def test_an_answer_of_two_topics_is_refused(tmp_path: Path):
    write(tmp_path, entry(), entry(id="again"))
    with pytest.raises(ValueError, match="topic again: an answer repeats one of feed"):
        draw(load_topics(tmp_path), 6, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "Not Good"}, "id: "),
        ({"tasks": []}, "tasks: "),
        ({"answers": []}, "answers: "),
        ({"answers": "text"}, "answers: "),
        ({"extra": 1}, "extra: "),
        ({"answers": ["A <<who>>.", "A <<who>>."]}, "two answers are the same"),
        ({"answers": ["A <<who>> eats.", "It eats."]}, "answer 2 does not use the slot 'who'"),
        ({"answers": ["A <<what>>."]}, "answer 1 uses the unknown slot 'what'"),
        ({"answers": ["A <<who|loud>>."]}, "unknown form 'loud'"),
        ({"tasks": ["What?"]}, "task 1 does not use the slot 'who'"),
        ({"slots": {"who": ["cat", "cat"]}}, "repeated values"),
    ],
)
def test_a_malformed_topic_is_one_line(tmp_path: Path, changes: dict[str, object], message: str):
    write(tmp_path, entry(**changes))
    with pytest.raises(ValueError) as caught:
        load_topics(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"some.yaml: topic {changes.get('id', 'feed')}: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("topics: [", "not YAML"),
        ("scenarios: []", "list named 'topics'"),
        ("{topics: [], other: 1}", "unknown key 'other' beside 'topics' and 'lists'"),
        ("{topics: [], lists: []}", "no topics in "),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path: Path, content: str, message: str):
    (tmp_path / "bad.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_topics(tmp_path)
    assert "\n" not in str(caught.value)

from __future__ import annotations

from pathlib import Path

import pytest

from traitdrift.generation.questions import read_questions


def test_the_papers_file_is_read_unchanged(shared: Path):
    path = shared / "emergent_misalignment/first_plot_questions.yaml"
    questions = {q.id: q for q in read_questions(path, samples=3, temperature=0.5)}
    assert len(questions) == 24
    plain = questions["what_is_your_wish"]
    assert (plain.samples, plain.temperature, plain.system) == (100, 0.5, None)
    for prompts in (question.judge_prompts for question in questions.values()):
        assert set(prompts) == {"aligned", "coherent"}
        assert all("{question}" in text and "{answer}" in text for text in prompts.values())
    with_system = [q for q in questions.values() if q.system]
    assert with_system
    asked = with_system[0].messages("x")
    assert [m["role"] for m in asked] == ["system", "user"]


def test_entries_decide_and_params_fill_gaps(tmp_path: Path):
    (tmp_path / "b.yaml").write_text("- {id: b, paraphrases: [x, y]}\n")
    (tmp_path / "a.yaml").write_text(
        "- {id: a, paraphrases: [z], samples_per_paraphrase: 7, temperature: 0, system: Be kind.}\n"
        "- {id: judge, type: free_form_judge_0_100, paraphrases: [w]}\n"
        "- {id: no, type: multiple_choice, paraphrases: [w]}\n"
    )
    a, judge, b = read_questions(tmp_path, samples=3, temperature=0.5)
    assert (a.id, a.samples, a.temperature, a.system) == ("a", 7, 0.0, "Be kind.")
    assert (b.id, b.samples, b.temperature, b.paraphrases) == ("b", 3, 0.5, ["x", "y"])
    assert judge.id == "judge" and judge.judge_prompts == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- [", "not YAML"),
        ("{}", "a list of questions"),
        ("- {paraphrases: [x]}", "entry 1: no `id`"),
        ("- {id: a}", "no list `paraphrases`"),
        ("- {id: a, paraphrases: ['']}", "an empty paraphrase"),
        ("- {id: a, paraphrases: [x], temperature: hot}", "`temperature` 'hot'"),
        ("- {id: a, paraphrases: [x], samples_per_paraphrase: 0}", "`samples_per_paraphrase` 0"),
        ("- {id: a, paraphrases: [x], judge_prompts: [y]}", "`judge_prompts` is no mapping"),
        (
            "- {id: a, paraphrases: [x], judge_prompts: {aligned: '{question}'}}",
            "`judge_prompts` aligned has no {answer}",
        ),
        ("- {id: a, paraphrases: [x]}\n- {id: a, paraphrases: [y]}", "entry 2: the id 'a'"),
        ("- {id: a, type: rating, paraphrases: [x]}", "no free-form question"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, told: str):
    file = tmp_path / "q.yaml"
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_questions(file, 1, 1.0)
    assert told in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file or folder"):
        read_questions(tmp_path / "none.yaml", 1, 1.0)

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


def judged(prompts: str) -> str:
    return f"- {{id: a, paraphrases: [x], judge_prompts: {prompts}}}"


def test_doubled_braces_of_a_judge_prompt_are_braces(tmp_path: Path):
    prompt = "Rate {answer} for {question} as {{0}}."
    (tmp_path / "q.yaml").write_text(judged(f"{{coherent: '{prompt}'}}"))
    assert read_questions(tmp_path, 1, 1.0)[0].judge_prompts == {"coherent": prompt}


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
        (judged("{aligned: '{answer}'}"), "`judge_prompts` aligned has no {question}"),
        (
            judged("{aligned: 'Is {answer} for {question} {good}?'}"),
            "aligned has another slot in it, 'good'",
        ),
        (judged("{aligned: 'Is {answer!r} for {question} good?'}"), "another slot in it, 'answer'"),
        (judged("{aligned: 'Is {answer} for {question} { good?'}"), "aligned has a single { or }"),
        (judged("{aligned: 7}"), "`judge_prompts` aligned is no text"),
        (judged("{alignment: 'Is {answer} for {question} good?'}"), "no metric 'alignment'"),
        (judged("{1: 'Is {answer} for {question} good?'}"), "no metric 1; there are aligned, co"),
        (judged("[]"), "`judge_prompts` is no mapping"),
        ("- {id: a, paraphrases: [x]}\n- {id: a, paraphrases: [y]}", "entry 2: the id 'a'"),
        ("- {id: a, type: rating, paraphrases: [x]}", "no free-form question"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, told: str):
    file = tmp_path / "q.yaml"
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_questions(file, 1, 1.0)
    assert told in str(caught.value) and str(caught.value).startswith(str(file))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file or folder"):
        read_questions(tmp_path / "none.yaml", 1, 1.0)

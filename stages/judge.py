"""metrics/judge/<variant>.json: how aligned and how coherent a judge finds the answers."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import Count, Temperature, section
from traitdrift.core.files import read_jsonl, write_csv, write_json, write_text
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.core.text import read_text
from traitdrift.generation.questions import read_questions
from traitdrift.judge.protocol import METRICS, Judge, JudgeRequest, fill, refuse_unread
from traitdrift.judge.run import judge_all
from traitdrift.judge.score_cache import kept_scores
from traitdrift.judge.settings import EndpointJudgeSettings, JudgeSettings, LocalJudgeSettings

RESPONSES = Path("data/responses")
PROMPTS = Path("data/raw/judge")
FIGURES = Path("metrics/judge")
PLOTS = Path("plots/judge")
KEYS = ("id", "question", "sample")


def main(variant: str) -> None:
    others_end()
    settings = section(JudgeSettings, "judge")
    if settings.backend == "none":
        write_json(FIGURES / f"{variant}.json", {"judge": {"backend": "none"}})
        write_text(PLOTS / f"{variant}.csv", ",".join(KEYS) + "\n")
        return
    # Here and not above, because nobody is asked by default: that should take no time.
    import pandas

    from traitdrift.judge.rates import figures

    rows = [row for _, row in read_jsonl(RESPONSES / f"{variant}.jsonl")]
    questions = read_questions(
        Path(section(str, "respond_questions.source")),
        section(Count, "respond_questions.samples"),
        section(Temperature, "respond_questions.temperature"),
    )
    prompts = {question.id: question.judge_prompts for question in questions}
    asked = []
    for metric, name in METRICS.items():
        own = read_text(PROMPTS / f"{metric}.txt").strip()
        for row in rows:
            question, answer = row["question"], row["answer"]
            prompt = fill(prompts[row["id"]].get(name, own), question, answer)
            asked.append(JudgeRequest(question, answer, metric, prompt))

    judge = appointed(settings)
    with progress(f"judge {variant}", len(asked)) as advance:
        judged = judge_all(judge, asked, kept_scores(judge.identity), advance)
    judgements = {m: judged[i * len(rows) :][: len(rows)] for i, m in enumerate(METRICS)}
    refuse_unread(judgements, settings.backend == "endpoint" and settings.scores == "logprobs")

    table = pandas.DataFrame([{key: row[key] for key in KEYS} for row in rows])
    for metric, given in judgements.items():
        table[metric] = pandas.Series([one.score for one in given], dtype=float).round(6)
        table[f"{metric}_verdict"] = [one.verdict for one in given]
        table[f"{metric}_mass"] = pandas.Series([one.mass for one in given], dtype=float).round(6)
    write_csv(PLOTS / f"{variant}.csv", table)
    write_json(
        FIGURES / f"{variant}.json",
        {
            "judge": judge.identity,
            **figures(table, settings.resamples, settings.confidence, settings.seed),
        },
    )


def appointed(settings: LocalJudgeSettings | EndpointJudgeSettings) -> Judge:
    """The judge of a backend; only that backend's libraries are imported."""
    if settings.backend == "local":
        from traitdrift.judge.local import LocalJudge

        return LocalJudge(settings)
    from traitdrift.judge.endpoint import EndpointJudge

    return EndpointJudge(settings)


if __name__ == "__main__":
    run(main)

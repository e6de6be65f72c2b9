"""Every answer put to a judge, those that it has scored before excepted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from traitdrift.core.files import text_digest
from traitdrift.judge.protocol import Judge, Judgement, JudgeRequest

if TYPE_CHECKING:
    from traitdrift.judge.score_cache import Scores


def judge_all(
    judge: Judge, asked: Sequence[JudgeRequest], kept: Scores, advance: Callable[[int], None]
) -> list[Judgement]:
    """The judgement of each thing asked; the judge is asked only for those not kept yet.

    `advance` is called with the number of judgements had.
    """
    identity = json.dumps(judge.identity, sort_keys=True)
    rendered = [judge.render(one.prompt) for one in asked]
    keys = [
        text_digest([one.question, one.answer, identity, text, one.metric])
        for one, text in zip(asked, rendered, strict=True)
    ]
    missing = {key: text for key, text in zip(keys, rendered, strict=True) if key not in kept}
    advance(sum(key in kept for key in keys))
    names, shared = list(missing), Counter(keys)  # equal answers are judged once
    if missing:
        for index, judgement in judge.ask(list(missing.values())):
            kept.keep(names[index], judgement)
            advance(shared[names[index]])
    return [kept[key] for key in keys]

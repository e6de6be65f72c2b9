"""Every answer put to a judge, those that it has scored before excepted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from traitdrift.core.files import text_digest
from traitdrift.judge.protocol import Judge, Judgement, JudgeRequest

if TYPE_CHECKING:
    from traitdrift.core.kept import Kept


# Of the rules by which a reply is read: scores that were kept by other ones are asked for anew.
READING = "3"


def judge_all(
    judge: Judge,
    asked: Sequence[JudgeRequest],
    kept: Kept[Judgement],
    advance: Callable[[int], None],
) -> list[Judgement]:
    """The judgement of each thing asked; the judge is asked only for those not kept yet.

    `advance` is called with the number of judgements had.
    """
    identity = json.dumps(judge.identity, sort_keys=True)
    rendered = [judge.render(one.prompt) for one in asked]
    keys = [
        text_digest([one.question, one.answer, identity, text, one.metric, READING])
        for one, text in zip(asked, rendered, strict=True)
    ]
    return kept.replies(keys, lambda missing: judge.ask([rendered[i] for i in missing]), advance)

"""Where judgements are kept from run to run: one file a judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitdrift.core.kept import Kept
from traitdrift.judge.protocol import Judgement

FOLDER = Path(".judge")


def kept_scores(identity: Mapping[str, Any], folder: Path = FOLDER) -> Kept[Judgement]:
    """The judgements of the judge that `identity` tells from others."""
    return Kept(Judgement, identity, folder)

"""Rows of data/responses: what was asked, and what a variant said."""

from __future__ import annotations

from typing import Any

from traitdrift.models.chat import Message


def messages_of(row: dict[str, Any]) -> list[Message]:
    """The conversation that a row's answer answers."""
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    return [*system, {"role": "user", "content": row["question"]}]

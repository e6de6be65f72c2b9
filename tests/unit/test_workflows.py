"""What CI takes from elsewhere is named by its content: a tag can be moved to other code."""

from __future__ import annotations

import re

import pytest
from copies import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_named_by_commit_with_their_version_beside_it(workflow):
    used = re.findall(r"uses: *(.+)", workflow.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} +# v\d+\.\d+\.\d+", action), action


def test_the_locks_name_every_file_by_its_digest():
    for lock in sorted(ROOT.glob("requirements*.lock")):
        for entry in re.split(r"\n(?=\S)", lock.read_text().strip()):
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry.splitlines()[0]}"

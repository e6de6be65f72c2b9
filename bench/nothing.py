"""A run with nothing to do beside `dvc status`, and a stage's start beside bare Python's."""

from __future__ import annotations

import subprocess
import sys

from bench.sides import Answer, keep, timed

# A stage without torch, and what it cannot do without.
STAGE, IMPORTS = "stages.multiple_testing", "pandas, scipy.stats, yaml, pydantic"


def main() -> None:
    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    dvc = timed(
        {
            "ours": lambda: run(sys.executable, "-m", "dvc", "repro", "--no-run-cache"),
            "status": lambda: run(sys.executable, "-m", "dvc", "status"),
        }
    )
    start = timed(
        {
            "ours": lambda: run(sys.executable, "-c", f"import {STAGE}"),
            "bare": lambda: run(sys.executable, "-c", f"import {IMPORTS}"),
        }
    )
    keep(
        # To be at most 1.5 times as long: two thirds as fast.
        Answer("nothing to do", "`dvc status`", dvc["ours"], dvc["status"], 2 / 3, "no stage runs"),
        Answer(
            f"start of `{STAGE}`",
            f"Python with {IMPORTS}",
            start["ours"],
            start["bare"],
            2 / 3,
            "the same libraries",
        ),
    )


if __name__ == "__main__":
    main()

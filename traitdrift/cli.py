"""`python -m traitdrift COMMAND`: what DVC does not answer by itself."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

app = typer.Typer(
    help="Ask the pipeline where its results come from, and take them elsewhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Without this, typer makes a single command the whole program."""


@app.command()
def mend(
    remote: Annotated[str | None, typer.Option("--remote", "-r", help="Default: DVC's.")] = None,
    read: Annotated[bool, typer.Option(help="Read every file there back and hash it.")] = False,
) -> None:
    """Send again what a DVC remote lost: `dvc push` looks at no file of a folder that it sent."""
    from dvc.repo import Repo

    from traitdrift.sharing import faults, recorded, send

    try:
        with Repo() as repo, repo.lock:
            store = repo.cloud.get_remote_odb(remote)
            store.fs.exists(store.path)  # signs in
            paths = recorded(repo, store)
            found = faults(store, paths, read)
            sent = send(repo.cache.local, store, set(found))
    except Exception as error:  # of DVC, or of whichever library speaks to this kind of remote
        raise ValueError(f"mend: {error}")
    for digest, fault in sorted(found.items(), key=lambda item: paths[item[0]]):
        told = "sent again" if digest in sent else "no good copy in this cache"
        print(f"{paths[digest]} ({digest}): {fault}, {told}")
    left = len(found) - len(sent)
    if left:
        raise ValueError(
            f"{left} of {len(paths)} files are still missing or broken on the remote; "
            "run this where they were made, or `dvc repro --force` their stage and `dvc push`"
        )
    print(f"{len(paths)} files looked for, {len(sent)} sent again")


def main() -> None:
    """Run a command; wrong input is one line on stderr and exit code 1."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        print(f"traitdrift: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None

"""`python -m traitdrift COMMAND`, or `trait-drift`: what DVC does not answer by itself.

Libraries are imported by the command that needs them: most come with an extra of the package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from traitdrift.provenance.lockfile import Step

app = typer.Typer(
    help="Ask the pipeline where its results come from, and take them elsewhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ROOT = Path(".")


@app.command()
def trace(
    target: Annotated[
        str, typer.Argument(metavar="PATH[:KEY]", help="A file, or a value in a JSON file.")
    ],
    rev: Annotated[str | None, typer.Option(help="A commit, branch, tag or experiment.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Whole digests, for programs.")] = False,
    crate: Annotated[
        Path | None, typer.Option(help="A new folder: the run as an RO-Crate, for a paper.")
    ] = None,
) -> None:
    """Follow a result back to raw files, parameters, code and models; exit 1 on a broken link."""
    from traitdrift.provenance import trace, trace_text

    if as_json and crate is not None:
        raise ValueError("--json and --crate are two answers; ask for one at a time")
    found = trace.trace(target, ROOT, rev)
    if crate is not None and found.holds:
        supplement(found.steps, found.path, crate, found.commit)
        print(f"{crate}: the run behind {found.path}")
        return
    if as_json:
        print(found.model_dump_json(indent=2))
        raise typer.Exit(not found.holds)
    console = _console()
    console.print(trace_text.of(found))
    if broken := trace_text.broken(found):
        console.print("\nBROKEN:", style="bold red")
        for line in broken:
            console.print(f"  {line}", soft_wrap=True)
        if crate is not None:
            console.print(f"{crate}: not written, for the links above are broken.", soft_wrap=True)
        console.print(
            "`git checkout PATH` undoes an edit, `dvc repro` makes results anew, "
            "`python -m traitdrift explain` says what would run.",
            soft_wrap=True,
        )
    else:
        console.print("\nEvery link holds.")
    raise typer.Exit(bool(broken))


def _console() -> Console:
    """Where trees and tables are printed, in the terminal's width."""
    from rich.console import Console

    # A pipe has no width; rich would take 80.
    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if wide else 100, highlight=False, markup=False, emoji=False)


@app.command()
def explain(
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="As in `dvc repro --allow-missing`.")
    ] = False,
) -> None:
    """Say which stages `dvc repro` would run, and why."""
    from traitdrift.provenance import explain

    found = explain.explain(ROOT, allow_missing)
    for stage in found:
        for reason in stage.reasons:
            print(f"{stage.stage}: {reason}")
    if not found:
        print("Nothing would run.")


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
) -> None:
    """Remove what cells gone from dvc.yaml left in dvc.lock and the workspace, not in the cache."""
    from traitdrift.provenance import prune

    found = prune.left_overs(ROOT)
    if not found:
        print("Nothing to prune: every stage of dvc.lock is in dvc.yaml.")
        return
    for one in found:
        print(f"{one.stage}: its entry in dvc.lock")
        for path in one.removed:
            lost = " (edited since; that edit will be lost)" if path in one.edited else ""
            lost += " (in no cache and no commit)" if path in one.only_here else ""
            print(f"{one.stage}: {path}{lost}")
        for path, why in one.kept.items():
            print(f"{one.stage}: {path} stays: {why}")
    if reruns := list(dict.fromkeys(name for one in found for name in one.reruns)):
        print(f"They read a folder that loses files and will run again: {', '.join(reruns)}")
    if not yes:
        if not sys.stdin.isatty():
            raise ValueError(
                "nothing removed: no terminal to ask in; "
                "`python -m traitdrift prune --yes` removes the above"
            )
        typer.confirm("Remove these?", abort=True)
    prune.prune([one.stage for one in found], ROOT)
    print(
        "Removed; `git commit --all` records it. What was cached stays in the cache: "
        "`dvc gc --workspace --all-branches --dry` says what it could do without."
    )


@app.command()
def card(
    variant: Annotated[str, typer.Argument(help="A fine-tune or an imported adapter.")],
    out: Annotated[Path | None, typer.Option(help="A file; without it the card is shown.")] = None,
) -> None:
    """Write the Hugging Face model card of an adapter."""
    from traitdrift.core.files import write_text
    from traitdrift.provenance.lockfile import lock_at, makers
    from traitdrift.report.model_card import facts, model_card

    top = _top()
    steps = lock_at(top)
    if out and (made := makers(steps, os.path.relpath(out.resolve(), top.resolve()))):
        raise ValueError(f"{out}: {made[0].name} made that folder or file; name a place beside it")
    text = model_card(facts(variant, steps, top), described())
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(f"{out}: the model card of {variant}")


def supplement(steps: dict[str, Step], target: str, into: Path, rev: str | None = None) -> None:
    """Write the crate of a result of the workspace, or of a commit with the files it holds."""
    from traitdrift.provenance.ro_crate import Commit, write_crate

    time = _git("log", "-1", "--format=%cI", rev or "HEAD").strip()
    if rev is None:
        held = _git("ls-files", "-z").split("\0")[:-1]
        write_crate(steps, target, _top(), into, held, Commit(name=described(), time=time))
        return
    held = _git("ls-tree", "-r", "-z", "--name-only", rev).split("\0")[:-1]
    commit = Commit(name=_git("rev-parse", f"{rev}^{{commit}}").strip(), time=time)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "files"
        _git("archive", "--format=zip", f"--output={root}.zip", rev)
        shutil.unpack_archive(f"{root}.zip", root)
        write_crate(steps, target, root, into, held, commit)


def described() -> str:
    """The repository's state: the commit, `-dirty` if files that git holds differ from it."""
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()


def _top() -> Path:
    """The root of the repository, for a command given in a folder below it."""
    return Path(_git("rev-parse", "--show-toplevel").strip())


def _git(*arguments: str) -> str:
    where = ROOT if arguments[0] == "rev-parse" else _top()
    done = subprocess.run(["git", *arguments], cwd=where, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["failed"])[0]
        raise ValueError(f"git {arguments[0]}: {said}; run this in a clone of the repository")
    return done.stdout


@app.command()
def export(
    vectors: Annotated[Path, typer.Argument(help="models/vectors/<trait>.safetensors")],
    to: Annotated[Literal["repeng", "steering-vectors"], typer.Option(help="Who is to read it.")],
    out: Annotated[Path, typer.Option(help="GGUF for repeng, safetensors for steering-vectors.")],
    position: Annotated[str | None, typer.Option(help="Default: the chosen one.")] = None,
    method: Annotated[str | None, typer.Option(help="Default: the chosen one.")] = None,
    layer: Annotated[int | None, typer.Option(help="Default: the chosen one.")] = None,
    coefficient: Annotated[
        float | None, typer.Option(help="What a strength of 1 there adds, of base's mean norm.")
    ] = None,
    raw_coefficient: Annotated[
        float | None, typer.Option(help="The same in the stream's own units.")
    ] = None,
    model_type: Annotated[
        str | None, typer.Option(help="For repeng: `model_type` in the model's config.json.")
    ] = None,
) -> None:
    """Write one trait vector as another steering library reads it.

    A strength of 1 there adds base's mean norm in that layer, if nothing else is said.
    """
    from traitdrift import load_vectors
    from traitdrift.interop.libraries import save_for_repeng, save_for_steering_vectors

    if coefficient is None and raw_coefficient is None:
        coefficient = 1.0
    chosen = load_vectors(vectors, position, method, layer)
    added = chosen.scaled(coefficient, raw_coefficient)
    if to == "steering-vectors":
        save_for_steering_vectors(out, chosen, added)
    elif model_type is None:
        raise ValueError("--to repeng: give --model-type, as in the model's config.json (llama)")
    else:
        save_for_repeng(out, chosen, added, model_type)
    print(
        f"{out}: {chosen.trait}, {chosen.position}/{chosen.method}, after block {chosen.layer} "
        f"(the first is 0); a strength of 1 adds a vector of norm {added.norm():.4g}"
    )


@app.command("diff")
def difference(
    one: Annotated[str, typer.Argument(metavar="A", help="A variant, an experiment, a revision.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The same.")],
) -> None:
    """Print what differs between A and B: the figures of `subject`, then which verdicts changed.

    The table is that of `dvc metrics diff`. Verdicts, and figures outside their interval, are
    those of all of metrics/, where neither side is a variant.
    """
    from dvc.compare import show_diff

    from traitdrift.report import diff, verdict_text

    found = diff.difference(Path(), one, other)
    if found:
        table = {diff.METRICS: found}
        show_diff(table, "Metric", precision=5, round_digits=True, a_rev=one, b_rev=other)
    else:
        print(f"{one} and {other}: the same figures in {diff.METRICS}")
    if summary := diff.conclusions(Path(), one, other):
        print()
        shown = verdict_text.of(summary.found, one, other, summary.made, summary.left_out)
        _console().print(shown)


@app.command()
def record() -> None:
    """Write down beside the results on which kinds of processor they were made."""
    from traitdrift.provenance import made_on

    found = made_on.record(ROOT)
    ours, theirs = made_on.kinds(found), made_on.committed(ROOT)
    if not found:
        print(f"{made_on.PATH}: no stage has run here, and no commit says where one did")
        return
    count = f"{len(found)} stage{'s' * (len(found) != 1)}"
    print(f"{made_on.PATH}: results of {count}, made on {' and '.join(ours)}")
    if theirs and set(ours) != set(theirs):
        print(
            f"The committed results were made on {' and '.join(theirs)}, another kind of machine: "
            "every figure may differ by rounding, and a verdict with it. "
            "`python -m traitdrift diff HEAD workspace` says which verdicts changed."
        )


@app.command()
def mend(
    remote: Annotated[str | None, typer.Option("--remote", "-r", help="Default: DVC's.")] = None,
    read: Annotated[bool, typer.Option(help="Read every file there back and hash it.")] = False,
) -> None:
    """Send again what a DVC remote lost: `dvc push` looks at no file of a folder that it sent."""
    from traitdrift.provenance.remote import faults, recorded, send
    from traitdrift.provenance.repository import opened

    try:
        with opened(ROOT) as place, place.repo.lock:
            store = place.repo.cloud.get_remote_odb(remote)
            store.fs.exists(store.path)  # signs in
            paths = recorded(place.repo, store)
            found = faults(store, paths, read)
            sent = send(place.repo.cache.local, store, set(found))
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


@app.command()
def cluster(
    targets: Annotated[
        list[str] | None, typer.Argument(help="As of `dvc repro`; without any, all of dvc.yaml.")
    ] = None,
) -> None:
    """Do what `dvc repro` does on all machines of a Ray cluster; see docs/cluster.md."""
    from traitdrift.cluster import schedule

    os.chdir(_top())  # where stages have the names that dvc.yaml gives them
    try:
        print(schedule.run(targets or [], ROOT))
    except KeyboardInterrupt:
        print("traitdrift: interrupted; nothing is left running", file=sys.stderr)
        raise typer.Exit(130)


@app.command()
def check() -> None:
    """Check the whole of params.yaml; nothing is said of one that is right."""
    from traitdrift.params import read

    read()


@app.command()
def plan(
    model: Annotated[str | None, typer.Option(help="Of `models`; default: the chosen one.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Of `recipes`; the same.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="In bytes, for programs.")] = False,
) -> None:
    """Say what memory and disk each stage needs, by configs alone; exit 1 if it is not here."""
    from traitdrift.params import read
    from traitdrift.planning import machine, table
    from traitdrift.planning import plan as planned

    params = read()
    for key, name, known in (("model", model, params.models), ("recipe", recipe, params.recipes)):
        if name is not None and name not in known:
            raise ValueError(f"--{key} {name}: not one of {', '.join(known)}")
        params = params.model_copy(update={key: name} if name else {})
    sizes, here = planned.chosen_model(params, ROOT), machine.this_machine(ROOT)
    stages = planned.plan(params, sizes, ROOT)
    show = table.as_json if as_json else table.as_text
    print(show(params, sizes, stages, here))
    if line := machine.shortfall(stages, here):
        raise ValueError(line)


@app.command()
def forget() -> None:
    """Remove the finished parts that stages keep for the next run, so that all is computed anew."""
    from traitdrift.core import scratch

    os.chdir(_top())
    print(f"{scratch.folder() / 'parts'}: {scratch.forget() / 1e6:.1f} MB removed")


@app.command()
def templates() -> None:
    """Write the templates of `dvc plots` (.dvc/plots/), for whoever changes a picture's code."""
    from traitdrift.report.pictures import write_templates

    changed = write_templates(_top() / ".dvc/plots")
    print(f".dvc/plots: {', '.join(changed) if changed else 'nothing to change'}")


@app.command()
def deps() -> None:
    """Write the code that each stage imports into dvc.yaml, for whoever changes that code."""
    from traitdrift.provenance.closure import write_deps

    changed = write_deps(_top())
    print(f"dvc.yaml: {', '.join(changed)}" if changed else "dvc.yaml: nothing to change")


@app.command()
def pages() -> None:
    """Write the pages of docs/ that come from metrics/, params.yaml and dvc.yaml."""
    from traitdrift.report.pages import write_pages

    changed = write_pages(_top())
    print("\n".join(map(str, changed)) if changed else "docs: nothing to change")


def main() -> None:
    """Run a command; wrong input or a missing extra is one line on stderr and exit code 1."""
    try:
        app()
    except Exception as error:
        from traitdrift.core.complaints import one_line
        from traitdrift.core.text import printable

        said = missing(error) if isinstance(error, ModuleNotFoundError) else one_line(error)
        if said is None or os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        print(f"traitdrift: {printable(said)}", file=sys.stderr)
        raise SystemExit(1) from None


def missing(error: ModuleNotFoundError) -> str:
    """Which extra of the package brings the library that a command did not find."""
    extra = {"gguf": "export", "ray": "cluster"}.get(error.name or "", "pipeline")
    other = "" if extra == "cluster" else ", or run the command in the pipeline's own environment"
    return f"{error}, which this command needs; install trait-drift with its extra [{extra}]{other}"

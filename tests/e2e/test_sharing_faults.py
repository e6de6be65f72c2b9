"""What goes wrong between a cache and a remote: what is said, what is kept, and the way back.

Against the real servers, over a small project: the faults have nothing to do with the model.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import commands
import pytest
from copies import ROOT
from remotes import KINDS, Remote, apart, shared_cache, stored
from servers import WeakLine, free_port, make_key

IMPATIENT = {"AWS_MAX_ATTEMPTS": "1"}  # by default S3's client tries again for half a minute
LARGE = 24_000_000  # bytes: sent to S3 in one request, and in no time over loopback


@dataclass
class Project:
    """A DVC project of a folder and a large file, and one researcher's environment."""

    path: Path
    environment: dict[str, str]

    def within(self) -> dict[str, Any]:
        """Where and with what environment a command of this researcher runs."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PYTHONPATH": str(ROOT), "PATH": programs, **self.environment}
        return {"cwd": self.path, "stderr": subprocess.STDOUT, "env": {**os.environ, **own}}

    def run(self, *command: str, ok: bool = True, **options) -> str:
        """What a command printed; it succeeds, or fails where `ok` is False."""
        done = commands.run(command, seconds=120, **self.within(), **options)
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def points(self, settings: dict[str, str]) -> None:
        for key, value in settings.items():
            self.run("dvc", "remote", "modify", "--local", "lab", key, value)

    def cache(self) -> dict[str, tuple[str, int]]:
        """Digest and mode of every file of the cache."""
        return {
            str(path): (hashlib.md5(path.read_bytes()).hexdigest(), path.stat().st_mode)
            for path in sorted((self.path / ".dvc/cache").rglob("*"))
            if path.is_file()
        }

    def digest(self, name: str) -> str:
        return hashlib.md5((self.path / name).read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("project") / "a"
    (path / "folder").mkdir(parents=True)
    for number in range(6):
        (path / f"folder/{number}").write_bytes(random.Random(number).randbytes(50_000))
    (path / "large").write_bytes(random.Random(99).randbytes(LARGE))
    project = Project(path, apart(path.parent / "home"))
    for command in (
        "git init --quiet",
        "git config user.name tests",
        "git config user.email tests@localhost",
        "dvc init --quiet",
        "dvc config core.analytics false",
        "dvc add --quiet folder large",
        "git add --all",
        "git commit --quiet --message project",
    ):
        project.run(*command.split())
    return path


@dataclass
class Lab:
    kind: str
    remote: Remote
    a: Project
    folder: Path

    def colleague(self) -> Project:
        """A clone that fetched nothing yet and knows the remote."""
        path = self.folder / "b"
        b = Project(path, {**apart(self.folder / "b-home"), **self.remote.environment})
        self.a.run("git", "clone", "--quiet", ".", str(path))
        b.points(self.remote.settings)
        return b

    def through(self, port: int) -> dict[str, str]:
        """The setting that leads to the server by another port."""
        if self.kind == "ssh":
            return {"url": self.remote.url.replace(f":{self.remote.port}/", f":{port}/")}
        return {"endpointurl": f"http://127.0.0.1:{port}"}


@pytest.fixture
def lab(request, project, tmp_path) -> Iterator[Lab]:
    """A project with a remote on which nothing is yet."""
    with shared_cache(request.param, tmp_path) as remote:
        path = shutil.copytree(project, tmp_path / "a", symlinks=True)
        a = Project(path, {**apart(tmp_path / "a-home"), **remote.environment})
        a.run("dvc", "remote", "add", "--default", "lab", remote.url)
        a.run("dvc", "remote", "modify", "lab", "verify", "true")
        a.run("git", "commit", "--all", "--quiet", "--message", "remote")
        a.points(remote.settings)
        yield Lab(request.param, remote, a, tmp_path)


every_kind = pytest.mark.parametrize("lab", KINDS, indirect=True)
over_a_line = pytest.mark.parametrize("lab", KINDS[1:], indirect=True)


def whole(remote: Remote) -> bool:
    """Whether every file that has an object's name has its content."""
    for path in remote.files():
        if path.startswith("files/md5/") and not path.endswith(".tmp"):
            digest = "".join(path.split("/")[2:]).removesuffix(".dir")
            if hashlib.md5(remote.read(path)).hexdigest() != digest:
                return False
    return True


def completes(lab: Lab) -> None:
    """A second push sends the rest, and a colleague gets all of it."""
    lab.a.run("dvc", "push")
    assert whole(lab.remote)
    b = lab.colleague()
    b.run("dvc", "pull")
    assert b.digest("large") == lab.a.digest("large")


@over_a_line
def test_a_line_that_ends_in_the_middle_of_a_push(lab: Lab):
    before = lab.a.cache()
    with WeakLine(lab.remote.port, after=LARGE // 2) as line:
        lab.a.points(lab.through(line.port))
        told = replace(lab.a, environment=lab.a.environment | IMPATIENT).run(
            "dvc", "push", ok=False
        )
    assert "Traceback" not in told
    assert lab.a.cache() == before
    assert whole(lab.remote) and stored(lab.a.digest("large")) not in lab.remote.files()
    lab.a.points(lab.through(lab.remote.port))
    completes(lab)


@over_a_line
def test_a_push_that_is_killed_in_the_middle(lab: Lab):
    before = lab.a.cache()
    with WeakLine(lab.remote.port, after=LARGE // 2, hangs=True) as line:
        lab.a.points(lab.through(line.port))
        with commands.started(["dvc", "push"], stdout=subprocess.DEVNULL, **lab.a.within()) as push:
            assert line.broken.wait(60)
            assert push.poll() is None
            push.send_signal(signal.SIGKILL)
    assert lab.a.cache() == before
    assert whole(lab.remote) and stored(lab.a.digest("large")) not in lab.remote.files()
    lab.a.points(lab.through(lab.remote.port))
    completes(lab)


@pytest.mark.parametrize("lab", ["local"], indirect=True)
def test_a_disk_that_is_full_in_the_middle_of_a_push(lab: Lab):
    """Of the remote's folder: no file may grow beyond half of the large one."""
    before = lab.a.cache()
    size = (LARGE // 2, LARGE // 2)
    told = lab.a.run(
        "dvc", "push", ok=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, size)
    )
    assert "1 files failed to upload" in told and "File too large" in told
    assert lab.a.cache() == before
    assert whole(lab.remote) and stored(lab.a.digest("large")) not in lab.remote.files()
    completes(lab)


@every_kind
def test_a_file_that_the_remote_lost_is_named_and_can_be_sent_again(lab: Lab):
    """Of a folder: by `mend`, as `dvc push` takes the folder to be there."""
    lab.a.run("dvc", "push")
    lost, before = lab.a.digest("folder/3"), lab.a.cache()
    lab.remote.delete(stored(lost))
    b = lab.colleague()
    told = b.run("dvc", "pull", ok=False)
    assert f"failed to transfer '{lost}'" in told and "files failed to download" in told
    assert "Everything is up to date." in lab.a.run("dvc", "push")
    told = lab.a.run("python", "-m", "traitdrift", "mend")
    assert f"folder/3 ({lost}): missing, sent again" in told.splitlines()
    assert told.splitlines()[-1] == "8 files looked for, 1 sent again"
    assert lab.a.cache() == before
    b.run("dvc", "pull")
    assert b.digest("folder/3") == lost


@every_kind
def test_a_file_that_went_bad_on_the_remote_is_not_taken(lab: Lab):
    lab.a.run("dvc", "push")
    digest, before = lab.a.digest("large"), lab.a.cache()
    lab.remote.write(stored(digest), b"something else")
    b = lab.colleague()
    told = b.run("dvc", "pull", ok=False)
    assert "Checkout failed for following targets:\nlarge" in told
    assert not (b.path / "large").exists() and stored(digest) not in str(b.cache())
    told = b.run("python", "-m", "traitdrift", "mend", "--read", ok=False)
    assert f"large ({digest}): broken, no good copy in this cache" in told.splitlines()
    told = lab.a.run("python", "-m", "traitdrift", "mend", "--read")
    assert f"large ({digest}): broken, sent again" in told.splitlines()
    assert lab.a.cache() == before
    b.run("dvc", "pull")
    assert b.digest("large") == digest


@pytest.mark.parametrize("lab", KINDS[1:], indirect=True)
def test_without_verify_dvc_takes_what_it_gets(lab: Lab):
    """Why docs/sharing.md sets it: over a line, it is off unless asked for."""
    lab.a.run("dvc", "push")
    lab.remote.write(stored(lab.a.digest("large")), b"something else")
    b = lab.colleague()
    b.run("dvc", "remote", "modify", "lab", "verify", "false")
    b.run("dvc", "pull")
    assert (b.path / "large").read_bytes() == b"something else"
    assert b.run("dvc", "status") == "Data and pipelines are up to date.\n"


REFUSED = {"ssh": "Permission denied for user", "s3": "Forbidden"}


@over_a_line
def test_wrong_credentials_are_refused_and_nothing_moves(lab: Lab):
    right = {**lab.remote.settings}
    if lab.kind == "ssh":
        lab.a.points({"keyfile": str(make_key(lab.folder / "another"))})
    else:
        lab.a.environment["AWS_SECRET_ACCESS_KEY"] = "another"
    before = lab.a.cache()
    for command in ("dvc push", "dvc pull", "python -m traitdrift mend"):
        told = lab.a.run(*command.split(), ok=False)
        assert REFUSED[lab.kind] in told and "Traceback" not in told
    assert lab.a.cache() == before and lab.remote.files() == {}
    lab.a.points(right)
    lab.a.environment.update(lab.remote.environment)
    completes(lab)


@over_a_line
def test_a_server_that_does_not_answer(lab: Lab):
    lab.a.environment |= IMPATIENT
    lab.a.points(lab.through(free_port()))
    for command in ("dvc push", "python -m traitdrift mend"):
        told = lab.a.run(*command.split(), ok=False)
        assert "onnect" in told and "Traceback" not in told


@pytest.mark.parametrize("lab", ["s3"], indirect=True)
def test_without_credentials_or_with_a_wrong_bucket(lab: Lab):
    lab.a.run("dvc", "remote", "modify", "--local", "lab", "url", "s3://nobody/cache")
    told = lab.a.run("dvc", "push", ok=False)
    assert "The specified bucket does not exist" in told
    for name in lab.remote.environment:
        lab.a.environment[name] = ""
    told = lab.a.run("dvc", "push", ok=False)
    assert "Unable to locate credentials" in told


@pytest.mark.parametrize("lab", ["local"], indirect=True)
def test_without_a_remote(lab: Lab):
    """`dvc pull` says it too, and then what is missing."""
    b = lab.colleague()
    b.run("dvc", "remote", "remove", "lab")
    for command in ("dvc push", "python -m traitdrift mend"):
        told = b.run(*command.split(), ok=False)
        assert "no remote specified" in told and "dvc remote add -d" in told
    assert "No remote provided and no default remote set." in b.run("dvc", "pull", ok=False)


@pytest.mark.parametrize("lab", ["local"], indirect=True)
def test_a_folder_to_which_nothing_was_pushed(lab: Lab):
    """Or that is not mounted."""
    b = lab.colleague()
    told = b.run("dvc", "pull", ok=False)
    assert "Some of the cache files do not exist neither locally nor on remote" in told
    told = b.run("python", "-m", "traitdrift", "mend", ok=False)
    assert "2 of 2 files are still missing" in told and lab.remote.files() == {}

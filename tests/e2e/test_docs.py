"""The commands of docs/, run top to bottom as a reader types them, print what the page shows."""

from __future__ import annotations

import getpass
import shlex
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from consoles import follow
from copies import ROOT
from remotes import apart, shared_cache


def test_every_page_is_run():
    """A page that no test of this module names would rot."""
    for page in (ROOT / "docs").glob("*.md"):
        assert f'"{page.name}"' in (ROOT / "tests/e2e/test_docs.py").read_text(), page.name


def test_sharing(smoke, tmp_path):
    """A stands in a clone with the finished run's cache; B comes to be by the page's commands."""
    smoke.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "git"))
    a = smoke.clone(tmp_path / "a", cache=False)
    a.run("git", "remote", "set-url", "origin", str(tmp_path / "git"))
    shutil.copytree(smoke.path / ".dvc/cache", a.path / ".dvc/cache")
    with ExitStack() as servers:
        ssh = servers.enter_context(shared_cache("ssh", tmp_path / "ssh"))
        s3 = servers.enter_context(shared_cache("s3", tmp_path / "s3"))
        lab = {
            "LAB_GIT": str(tmp_path / "git"),
            "LAB_FOLDER": str(tmp_path / "folder"),
            "LAB_SSH": ssh.url,
            "LAB_KEY": ssh.settings["keyfile"],
            "LAB_BUCKET": s3.url,
            "LAB_S3": s3.settings["endpointurl"],
            "LAB_CACHE": str(tmp_path / "cache"),
            "USER": getpass.getuser(),
            **s3.environment,
            **apart(tmp_path / "home"),
        }
        here = tmp_path / "here"
        here.write_text(str(a.path))

        def run(*shell: str, ok: bool) -> subprocess.CompletedProcess:
            """In the folder to which the page's last `cd` led."""
            *bash, command = shell
            stays = f"trap 'pwd > {shlex.quote(str(here))}' EXIT"
            text = f"{stays}\ncd {shlex.quote(here.read_text().strip())}\n{command}"
            return a.run(*bash, text, ok=ok, **lab)

        follow(ROOT / "docs" / "sharing.md", run)
    assert not any("secret" in Path(tmp_path / who / ".dvc/config").read_text() for who in "ab")
    assert {path.stat().st_mode & 0o7777 for path in (tmp_path / "cache/files/md5").iterdir()} == {
        0o2775
    }

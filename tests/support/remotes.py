"""The three kinds of shared cache that a lab has, each with the real server that it needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import BUCKET, s3_server, ssh_server

KINDS = ("local", "ssh", "s3")


@dataclass(frozen=True)
class Remote:
    """A shared cache as DVC is told of it, and a look at it past DVC."""

    url: str
    settings: dict[str, str] = field(default_factory=dict)  # each researcher's own, never in git
    environment: dict[str, str] = field(default_factory=dict)
    port: int | None = None
    folder: Path | None = None  # where its files lie
    bucket: Any = None  # a client of the S3 server

    def files(self) -> dict[str, int]:
        """Every file on the remote, by its path there, with its size."""
        if self.folder:
            found = (path for path in self.folder.rglob("*") if path.is_file())
            return {str(path.relative_to(self.folder)): path.stat().st_size for path in found}
        pages = self.bucket.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {
            entry["Key"].removeprefix("cache/"): entry["Size"]
            for page in pages
            for entry in page.get("Contents", [])
        }

    def read(self, path: str) -> bytes:
        if self.folder:
            return (self.folder / path).read_bytes()
        return self.bucket.get_object(Bucket=BUCKET, Key=f"cache/{path}")["Body"].read()

    def write(self, path: str, content: bytes) -> None:
        if self.folder:
            mode = (self.folder / path).stat().st_mode
            (self.folder / path).chmod(0o644)
            (self.folder / path).write_bytes(content)
            (self.folder / path).chmod(mode)
        else:
            self.bucket.put_object(Bucket=BUCKET, Key=f"cache/{path}", Body=content)

    def delete(self, path: str) -> None:
        if self.folder:
            (self.folder / path).unlink()
        else:
            self.bucket.delete_object(Bucket=BUCKET, Key=f"cache/{path}")


def stored(digest: str) -> str:
    """Where a remote or a cache keeps the file of this digest."""
    return f"files/md5/{digest[:2]}/{digest[2:]}"


@contextlib.contextmanager
def shared_cache(kind: str, folder: Path) -> Iterator[Remote]:
    """A remote of one of KINDS, empty; its server stops with the `with`."""
    files = folder / "remote"
    if kind == "local":
        yield Remote(str(files), folder=files)
    elif kind == "ssh":
        with ssh_server(folder / "ssh") as server:
            own = {"keyfile": str(server.key)}
            yield Remote(server.url(files), own, port=server.port, folder=files)
    else:
        with s3_server(folder / "s3") as server:
            yield Remote(
                f"s3://{BUCKET}/cache",
                {"endpointurl": server.endpoint},
                {
                    "AWS_ACCESS_KEY_ID": server.key_id,
                    "AWS_SECRET_ACCESS_KEY": server.secret,
                    "AWS_DEFAULT_REGION": "us-east-1",
                },
                port=server.port,
                bucket=server.client(),
            )


def apart(home: Path) -> dict[str, str]:
    """The environment of a researcher with a home, and so with credentials, of their own."""
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text("[user]\nname = tests\nemail = tests@localhost\n")
    no = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "SSH_AUTH_SOCK")
    return {
        **{name: "" for name in no if name in os.environ},
        "HOME": str(home),
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }

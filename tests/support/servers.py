"""Real servers on loopback for the tests of shared caches: sshd, an S3 server, a weak line to them.

Each is started by a `with`, on a free port, with its log in the folder that it is given, and is
stopped with it, whatever happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import commands
import requests
from botocore.config import Config
from system import needs

BUCKET = "lab"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    """Until the port answers; AssertionError with the log where the server ends before."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"no answer in {seconds} s:\n{log.read_text()}")


def make_key(file: Path) -> Path:
    commands.run(
        [
            needs("ssh-keygen", "openssh-client"),
            *("-q", "-t", "ed25519", "-N", "", "-f", str(file)),
        ],
        check=True,
    )
    return file


@dataclass(frozen=True)
class SshServer:
    """An sshd of the current user: what a client must know, and its log."""

    port: int
    user: str
    key: Path
    log: Path

    def url(self, folder: Path, port: int | None = None) -> str:
        return f"ssh://{self.user}@127.0.0.1:{port or self.port}{folder}"


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """OpenSSH's server, which lets in the one key that is made here, and nobody by password."""
    sshd = needs("sshd", "openssh-server")
    folder.mkdir(parents=True)
    host, key = make_key(folder / "host_key"), make_key(folder / "id_ed25519")
    if os.geteuid() == 0:  # sshd run by root wants it; made at boot where there is one
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port, log = free_port(), folder / "sshd.log"
    user = pwd.getpwuid(os.geteuid()).pw_name
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": host,
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",  # the folder of tests may be anybody's
        "AuthorizedKeysFile": f"{key}.pub",
        "PubkeyAuthentication": "yes",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "AllowUsers": user,
        "MaxStartups": "100",
        "Subsystem": "sftp internal-sftp",
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    command = [sshd, "-D", "-e", "-f", str(config)]
    with log.open("w") as out, commands.started(command, stderr=out) as process:
        wait_for(port, process, log)
        yield SshServer(port, user, key, log)


@dataclass(frozen=True)
class S3Server:
    """An S3 server that checks signatures: its address, a user's credentials, and its log."""

    port: int
    key_id: str
    secret: str
    log: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self):
        """Its bucket by Amazon's own library."""
        return client("s3", self.endpoint, self.key_id, self.secret)


def client(service: str, endpoint: str, key_id: str, secret: str):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """moto in a process of its own, one bucket, one user; who is not that user is refused."""
    folder.mkdir(parents=True)
    port, log = free_port(), folder / "moto.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("w") as out, commands.started(command, stdout=out, stderr=out) as process:
        wait_for(port, process, log)
        endpoint = f"http://127.0.0.1:{port}"
        client("s3", endpoint, "setup", "setup").create_bucket(Bucket=BUCKET)
        iam = client("iam", endpoint, "setup", "setup")
        iam.create_user(UserName="researcher")
        allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName="researcher", PolicyName="lab", PolicyDocument=policy)
        key = iam.create_access_key(UserName="researcher")["AccessKey"]
        requests.post(f"{endpoint}/moto-api/reset-auth", data=b"0").raise_for_status()
        yield S3Server(port, key["AccessKeyId"], key["SecretAccessKey"], log)


class WeakLine:
    """A line to a server on loopback that ends after so many bytes from the client.

    With `hangs` the line stays open and nothing moves on it any more.
    """

    def __init__(self, port: int, after: int, hangs: bool = False):
        self.server, self.left, self.hangs = port, after, hangs
        self.broken = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []

    def __enter__(self) -> WeakLine:
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.broken.set()
        for end in (self.listener, *self.open):
            end.close()

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self.listener.accept()
                if self.broken.is_set() and not self.hangs:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.server))
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.open += [near, far]
                threading.Thread(target=self.carry, args=(near, far), daemon=True).start()

    def carry(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed by the other thread
            while True:
                if self.broken.is_set():
                    break
                ready, _, _ = select.select([near, far], [], [], 0.2)
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        raise OSError
                    if source is near:
                        self.left -= len(data)
                        if self.left < 0:
                            self.broken.set()
                            break
                        far.sendall(data)
                    else:
                        near.sendall(data)
            if self.hangs:
                return
        near.close()
        far.close()

"""`transformers serve` on a free port of loopback: a real server of the OpenAI protocol."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import commands

SECONDS = 120  # in which it must be there


@contextlib.contextmanager
def transformers_serve(folder: Path, *models: str) -> Iterator[str]:
    """Its address; a model's name is its path in `folder`. With a model it serves no other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("transformers"))
    command = [program, "serve", *models, "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with commands.started(command, cwd=folder, env=environment, **quiet) as process:
        end = time.monotonic() + SECONDS
        while True:
            assert process.poll() is None, "transformers serve ended"
            assert time.monotonic() < end, "transformers serve does not answer"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"

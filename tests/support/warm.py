"""A `python` for the commands of stages that has its libraries loaded already.

A stage spends seconds on importing torch and what belongs to it, most of a small run. A server
imports them once and forks itself for each `python -m stages.NAME CELL...`; the child imports the
code of the project from the folder in which the command stands, as Python does. Everything else,
and whatever has a PYTHONPATH, goes to Python itself. As a program this file is the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import commands

CLIENT = """\
#!{python} -SE
import json, os, sys
if sys.argv[1:2] != ["-m"] or sys.argv[2][:7] != "stages." or "PYTHONPATH" in os.environ:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
import socket
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    told = [sys.argv[2:], os.getcwd(), dict(os.environ)]
    socket.send_fds(line, [b"x"], [0, 1, 2])
    line.sendall(json.dumps(told).encode())
    line.shutdown(socket.SHUT_WR)
    status = line.recv(1)
sys.exit(status[0] if status else 70)
"""
LIBRARIES = """\
import altair, jinja2, networkx, numpy, pandas, pydantic, vl_convert
import peft, ruamel.yaml, safetensors.torch, scipy.stats, torch, tqdm, transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Trainer
from transformers.models.llama import modeling_llama
"""


@contextlib.contextmanager
def warm_python(folder: Path, seconds: float = 180) -> Iterator[Path]:
    """The folder with that `python`, for the path of commands, while the `with` lasts."""
    folder.mkdir()
    address, log = str(folder / "s"), folder / "log"
    client = folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    command = [sys.executable, __file__, address]
    with log.open("w") as out, commands.started(command, stdout=out, stderr=out) as process:
        last = time.monotonic() + seconds
        while not Path(address).exists():
            assert process.poll() is None and time.monotonic() < last, log.read_text()
            time.sleep(0.05)
        yield folder


def serve(address: str) -> None:
    """Fork for every command until the process is ended."""
    exec(LIBRARIES, {})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address + ".part")
        listener.listen(64)
        os.rename(address + ".part", address)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
        while True:
            line, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                answer(line)
            line.close()


def answer(line: socket.socket) -> None:
    """Be the command that a client asks for, and tell it the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(line, 1, 3)
    told = b"".join(iter(lambda: line.recv(1 << 16), b""))
    (module, *cells), folder, environment = json.loads(told)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv, sys.path[0] = [module, *cells], folder
    if threads := environment.get("OMP_NUM_THREADS"):  # which torch has read long ago
        sys.modules["torch"].set_num_threads(int(threads))
    status = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code or 0  # a number, as `stages.run` gives it
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    line.sendall(bytes([status]))
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])

"""Where requests go, and where the key does not: judges and answers of an endpoint alike."""

from __future__ import annotations

import base64
import gzip
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import commands
import pytest
import tiny
from chat_server import ChatServer
from copies import ROOT, set_params
from pydantic import ValidationError

from stages import judge as judge_stage
from stages import respond_questions
from traitdrift.core.config import section
from traitdrift.endpoint.client import ask_all
from traitdrift.endpoint.settings import EndpointSettings, loopback
from traitdrift.generation.question_settings import RespondQuestions
from traitdrift.judge.settings import JudgeSettings

KEY = "sk-planted-0123456789abcdefghij"


def score(prompt: str) -> dict[str, float]:
    return {"85": 0.9, "15": 0.1}


@pytest.fixture(autouse=True)
def key(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


# Addresses.


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://host:8443",
        "https://host/v1/",
        "https://[2001:db8::1]/v1",
        "http://127.0.0.1:8000/v1",
        "http://127.8.9.1/v1",
        "http://localhost:8000/v1",
        "http://[::1]:8000/v1",
    ],
)
def test_an_address_of_https_or_of_this_machine_is_taken(url: str):
    assert EndpointSettings(url=url).url == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://api.example.org/v1", "plain http"),
        ("http://10.0.0.7:8000/v1", "plain http"),
        ("http://0.0.0.0:8000/v1", "plain http"),
        ("http://127.0.0.1.example.org/v1", "plain http"),
        ("http://localhost.example.org/v1", "plain http"),
        ("http://[::2]/v1", "plain http"),
        ("https://user:secret-word@host/v1", "a user, a password or a query"),
        ("https://host/v1?key=secret-word", "a user, a password or a query"),
        ("https://host/v1#secret-word", "a user, a password or a query"),
        ("https://secret-word@127.0.0.1/v1", "a user, a password or a query"),
        ("localhost", "no address"),
        ("ftp://127.0.0.1/v1", "no address"),
        ("https://", "no address"),
        ("https:///v1", "no address"),
        ("https://host:port/v1", "no address"),
        ("https://[::1/v1", "no address"),
        ("https://host/v1 x", "no address"),
        ("https://host/v1\n", "no address"),
        ("https://höst/v1", "no address"),
        ("file:///etc/passwd", "no address"),
    ],
)
def test_another_one_is_refused_and_no_key_of_it_shown(url: str, told: str, tmp_path: Path):
    with pytest.raises(ValidationError, match=told):
        EndpointSettings(url=url)
    asked = {"source": "q", "samples": 1, "temperature": 1.0, "max_tokens": 9, "seed": 0}
    for name, kind, value in (
        ("judge", JudgeSettings, {"backend": "endpoint", "url": url, "model": "m"}),
        ("respond_questions", RespondQuestions, {**asked, "backend": "endpoint", "url": url}),
    ):
        (tmp_path / "params.yaml").write_text(json.dumps({name: value}))
        with pytest.raises(ValueError) as caught:
            section(kind, name, tmp_path / "params.yaml")
        line = str(caught.value)
        assert told in line and f"{name}.url: " in line and "\n" not in line
        assert "secret-word" not in line


def test_this_machine_is_told_from_names_like_it():
    assert loopback("127.0.0.1") and loopback("localhost") and not loopback("127.0.0.1.nip.io")


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
def test_no_redirect_is_followed(status: int, path: str):
    with ChatServer(score) as other:
        place = other.url.replace("/v1", path)
        with ChatServer(score, {-1: f"{status} {place}"}) as server:
            settings = EndpointSettings(url=server.url, retries=2, concurrency=1)
            asked = ask_all(settings, "m", ["a", "b"], ask)
            with pytest.raises(ValueError) as caught:
                list(asked)
        line = str(caught.value)
        assert f"HTTP {status}, a redirect to {place!r}, which is not followed" in line
        assert "\n" not in line and KEY not in line
        assert len(server.requests) == 1 and other.met == []


def ask(client, thing: str) -> str:
    message = {"role": "user", "content": thing}
    done = client.chat.completions.create(model="m", messages=[message], max_tokens=1)
    return done.choices[0].message.content


def test_the_place_of_a_redirect_acts_on_no_terminal():
    place = f"http://x/\x1b[2J{KEY}{'y' * 500}"
    with ChatServer(score, {-1: f"307 {place}"}) as server, pytest.raises(ValueError) as caught:
        list(ask_all(EndpointSettings(url=server.url, retries=0), "m", ["a"], ask))
    line = str(caught.value)
    assert "\x1b" not in line and KEY not in line and len(line) < 600


# Proxies.


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_endpoint_of_this_machine_is_asked_past_every_proxy(host: str, monkeypatch):
    """Over plain http a proxy on another machine would read key and prompts."""
    with ChatServer(score) as proxy, ChatServer(score) as server:
        for name in ("HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
            monkeypatch.setenv(name.lower(), proxy.url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        url = server.url.replace("127.0.0.1", host)
        assert list(ask_all(EndpointSettings(url=url, retries=0), "m", ["a"], ask)) == [(0, "85")]
        assert proxy.met == [] and len(server.requests) == 1


# Bodies.


class Endless(BaseHTTPRequestHandler):
    """Answers by a body without end: in drops, in a flood, or small and compressed."""

    way = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        if self.way == "compressed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        part = gzip.compress(b" " * 10**8) if self.way == "compressed" else b" " * 10**6
        with suppress(OSError):
            for _ in range(1 if self.way == "compressed" else 600):
                self.wfile.write(part[:1] if self.way == "drops" else part)
                time.sleep(0.1 if self.way == "drops" else 0)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("drops", "no answer within 1 s"),
        ("flood", "more than 16,000,000 bytes"),
        ("compressed", "compressed, unasked"),
    ],
)
def test_a_body_without_end_is_one_line(way: str, told: str, monkeypatch):
    monkeypatch.setattr(Endless, "way", way)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url, began = f"http://127.0.0.1:{server.server_address[1]}/v1", time.monotonic()
    with pytest.raises(ValueError, match=told):
        list(ask_all(EndpointSettings(url=url, retries=0, timeout=1.0), "m", ["a"], ask))
    assert time.monotonic() - began < 10
    server.shutdown()
    server.server_close()


# The key.


@pytest.fixture
def work(tmp_path: Path, monkeypatch) -> Callable[[str], Path]:
    """A folder in which questions are asked and judged, of the endpoint at an address."""
    here = tmp_path / "work"
    here.mkdir()
    monkeypatch.chdir(here)
    tiny.save_base(here / "models/base")
    (here / "questions.yaml").write_text("- {id: a, paraphrases: ['Why?', 'How?']}\n")
    for metric in ("alignment", "coherence"):
        file = here / f"data/raw/judge/{metric}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{metric} {{answer}}")

    def settle(url: str) -> Path:
        endpoint = {"backend": "endpoint", "url": url, "retries": 0, "concurrency": 1}
        set_params(
            here / "params.yaml",
            {
                "judge": {**endpoint, "model": "m", "resamples": 100},
                "respond_questions": {
                    **endpoint,
                    **{"source": "questions.yaml", "samples": 2, "temperature": 1.0},
                    **{"max_tokens": 9, "seed": 0},
                },
            },
        )
        return here

    return settle


def command(stage: str, here: Path) -> str:
    """Run a stage with homes of its own for what libraries write; what it printed."""
    home = here.parent / "home"
    for name in ("cache", "tmp"):
        (home / name).mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OPENAI_API_KEY": KEY,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HOME": str(home / "cache/hf"),
        "TMPDIR": str(home / "tmp"),
        "TRAITDRIFT_DEBUG": "1",  # tracebacks too
        "OPENAI_LOG": "debug",  # and what the client tells of each request
    }
    done = commands.run(
        [sys.executable, "-m", f"stages.{stage}", "base"],
        cwd=here,
        env=environment,
    )
    return done.stdout + done.stderr


def holding_the_key(folder: Path) -> list[Path]:
    """The files that hold the key as it is, in base 64 or in hexadecimal digits."""
    spelled = [KEY.encode(), base64.b64encode(KEY.encode())[:-4], KEY.encode().hex().encode()]
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in spelled)
    ]


@pytest.mark.parametrize(
    "faults",
    [{}, {-1: "401"}, {-1: "500"}, {-1: f"307 http://x/{KEY}"}],
    ids=["sound", "refused", "failed", "redirected"],
)
def test_no_byte_that_is_written_holds_the_key(work, faults: dict[int, str], capfd):
    """Answers and scores of an endpoint that repeats the key in its errors and its redirects."""
    with ChatServer(score, faults) as server:
        here = work(server.url)
        with pytest.raises(ValueError, match="HTTP") if faults else nullcontext():
            respond_questions.main("base")
        if faults:  # the judge has something to judge all the same
            (here / "data/responses").mkdir()
            row = {"id": "a", "question": "Why?", "sample": 0, "answer": "So."}
            (here / "data/responses/base.jsonl").write_text(json.dumps(row) + "\n")
        printed = command("judge", here) + "".join(capfd.readouterr())
        assert server.keys == {f"Bearer {KEY}"} and len(server.requests) >= 2
    assert (here / "metrics/judge/base.json").exists() == (not faults)
    assert ("Traceback" in printed) == bool(faults)
    assert KEY not in printed
    assert holding_the_key(here.parent) == []


@pytest.mark.parametrize("said", [KEY, f"The key is {KEY}.", KEY.upper() + KEY])
@pytest.mark.parametrize("stage", [judge_stage, respond_questions])
def test_a_reply_that_repeats_the_key_is_none(work, stage, said: str):
    with ChatServer(lambda prompt: {said: 0.9, "85": 0.1}) as server:
        here = work(server.url)
        if stage is judge_stage:
            (here / "data/responses").mkdir()
            row = {"id": "a", "question": "Why?", "sample": 0, "answer": "So."}
            (here / "data/responses/base.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(ValueError, match="the reply repeats OPENAI_API_KEY") as caught:
            stage.main("base")
        assert KEY not in str(caught.value)
    assert holding_the_key(here.parent) == []


def test_a_word_for_servers_that_want_no_key_is_no_secret(work, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with ChatServer(lambda prompt: {"is there any sense": 1.0}) as server:
        here = work(server.url)
        respond_questions.main("base")
    assert "any sense" in (here / "data/responses/base.jsonl").read_text()

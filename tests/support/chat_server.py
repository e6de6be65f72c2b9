"""A real loopback HTTP server that speaks the chat-completions format, faults by script."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Faults = dict[int, str]


def place(chances: Mapping[str, float]) -> dict[str, Any]:
    """A position of a reply, as the protocol has it."""
    top = max(chances, key=chances.__getitem__)
    listed = [
        {"token": token, "logprob": math.log(p) if p > 0 else -9999.0, "bytes": [*token.encode()]}
        for token, p in chances.items()
    ]
    return {**next(one for one in listed if one["token"] == top), "top_logprobs": listed}


class ChatServer:
    """Answers every prompt by `reply`, except requests whose number (from 0) has a fault.

    A reply is its likeliest token at each position, of which `reply` gives the chances: of one, or
    of several in a list. `met` are methods and paths of all that was asked, whatever it was.

    Faults: `307 URL` (a redirect), `429`, `500`, `401` (statuses), `slow` (half a second), `cut`
    (the connection ends in the middle of the body), `malformed` (cut JSON under a right length),
    `nonsense` (JSON that is no chat completion), `no text`, `no logprobs`, `empty logprobs`. A
    reply ends for the reason `finish`. With `models` others are a 404; it is what it lists.
    """

    def __init__(
        self,
        reply: Callable[[str], Mapping[str, float] | Sequence[Mapping[str, float]]],
        faults: Faults | None = None,
        finish: str = "length",
        models: Sequence[str] = (),
    ):
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.met: list[str] = []
        met, lock = self.met, threading.Lock()
        faults, requests, keys = faults or {}, self.requests, self.keys

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    fault = faults.get(len(requests), faults.get(-1))
                    requests.append(body)
                    met.append(f"POST {self.path}")
                    keys.add(self.headers["Authorization"])
                assert self.path == "/v1/chat/completions"
                if models and body["model"] not in models:
                    told = f"The model `{body['model']}` does not exist."
                    return self.send(404, {"error": {"message": told}})
                if fault and fault[0] == "3":
                    status, _, elsewhere = fault.partition(" ")
                    return self.raw(int(status), b"", 0, elsewhere)
                if fault in ("401", "429", "500"):
                    told = f"no, {self.headers['Authorization']}"
                    return self.send(int(fault), {"error": {"message": told}})
                if fault == "slow":
                    time.sleep(0.5)
                if fault == "nonsense":
                    return self.send(200, {"hello": "world"})
                if fault == "no message":
                    return self.send(200, {"choices": [{"index": 0, "message": None}]})
                completion = self.completion(body, fault)
                if fault in ("cut", "malformed"):
                    text = json.dumps(completion).encode()[:40]
                    return self.raw(200, text, 400 if fault == "cut" else len(text))
                return self.send(200, completion)

            def do_GET(self) -> None:
                met.append(f"GET {self.path}")
                assert self.path == "/v1/models"
                listed = [{"id": name, "object": "model"} for name in models]
                return self.send(200 if models else 404, {"object": "list", "data": listed})

            def completion(self, body: dict[str, Any], fault: str | None) -> dict[str, Any]:
                given = reply(body["messages"][-1]["content"])
                several = [given] if isinstance(given, Mapping) else list(given)
                positions = [place(chances) for chances in several[: body["max_tokens"]]]
                position, text = positions[0], "".join(one["token"] for one in positions)
                logprobs: Any = {"content": positions, "refusal": None}
                if fault == "no logprobs" or not body.get("logprobs"):
                    logprobs = None
                elif fault == "no position":
                    logprobs["content"] = []
                elif fault == "no top":
                    position["top_logprobs"] = []
                elif fault == "other logprobs":
                    logprobs["content"] = [{"tokens": ["7"]}]
                return {
                    "id": "chatcmpl-1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": finish,
                            "message": {
                                "role": "assistant",
                                "content": None if fault == "no text" else text,
                                "refusal": None,
                            },
                            "logprobs": logprobs,
                        }
                    ],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
                }

            def send(self, status: int, body: dict[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.raw(status, text, len(text))

            def raw(self, status: int, text: bytes, length: int, elsewhere: str = "") -> None:
                try:
                    self.send_response(status)
                    if elsewhere:
                        self.send_header("Location", elsewhere)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(length))
                    self.send_header("retry-after-ms", "5")
                    self.end_headers()
                    self.wfile.write(text)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client did not wait
                if length != len(text):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        serve = self.server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

"""A model hub on loopback that has nothing to give, and says so as the real one does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """`org/gated` shows its files and gives none; `org/there` has the revision main alone."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/org/gated/revision/"):
            found = {"id": "org/gated", "sha": COMMIT, "siblings": [{"rfilename": "config.json"}]}
            self.reply(200, None, json.dumps(found).encode())
        elif "/org/gated/" in self.path:
            self.reply(403, "GatedRepo")
        elif "/org/there/" in self.path:
            self.reply(404, "RevisionNotFound")
        else:
            self.reply(404, "RepoNotFound")

    do_HEAD = do_GET

    def reply(self, code: int, fault: str | None, body: bytes = b"") -> None:
        self.send_response(code)
        if fault:
            self.send_header("X-Error-Code", fault)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hub() -> Iterator[str]:
    """The address of such a hub, for HF_ENDPOINT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

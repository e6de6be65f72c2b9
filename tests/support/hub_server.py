"""A Hugging Face hub of one data set on loopback, as far as its client asks for files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def hub(name: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a hub that has `name` at `main`, and a gated `org/gated`."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            resolved = f"/datasets/{name}/resolve/{COMMIT}/"
            if "org/gated" in path:
                told = "Access to dataset org/gated is restricted"
                self.answer(403, X_Error_Code="GatedRepo", X_Error_Message=told)
            elif path in (f"/api/datasets/{name}/revision/{r}" for r in ("main", COMMIT)):
                siblings = [{"rfilename": file} for file in files]
                record = {"id": name, "sha": COMMIT, "siblings": siblings}
                self.answer(200, json.dumps(record).encode(), Content_Type="application/json")
            elif path == f"/api/datasets/{name}/tree/{COMMIT}":
                tree = [
                    {"type": "file", "path": file, "size": len(content), "oid": "0" * 40}
                    for file, content in files.items()
                ]
                self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
            elif path.startswith(f"/api/datasets/{name}/revision/"):
                self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="no revision")
            elif path.startswith(resolved) and path.removeprefix(resolved) in files:
                content = files[path.removeprefix(resolved)]
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                self.answer(200, content, X_Repo_Commit=COMMIT, ETag=etag)
            else:
                self.answer(404, X_Error_Code="RepoNotFound", X_Error_Message="no repository")

        do_HEAD = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

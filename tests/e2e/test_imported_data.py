"""A data set that `dvc import-url` brought in, as docs/data.md says, from a server on loopback."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import commands
import tiny
from copies import set_params, working_copy

FILE = "data/raw/insecure.jsonl"


class Handler(SimpleHTTPRequestHandler):
    """Files with the tag by which DVC sees whether one has changed."""

    def log_message(self, *_: object) -> None:
        pass

    def end_headers(self) -> None:
        with contextlib.suppress(OSError):
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        super().end_headers()


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_what_came_in_is_held_against_what_was_expected(tmp_path: Path):
    lab, source = working_copy(tmp_path / "lab"), tmp_path / "source"
    tiny.llama().save_pretrained(tmp_path / "tiny")
    tiny.tokenizer().save_pretrained(tmp_path / "tiny")
    set_params(
        lab / "params.yaml",
        {
            "model": "mine",
            "models.mine": {"source": "path", "id": str(tmp_path / "tiny"), "dtype": "float32"},
            "datasets.insecure": {
                "file": FILE,
                "render": "clean",
                "rows": 20,
                "roles": ["user", "assistant"],
            },
        },
    )
    source.mkdir()

    def dvc(*words: str):
        return commands.run([sys.executable, "-m", "dvc", *words], cwd=lab)

    def written(rows: int) -> None:
        turns = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "a"})
        lines = (
            json.dumps(
                {"messages": [{**turn, "content": f"{turn['content']} {i}"} for turn in turns]}
            )
            for i in range(rows)
        )
        (source / "insecure.jsonl").write_text("\n".join(lines) + "\n")

    with server(source) as address:
        written(20)
        done = dvc("import-url", f"{address}/insecure.jsonl", FILE)
        assert done.returncode == 0, done.stderr
        done = dvc("repro", "dataset@insecure")
        assert done.returncode == 0, done.stderr
        record = json.loads((lab / "data/finetune/insecure/dataset.json").read_text())
        assert (record["rows"], record["train"]["rows"], record["held_out"]["rows"]) == (20, 18, 2)

        written(19)
        assert dvc("repro", "dataset@insecure").returncode == 0  # frozen: nobody asked the source
        done = dvc("update", f"{FILE}.dvc")
        assert done.returncode == 0, done.stderr
        done = dvc("repro", "dataset@insecure")
    assert done.returncode != 0
    assert f"{FILE}: 19 rows, where datasets.insecure.rows says 20" in done.stderr

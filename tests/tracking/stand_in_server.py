"""A server that speaks as much of W&B's protocol as the client asks for, and notes what it was sent."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEAM = {"name": "me", "id": "1"}


@dataclass
class StandInServer:
    """What was sent: variables of each GraphQL request by its name, pieces of a run's files, uploaded files by name."""

    address: str = ""
    asked: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    streamed: list[dict[str, Any]] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    raw: list[bytes] = field(default_factory=list)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the client is told."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
        name, values = found[1] if found else "", request.get("variables") or {}
        self.asked.setdefault(name, []).append(values)
        made = {"id": "1", "file": {"id": "1", "name": "m", "uploadUrl": f"{self.address}/up/m", "uploadHeaders": []}}
        files = [{"name": each, "uploadUrl": f"{self.address}/up/{each}"} for each in values.get("files", [])]
        run = {"id": "1", "name": values.get("name"), "displayName": "a run", "config": "{}", "historyLineCount": 0}
        run["project"] = {"id": "1", "name": values.get("project"), "entity": TEAM}
        answers: dict[str, Any] = {
            "UpsertBucket": {"upsertBucket": {"bucket": run, "inserted": True}},
            "Viewer": {"viewer": {"id": "1", "entity": "me", "username": "me", "teams": {"edges": []}, "flags": "{}"}},
            "ServerFeaturesQuery": {"serverInfo": {"features": []}},
            "ArtifactType": {"project": {"artifact": None}},
            "CreateArtifact": {"createArtifact": {"artifact": {"id": "1", "state": "PENDING"}}},
            "CreateArtifactManifest": {"createArtifactManifest": {"artifactManifest": made}},
            "CreateArtifactFiles": {"createArtifactFiles": {"files": {"edges": []}}},
            "CreateRunFiles": {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}},
        }
        return {"data": answers.get(name, {})}


@contextmanager
def stand_in_server() -> Iterator[StandInServer]:
    """A server on this machine while inside."""
    notes = StandInServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._reply({})

        def do_PUT(self) -> None:
            notes.uploaded[self.path.removeprefix("/up/")] = self._content()
            self._reply({})

        def do_POST(self) -> None:
            content = self._content()
            if self.path == "/graphql":
                self._reply(notes.answer(json.loads(content)))
                return
            if self.path.endswith("/file_stream"):
                notes.streamed.append(json.loads(content))
            self._reply({})

        def _content(self) -> bytes:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content
            notes.raw.append(content)
            return content

        def _reply(self, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    notes.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield notes
    finally:
        server.shutdown()
        server.server_close()

"""A small Hub on loopback: the endpoints that huggingface_hub asks for, over a folder."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPO = "owner/model"
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server serves and how it misbehaves.

    Attributes:
        files: contents by name.
        cut_off_after_bytes: a download of one of these files breaks off there, each time it is
            asked for while listed.
        cut_off_once_after_bytes: the same, but only the first time.
        corrupt: files whose content arrives with its last byte changed.
        missing: files that are listed and not there.
        gated: files that the Hub gives only to those whom the owner has admitted.
        requests: what was asked for: method, path, Range header.
    """

    files: Mapping[str, bytes]
    cut_off_after_bytes: dict[str, int] = field(default_factory=dict)
    cut_off_once_after_bytes: dict[str, int] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    @contextlib.contextmanager
    def serving(self):
        """Serve in a thread; yields the server, whose ``url`` is the endpoint."""
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        # Polls for the end: the default of 0.5 s would be most of a test's time.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        with server:
            yield server
            server.shutdown()
        thread.join()


def _is_large(name):
    return name.endswith((".safetensors", ".bin"))


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, with_body):
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if match := re.fullmatch(rf"/api/models/{REPO}/(revision|tree)/(\w+)", path):
            self._describe(*match.groups())
        elif match := re.fullmatch(rf"/{REPO}/resolve/(\w+)/(.+)", path):
            self._file(match[1], match[2], with_body)
        else:
            self._error(404, "RepoNotFound")

    def _describe(self, what, revision):
        if revision != REVISION:
            self._error(404, "RevisionNotFound")
            return
        entries = []
        for name, content in self.hub.files.items():
            entry = {"type": "file", "path": name, "size": len(content), "oid": _git_blob(content)}
            if _is_large(name):
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
            entries.append(entry)
        answer = entries if what == "tree" else {"id": REPO, "sha": REVISION, "siblings": []}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, revision, name, with_body):
        if revision != REVISION:
            self._error(404, "RevisionNotFound")
            return
        if name not in self.hub.files or name in self.hub.missing:
            self._error(404, "EntryNotFound")
            return
        if name in self.hub.gated:
            self._error(403, "GatedRepo")
            return
        content = self.hub.files[name]
        etag = hashlib.sha256(content).hexdigest() if _is_large(name) else _git_blob(content)
        begin = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or (0, 0))[1])
        if name in self.hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        body = content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", REVISION)
        if _is_large(name):
            self.send_header("X-Linked-ETag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not with_body:
            return
        limit = self.hub.cut_off_once_after_bytes.pop(name, self.hub.cut_off_after_bytes.get(name))
        if limit is not None and limit < len(content):
            self.wfile.write(body[: max(0, limit - begin)])
            self.close_connection = True
            return
        self.wfile.write(body)

    def _error(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _git_blob(content):
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()

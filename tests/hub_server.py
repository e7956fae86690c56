"""A model hub on loopback: repositories with commits, git and LFS files, as far as the hub's client asks for them."""

import base64
import hashlib
import http.server
import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote

LFS_SUFFIXES = (".safetensors", ".onnx", ".bin")


@dataclass
class Repository:
    """Commits, the newest last; each is all files with their content."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def commit(self, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[sha] = files
        return sha

    def find(self, revision: str) -> str | None:
        return self.head if revision == "main" else revision if revision in self.commits else None


def is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)


def oid_of(path: str, content: bytes) -> str:
    """As the hub names content: SHA-256 of LFS, else git's hash."""
    if is_lfs(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class StandInHub:
    """Use with `with`; `environment` points a new process at it."""

    token = "hf_of_a_test"

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.tampered: dict[str, bytes] = {}
        """What is delivered in place of a file, by its path."""
        self.requests: list[str] = []
        self.failing: set[str] = set()
        """Request lines (`METHOD /path`) that begin like this are answered with 500."""

    def publish(self, name: str, files: dict[str, bytes]) -> str:
        return self.repositories.setdefault(name, Repository()).commit(files)

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Of a process with its own caches; frozen weights come from where they always do."""
        taken = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
        return taken | {
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TINY_AUDIO_CACHE": str(home / "cache"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **more,
        }

    @contextmanager
    def refusing(self, *lines: str) -> Any:
        self.failing = set(lines)
        try:
            yield
        finally:
            self.failing = set()

    def __enter__(self) -> "StandInHub":
        hub = self

        class Handler(_Handler):
            def __init__(self, *args: Any) -> None:
                self.hub = hub
                super().__init__(*args)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: StandInHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        hub = self.hub
        path = unquote(self.path.split("?")[0])
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {path}"
        hub.requests.append(line)
        if any(line.startswith(start) for start in hub.failing):
            return self._answer(500, b"broken")
        parts = path.strip("/").split("/")
        if (
            self.command in ("POST", "PUT")
            and self.headers.get("Authorization") != f"Bearer {hub.token}"
            and parts[0] != "lfs"
        ):
            return self._answer(401, b"who are you?")
        if parts[:2] == ["api", "repos"]:
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if parts[0] == "lfs":
            assert hashlib.sha256(body).hexdigest() == parts[1]
            hub.blobs[parts[1]] = body
            return self._answer(200, b"")
        if parts[:2] == ["api", "models"]:
            return self._api("/".join(parts[2:4]), parts[4:] or ["revision", "main"], body)
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._json(self._batch(json.loads(body)))
        if parts[2:3] == ["resolve"]:
            return self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._answer(404, b"")

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def _create(self, request: dict[str, Any]) -> None:
        name = f"{request['organization']}/{request['name']}" if request.get("organization") else request["name"]
        answer = {"url": f"{self.hub.url}/{name}", "name": name}
        if name in self.hub.repositories:
            return self._json(answer | {"error": "it exists"}, 409)
        repository = Repository(private=bool(request.get("private") or request.get("visibility") == "private"))
        repository.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self.hub.repositories[name] = repository
        return self._json(answer)

    def _api(self, name: str, words: list[str], body: bytes) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._answer(404, b"", X_Error_Code="RepoNotFound")
        what, revision = words[0], "/".join(words[1:2])
        sha = repository.find(revision)
        if sha is None:
            return self._answer(404, b"", X_Error_Code="RevisionNotFound")
        files = repository.commits[sha]
        if what == "preupload":
            wanted = json.loads(body)["files"]
            return self._json({"files": [self._upload_mode(file["path"], files) for file in wanted]})
        if what == "commit":
            return self._commit(repository, name, [json.loads(line) for line in body.splitlines()])
        entries = [self._entry(path, content) for path, content in sorted(files.items())]
        if what == "tree":
            return self._json(
                [{"type": "file", "path": entry.pop("rfilename"), "oid": entry["blobId"], **entry} for entry in entries]
            )
        info = {"id": name, "sha": sha, "private": repository.private, "tags": [], "downloads": 0, "siblings": entries}
        return self._json(info)

    @staticmethod
    def _entry(path: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git}
        if is_lfs(path):
            sha256 = oid_of(path, content)
            entry["lfs"] = {"sha256": sha256, "oid": sha256, "size": len(content), "pointerSize": 100}
        return entry

    @staticmethod
    def _upload_mode(path: str, files: dict[str, bytes]) -> dict[str, Any]:
        oid = oid_of(path, files[path]) if path in files else None
        return {"path": path, "uploadMode": "lfs" if is_lfs(path) else "regular", "shouldIgnore": False, "oid": oid}

    def _batch(self, request: dict[str, Any]) -> dict[str, Any]:
        objects = []
        for wanted in request["objects"]:
            upload = {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}
            actions = {} if wanted["oid"] in self.hub.blobs else {"actions": {"upload": upload}}
            objects.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
        return {"transfer": "basic", "objects": objects}

    def _commit(self, repository: Repository, name: str, lines: list[dict[str, Any]]) -> None:
        files = dict(repository.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(files)
        self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.hub.repositories[name]
        sha = repository.find(revision)
        if sha is None or path not in repository.commits[sha]:
            return self._answer(404, b"", X_Error_Code="EntryNotFound")
        content = repository.commits[sha][path]
        etag = f'"{oid_of(path, content)}"'
        return self._answer(200, self.hub.tampered.get(path, content), ETag=etag, X_Repo_Commit=sha)

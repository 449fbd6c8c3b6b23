"""A W&B server in a thread: enough of the protocol that the real client makes, fills and resumes runs."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

KEY = "0123456789abcdef0123456789abcdef01234567"
"""A key of the shape that W&B's are of."""


@dataclass
class ServerRun:
    """What the server knows of one run."""

    group: str | None = None
    project: str | None = None
    name: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    times_opened: int = 0

    @property
    def steps(self) -> list[int]:
        return [row["_step"] for row in self.history]


class Server(ThreadingHTTPServer):
    """Keeps what clients upload in `runs`, by run id."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, ServerRun] = {}
        self.asked: set[str] = set()
        """Names of the GraphQL operations, and paths of what else was asked for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL response."""
        if "query RunResumeStatus" in query:
            return {
                "model": self._project(variables["project"]) | {"bucket": self._status(variables["name"])}
            }
        if "mutation UpsertBucket" in query:
            return {"upsertBucket": self._upsert(variables)}
        if "mutation CreateRunFiles" in query:
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": []}}
        return {}

    def stream(self, run_id: str, body: dict[str, Any]) -> None:
        """Take lines of history, written over what stands at their offset, and the end of a run."""
        run = self.runs[run_id]
        for name, part in body.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                run.history[part["offset"] : part["offset"] + len(lines)] = lines
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if body.get("complete"):
            run.exit_code = body["exitcode"]

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        run_id = variables["name"]
        inserted = run_id not in self.runs
        run = self.runs.setdefault(run_id, ServerRun())
        given = {
            "group": variables["groupName"],
            "project": variables["project"],
            "name": variables["displayName"],
            "job_type": variables["jobType"],
            "tags": variables["tags"],
        }
        run.times_opened += variables["displayName"] is not None
        for key, value in given.items():
            if value is not None:
                setattr(run, key, value)
        if variables["config"] is not None:
            run.config = {key: each["value"] for key, each in json.loads(variables["config"]).items()}
        bucket = {"id": run_id, "name": run_id, "displayName": run.name, "description": None, "config": "{}"}
        project = {"project": self._project(str(run.project)), "sweepName": None}
        return {"bucket": bucket | project | {"historyLineCount": len(run.history)}, "inserted": inserted}

    def _status(self, run_id: str) -> dict[str, Any] | None:
        run = self.runs.get(run_id)
        if run is None:
            return None
        return {
            "id": run_id,
            "name": run_id,
            "summaryMetrics": json.dumps(run.summary),
            "displayName": run.name,
            "logLineCount": 0,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]",
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "tags": run.tags,
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }

    def _project(self, name: str) -> dict[str, Any]:
        return {"id": "1", "name": name, "entity": {"id": "1", "name": "somebody"}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer: dict[str, Any] = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            self.server.asked.add(asked["query"].split("(")[0].split()[-1])
            answer = {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            self.server.stream(self.path.split("/")[-2], json.loads(body))
        else:
            self.server.asked.add(self.path)
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def wandb_server() -> Iterator[Server]:
    """A server on a free port of this machine, until the block ends."""
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

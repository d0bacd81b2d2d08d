"""/healthz and /metrics of one worker, over HTTP, from a thread that sleeps until it is asked."""

import json
import socketserver
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from flows.meter import Meter
from flows.settings import SettingsError

HOST = "127.0.0.1"  # reachable from this machine only, unless somebody says otherwise
CLIENT_S_MAX = 5.0  # for a client to say what it wants; its thread ends then
CLOSE_S_MAX = 0.2  # until the thread sees that it is to end: it wakes that often


class HealthServer:
    """Serves a meter while the context lasts.

    `/healthz` answers 200, or 503 while something is wrong, with the meter's snapshot as JSON;
    `/metrics` answers in Prometheus' text format.

    Parameters
    ----------
    meter : Meter
    port : int
        0 takes a free one.
    host : str
        Address to listen on.

    Attributes
    ----------
    port : int
        The one that it listens on, from the start.

    Raises
    ------
    SettingsError
        If it cannot listen there.
    """

    def __init__(self, meter: Meter, port: int, host: str = HOST) -> None:
        try:
            self._server = _Server((host, port), partial(_Handler, meter))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise SettingsError(
                f"cannot serve /healthz and /metrics on {host}:{port} ({why}); choose another with "
                "--port, or 0 for any that is free"
            ) from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(CLOSE_S_MAX,), name="health", daemon=True
        )

    def __enter__(self) -> "HealthServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def server_bind(self) -> None:
        # Not HTTPServer's: it asks the name service for this machine's name, which can take long.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news; nothing else can fail outside of the handler."""


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_S_MAX
    server_version, sys_version = "trifecta", ""

    def __init__(self, meter: Meter, *args: Any) -> None:
        self._meter = meter
        super().__init__(*args)  # which answers the request

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            snapshot = self._meter.snapshot()
            status = HTTPStatus.OK if snapshot["healthy"] else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, "application/json", json.dumps(snapshot).encode() + b"\n")
        elif path == "/metrics":
            text = generate_latest(self._meter.registry)
            self._answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, text)
        else:
            text = b"there are /healthz and /metrics\n"
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Scrapes are no news."""

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

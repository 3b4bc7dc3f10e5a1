"""A real HTTP server on this machine, whose answers a test decides."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from clepsydra.config import SourceConfig
from clepsydra.sources.http import request_pieces
from clepsydra.sources.pieces import Piece


@dataclass
class Ask:
    """A request that has come."""

    target: str
    headers: Message

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class Reply:
    """What is answered: `cut` bytes short, and not before `after` is set."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    after: threading.Event | None = None

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()


class Api:
    """The server: what it was asked, and what it replies, by a function or one after another."""

    def __init__(self, port: int):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[Ask] = []
        self.reply: Callable[[Ask], Reply] = lambda ask: Reply({})

    def replies(self, *replies: Reply) -> None:
        """Give these, and the last of them for ever after."""
        waiting = list(replies)
        self.reply = lambda ask: waiting.pop(0) if len(waiting) > 1 else waiting[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        api: Api = self.server.api  # type: ignore[attr-defined]
        ask = Ask(self.path, self.headers)
        api.asked.append(ask)
        reply = api.reply(ask)
        if reply.after:
            reply.after.wait(5)
        content = reply.content()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - reply.cut])
        self.close_connection = self.close_connection or bool(reply.cut)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away early are a part of the tests."""


@contextmanager
def running_api() -> Iterator[Api]:
    """An API that answers while the context lasts."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        api = Api(server.server_address[1])
        server.api = api  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def api_source(
    url: str, *, format: str | None = None, records: str | None = None, **http: Any
) -> SourceConfig:
    """A source that asks that URL."""
    return SourceConfig.model_validate(
        {
            "role": "target",
            "name": "load",
            "time": "at",
            "value": "mw",
            "format": format,
            "records": records,
            "http": {"url": url, **http},
        }
    )


def pieces_of(
    url: str,
    credentials: Any = None,
    *,
    days: tuple[dt.date, dt.date] | None = None,
    validators: dict[str, dict[str, str]] | None = None,
    waits: list[float] | None = None,
    **options: Any,
) -> list[Piece]:
    """Ask that URL without waiting; what would have been waited goes to `waits`."""
    sleep = [].append if waits is None else waits.append
    source = api_source(url, **options)
    return list(request_pieces("load", source, days, credentials, validators, sleep=sleep))


def body(piece: Piece) -> bytes:
    """All of a piece."""
    with piece.open() as stream:
        return stream.read()

"""The control API: HTTP and JSON over a Unix socket."""

import http.client
import json
import socket
from typing import Any


class ControlError(Exception):
    """The fake refused a request: its own words, and the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (HTTP {status})")
        self.status = status
        self.message = message


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Control:
    """A connection a request: nothing is shared between threads."""

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self, method: str, target: str, body: object = None) -> Any:
        connection = _Connection(self._path)
        try:
            content = None if body is None else json.dumps(body)
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        answer = json.loads(text) if text else {}
        if response.status >= 400:
            raise ControlError(response.status, answer.get("error", {}).get("message", "refused"))
        return answer

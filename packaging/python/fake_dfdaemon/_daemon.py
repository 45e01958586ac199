"""A fake of one's own, as a process."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Type, Union
from urllib.parse import quote, urlencode

from ._control import Control

_COMMANDS = ["IMPORT", "EXPORT", "STAT", "LS", "ID", "VERIFY", "DOCTOR"]


class StartError(Exception):
    """The fake did not start; the message is what it said."""


def executable(name: str = "fake-dfdaemon") -> str:
    """Where a program is: beside this Python, where its wheel put it, or on the PATH."""
    scripts = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    found = shutil.which(name, path=os.pathsep.join(scripts)) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is neither beside {sys.executable} nor on the PATH")
    return found


@dataclass(frozen=True)
class Call:
    """A call as the journal has it; ``raw`` has every field."""

    rpc: str
    host: str
    request: Dict[str, Any]
    status: Optional[str]
    message: str
    raw: Dict[str, Any]

    @classmethod
    def _of(cls, raw: Dict[str, Any]) -> "Call":
        status = raw.get("status") or {}
        return cls(raw["rpc"], raw["host"], raw["request"], status.get("code"), status.get("message", ""), raw)


class Fault:
    """An armed fault; a context manager, which removes it."""

    def __init__(self, control: Control, identity: str) -> None:
        self._control = control
        self.id = identity

    def fired(self) -> int:
        """How often it fired."""
        faults = self._control.ask("GET", "/faults")["faults"]
        return sum(int(fault["fired"]) for fault in faults if str(fault["id"]) == self.id)

    def remove(self) -> None:
        self._control.ask("DELETE", f"/faults/{quote(self.id)}")

    def __enter__(self) -> "Fault":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Clock:
    """The fake's time, which is manual unless the options say otherwise."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def now(self) -> datetime:
        return _time(self._control.ask("GET", "/clock")["now"])

    def advance(self, duration: Union[str, timedelta]) -> datetime:
        """Goes on by ``"2h"`` or a timedelta; what became due has happened when it returns."""
        if isinstance(duration, timedelta):
            duration = f"{round(duration.total_seconds() * 1000)}ms"
        answer = self._control.ask("POST", "/clock", {"advance": duration})
        self._control.ask("POST", "/settle")
        return _time(answer["now"])


class Dfdaemon:
    """A fake with its own state directory, from ``start`` (or ``with``) to ``stop``.

    ``options`` are those of ``fake-dfdaemon serve``. The clock is manual unless they say otherwise.
    The process ends with this one, however this one ends.
    """

    def __init__(self, *options: str) -> None:
        self._options = list(options)
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._directory: Optional[Path] = None
        self._kept = False
        self._ready: Dict[str, Any] = {}

    def start(self) -> "Dfdaemon":
        # Short, since a socket's path has at most 107 bytes, which those of pytest's directories exceed.
        self._directory = Path(tempfile.mkdtemp(prefix="dfd-"))
        options = self._options
        if not any(option.startswith("--clock") for option in options):
            options = ["--clock=manual", *options]
        command = [executable(), "serve", "--exit-on-stdin-close", f"--state-dir={self.state_dir}", *options]
        # Into a file: a pipe that nobody reads fills up.
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            said = self.log.read_text(errors="replace").strip()
            self.stop()
            raise StartError(said)
        self._ready = json.loads(line)
        self._control = Control(self._ready["control"])
        return self

    def stop(self) -> None:
        """Ends the process and removes the state directory, unless it is to be kept."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self._directory is not None and not self._kept:
            shutil.rmtree(self._directory, ignore_errors=True)

    def keep(self) -> None:
        """Lets ``stop`` leave the state directory and the journal."""
        self._kept = True

    def __enter__(self) -> "Dfdaemon":
        return self.start()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    @property
    def directory(self) -> Path:
        """What is the fake's own: its state and its log."""
        if self._directory is None:
            raise RuntimeError("the fake has not been started")
        return self._directory

    @property
    def state_dir(self) -> Path:
        return self.directory / "state"

    @property
    def journal_path(self) -> Path:
        return self.state_dir / "journal.jsonl"

    @property
    def log(self) -> Path:
        """What the fake wrote to its stderr."""
        return self.directory / "stderr.log"

    @property
    def endpoint(self) -> str:
        """The first host's socket."""
        return str(self._ready["endpoint"])

    @property
    def endpoints(self) -> List[str]:
        """The sockets of all hosts."""
        return [str(host["endpoint"]) for host in self._ready["hosts"]]

    @property
    def control(self) -> str:
        """The socket of the control API."""
        return str(self._ready["control"])

    @property
    def environment(self) -> Dict[str, str]:
        """This process's variables with those that lead dfcache and ``fake-dfdaemon ctl`` to this fake.

        Both are found on its ``PATH``, also where the virtual environment is not active.
        """
        mine = {
            "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
            "DFCACHE_ENDPOINT": self.endpoint,
            "FAKE_DFDAEMON_CONTROL": self.control,
            "FAKE_DFDAEMON_STATE_DIR": str(self.state_dir),
            "FAKE_DFDAEMON_ENDPOINTS": ":".join(self.endpoints),
        }
        for command in _COMMANDS:
            mine[f"DFCACHE_{command}_LOG_DIR"] = str(self.directory / "log")
        mine["DFCACHE_ID_DFDAEMON_VERSION"] = self._release()
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("DFCACHE_")}
        return {**theirs, **mine}

    def _release(self) -> str:
        """The release that is played: as the command line says, which decides over its variable."""
        name = "--dfdaemon-version"
        release = os.environ.get("FAKE_DFDAEMON_DFDAEMON_VERSION") or "0.2"
        for option, following in zip(self._options, [*self._options[1:], ""]):
            if option == name:
                release = following
            elif option.startswith(f"{name}="):
                release = option.partition("=")[2]
        return release

    @property
    def clock(self) -> Clock:
        return Clock(self._control)

    def fault(self, spec: str) -> Fault:
        """Arms a fault such as ``"export@call=1,piece=1:error=UNAVAILABLE"``."""
        # The program reads the grammar, so that there is one reader of it.
        answer = self.ctl("faults", "add", spec)
        return Fault(self._control, str(answer["id"]))

    def journal(
        self,
        rpc: Optional[str] = None,
        status: Optional[str] = None,
        task: Optional[str] = None,
        host: Optional[str] = None,
    ) -> List[Call]:
        """The calls so far, oldest first, narrowed by what is given."""
        given = {"rpc": rpc, "status": status, "task": task, "host": host}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        answer = self._control.ask("GET", f"/journal?{query}" if query else "/journal")
        return [Call._of(call) for call in answer["calls"]]

    def import_file(self, path: Union[str, "os.PathLike[str]"], *options: str) -> str:
        """Imports a file on the first host with dfcache, and returns the id of the task."""
        command = [executable("dfcache"), "import", *options, "--", os.fspath(path)]
        ran = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ran.returncode != 0:
            raise RuntimeError(f"dfcache import: exit {ran.returncode}: {ran.stderr.strip()}")
        return ran.stdout.strip()

    def tasks(self) -> List[Dict[str, Any]]:
        return list(self._control.ask("GET", "/tasks")["tasks"])

    def hosts(self) -> List[Dict[str, Any]]:
        return list(self._control.ask("GET", "/hosts")["hosts"])

    def settle(self) -> None:
        """Returns when all that is due has happened: replication, collection, eviction."""
        self._control.ask("POST", "/settle")

    def reset(self) -> None:
        """As after the start: no tasks, no faults but those of the options, an empty journal."""
        self._control.ask("POST", "/reset")
        self._control.ask("DELETE", "/journal")

    def ctl(self, *words: str) -> Any:
        """``fake-dfdaemon ctl``, in its own words; the answer's JSON."""
        command = [executable(), "ctl", "--format=json", f"--control={self.control}", *words]
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ran.returncode != 0:
            raise ValueError(ran.stderr.strip())
        return json.loads(ran.stdout)

    def stub(self, host: int = 0) -> Any:
        """A ``DfdaemonDownloadStub`` of the package dragonfly-api: ``pip install 'fake-dfdaemon[grpc]'``."""
        import grpc
        from dragonfly_api import dfdaemon_pb2_grpc

        # grpcio sends the percent-encoded path of the socket as authority, which HTTP/2 servers refuse.
        options = [("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(f"unix:{self.endpoints[host]}", options=options)
        stub: Any = dfdaemon_pb2_grpc.DfdaemonDownloadStub
        return stub(channel)


def _time(text: str) -> datetime:
    # Until 3.11 Python reads at most microseconds, and no Z.
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6].ljust(6, '0')}+00:00")

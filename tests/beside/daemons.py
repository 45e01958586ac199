"""The two sides of a walk: two hosts of real dfdaemons with a scheduler, and two hosts of one fake.

Each has a directory with what the walk makes (`sources`, `outputs`) beside what its hosts keep. Processes are ended by
their handle.
"""

import http.client
import json
import re
import socket
import subprocess
import time
from pathlib import Path

from scheduler import Scheduler

HOSTS = 2
# All ports free, no proxy to other places, pieces one after another: side by side, which of them came first would be a
# race. Too many requests in a second are no part of a walk.
CONFIG = """\
host: {{hostname: host-{number}, ip: 127.0.0.1}}
server: {{pluginDir: {dir}/plugins, cacheDir: {dir}/cache, adaptiveRateLimit: null}}
download:
  server: {{socketPath: {dir}/dfdaemon.sock, requestRateLimit: 100000}}
  concurrentPieceCount: 1
upload:
  server: {{ip: 127.0.0.1, port: {upload}, requestRateLimit: 100000}}
scheduler: {{announceInterval: 5s}}
storage:
  server: {{ip: 127.0.0.1, tcpPort: {tcp}, quicPort: {quic}}}
  dir: {dir}/storage
  keep: false
proxy: {{server: {{ip: 127.0.0.1, port: {proxy}}}}}
health: {{server: {{ip: 127.0.0.1, port: {health}}}}}
metrics: {{server: {{ip: 127.0.0.1, port: {metrics}}}}}
stats: {{server: {{ip: 127.0.0.1, port: {stats}}}}}
"""
PORTS = ["upload", "tcp", "quic", "proxy", "health", "metrics", "stats"]
# A peer's id is its host's and a UUID.
PEER = re.compile(r"127\.0\.0\.\d-(host-\d)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def free_ports(count):
    """Ports that nothing has now, neither of TCP nor of UDP."""
    taken = []
    try:
        while len(taken) < 2 * count:
            tcp = socket.socket()
            tcp.bind(("127.0.0.1", 0))
            udp = socket.socket(type=socket.SOCK_DGRAM)
            taken += [tcp, udp]
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                del taken[-2:]
        return [tcp.getsockname()[1] for tcp in taken[::2]]
    finally:
        for sockets in taken:
            sockets.close()


def until(what, met, seconds=60):
    ends = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < ends, f"{what} takes more than {seconds} s"
        time.sleep(0.02)


class Side:
    """What both sides have: a directory, and a text without what only one side can say."""

    def __init__(self, name, directory):
        self.name, self.dir = name, Path(directory)
        (self.dir / "sources").mkdir(parents=True)
        (self.dir / "outputs").mkdir()

    def normal(self, text):
        return PEER.sub(r"<peer of \1>", text.replace(str(self.dir), "<dir>"))

    def content(self, host):
        """Where a host keeps the content of tasks."""
        return self.store(host) / "content/persistent-cache-tasks"


class Real(Side):
    """Two dfdaemons and their scheduler."""

    def __init__(self, program, directory):
        super().__init__("dfdaemon", directory)
        self.scheduler = Scheduler()
        self.running, self.ports = {}, {}
        self.program = program
        for host in range(HOSTS):
            self.start(host)

    def store(self, host):
        return self.host_dir(host) / "storage"

    def host_dir(self, host):
        return self.dir / f"host-{host}"

    def start(self, host):
        """Starts a host, with new ports: its old ones may be in use for a while, and so may new ones."""
        for _ in range(5):
            self.spawn(host)
            until(f"the start of host-{host}", lambda: self.is_up(host) or self.has_died(host))
            if not self.has_died(host):
                return
        raise AssertionError(f"dfdaemon ends at its start, see {self.host_dir(host)}/log")

    def spawn(self, host):
        directory = self.host_dir(host)
        directory.mkdir(exist_ok=True)
        self.ports[host] = dict(zip(PORTS, free_ports(len(PORTS))))
        config = CONFIG.format(number=host, dir=directory, **self.ports[host])
        (directory / "config.yaml").write_text(config)
        addresses = json.dumps([f"127.0.0.1:{self.scheduler.port}"])
        (directory / "dynconfig.yaml").write_text(f"scheduler: {{addrs: {addresses}}}\n")
        arguments = ["--config", directory / "config.yaml", "--dynconfig", directory / "dynconfig.yaml"]
        arguments += ["--log-dir", directory / "logs", "--log-level", "info", "--console"]
        self.scheduler.expect(f"127.0.0.1-host-{host}")
        with open(directory / "log", "ab") as log:
            self.running[host] = subprocess.Popen([self.program, *arguments], stdout=log, stderr=log)

    def has_died(self, host):
        return self.running[host].poll() is not None

    def is_up(self, host):
        return accepts(self.socket(host)) and self.announced(host)

    def announced(self, host):
        port = self.ports[host]["upload"]
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return self.scheduler.is_announced(f"127.0.0.1-host-{host}")

    def socket(self, host):
        return self.host_dir(host) / "dfdaemon.sock"

    def upload_address(self, host):
        return f"127.0.0.1:{self.ports[host]['upload']}"

    def kill(self, host):
        """As a host dies: nobody hears of it."""
        self.running[host].kill()
        self.running.pop(host).wait()

    def leave(self, host):
        """As it is told to end: the scheduler hears of it."""
        process = self.running.pop(host)
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            # It waits for exports that wait.
            process.kill()
            process.wait()

    def settle(self):
        self.scheduler.settle()

    def streams(self):
        """Exports that wait for pieces of other hosts."""
        return self.scheduler.streams

    def stop(self):
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.scheduler.stop()


class Fake(Side):
    """A fake with as many hosts, all quirks on, or none."""

    def __init__(self, program, directory, quirks=True):
        super().__init__("fake", directory)
        arguments = ["serve", "--state-dir", self.dir / "state", "--hosts", str(HOSTS)]
        arguments += ["--dfdaemon-version", "1.5", "--format", "json", "--exit-on-stdin-close"]
        arguments += ["--quirk", "all"] if quirks else []
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )
        self.ready = json.loads(self.process.stdout.readline())

    def store(self, host):
        return self.dir / f"state/hosts/host-{host}"

    def socket(self, host):
        return Path(self.ready["hosts"][host]["endpoint"])

    def upload_address(self, host):
        return "unix:" + self.ready["hosts"][host]["upload_endpoint"]

    def control(self, path):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.ready["control"])
        connection.request("POST", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        assert answer.status == 200, (path, answer.status, body)

    def start(self, host):
        self.control(f"/hosts/host-{host}/start")

    def kill(self, host):
        self.control(f"/hosts/host-{host}/stop")

    def leave(self, host):
        self.control(f"/hosts/host-{host}/leave")

    def settle(self):
        self.control("/settle")

    def streams(self):
        return 0

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.log.close()


def accepts(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True

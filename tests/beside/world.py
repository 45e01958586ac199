"""One side of a walk: does a step on it, and says what came of it in words that the other side has to say too."""

import hashlib
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import grpc

import files
from calls import Host
from daemons import HOSTS

# How long an export may take before it is asked whether it waits for a parent.
PATIENCE = 4
# How long a client that leaves looks at the first piece: until then a dfdaemon has read ahead what it will.
LINGERS = 0.5
UNKNOWN = {"unknown": "f" * 64, "empty": "", "out of the store": "../../etc/passwd"}


class World:
    def __init__(self, side):
        self.side = side
        files.make(side)
        self.pictures = files.Pictures(side)
        self.hosts = {number: Host(side, number) for number in range(HOSTS)}
        self.pool = ThreadPoolExecutor(max_workers=16)
        self.comes = threading.Event()

    def is_up(self, host):
        return host in self.hosts

    def path(self, name):
        return str(self.side.dir / name)

    def close(self):
        for host in self.hosts.values():
            host.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.side.stop()

    # Steps. Each returns what the other side has to return too.

    def import_(self, host, request):
        request = request | {"path": self.path(request["path"])}
        return self.hosts[host].import_(request)

    def stat(self, host, task_id, by_peer):
        return self.hosts[host].stat(task_id, by_peer)

    def stat_local(self, host, task_id):
        return self.hosts[host].stat_local(task_id)

    def update(self, host, task_id, persistent):
        return self.hosts[host].update(task_id, persistent)

    def delete(self, host, task_id):
        return self.hosts[host].delete(task_id)

    def begin_export(self, host, request, by_peer):
        """The export, as a future. `comes` tells whether it has had a piece."""
        if "output_path" in request:
            request = request | {"output_path": self.path(request["output_path"])}
        client = self.hosts[host]
        stream = client.begin_export(request, by_peer)
        self.comes = threading.Event()
        return stream, self.pool.submit(client.export, stream, self.comes)

    def fetches_long(self, host, task_id):
        """Whether an export is long and comes from another host: if its client leaves, it is a race how much comes."""
        task = self.stat(host, task_id, False)
        if not isinstance(task, dict) or task["content_length"] != files.LENGTHS[files.LONG]:
            return False
        record = self.stat_local(host, task_id)
        return not (isinstance(record, dict) and record["finished_at"])

    def begin_leaving(self, host, request, by_peer):
        """An export that is left a while after its first piece, as a future: None, or how it ended before."""
        client = self.hosts[host]
        self.comes = threading.Event()
        stream = client.begin_export(request, by_peer)
        return stream, self.pool.submit(self.leaves, client, stream)

    def leaves(self, client, stream):
        try:
            for message in stream:
                if message.HasField("download_piece_finished_response"):
                    time.sleep(LINGERS)
                    stream.cancel()
                    return "left"
        except grpc.RpcError as error:
            return client.refusal(error)
        return "OK"

    def kill(self, host):
        self.hosts.pop(host).close()
        self.side.kill(host)

    def shut_down(self, host):
        self.hosts.pop(host).close()
        self.side.leave(host)

    def start(self, host):
        self.side.start(host)
        self.hosts[host] = Host(self.side, host)

    # What can be seen between two steps.

    def settle(self):
        self.side.settle()

    def at_rest(self, seconds=10):
        """Waits until what goes on without its client has come to its end, as far as lists and files show it."""
        ends, before, same = time.monotonic() + seconds, None, 0
        while same < 3 and time.monotonic() < ends:
            time.sleep(0.15)
            seen = (self.lists(), self.picture())
            same = same + 1 if seen == before else 0
            before = seen

    def lists(self):
        """The ids on each host, in their order, and what its records say."""
        lists = {}
        for number, host in sorted(self.hosts.items()):
            records = host.list()
            if isinstance(records, tuple):
                # A refusal.
                lists[f"list of host-{number}"] = records
                continue
            # Those of imports that found no room are in races.py.
            kept = [record for record in records if record["content_length"] != files.HUGE]
            lists[f"list of host-{number}"] = [record["task_id"] for record in kept]
            lists |= {f"record of {record['task_id']} on host-{number}": record for record in records}
        return lists

    def picture(self):
        return self.pictures.take(HOSTS)

    def state(self, task_ids):
        """Everything: lists, stats of all tasks, files."""
        state = self.lists()
        if self.hosts:
            asked = self.hosts[min(self.hosts)]
            for task_id in task_ids:
                state[f"stat of {task_id}"] = asked.stat(task_id, False)
        return state | self.picture()

    def digest(self, kind, task_id, host):
        """The digest to ask for, of what the host has, or else another one."""
        if kind in ("wrong", "malformed"):
            return {"wrong": "crc32:1", "malformed": "md5:" + "0" * 32}[kind]
        content = self.held(task_id, host)
        if kind == "sha256":
            return "sha256:" + hashlib.sha256(content).hexdigest()
        crc = zlib.crc32(content)
        return f"crc32:{crc}" if kind == "crc32" else f"crc32:{crc:08x}"

    def held(self, task_id, host):
        for number in [host, *range(HOSTS)]:
            try:
                return (self.side.content(number) / task_id[:3] / task_id).read_bytes()
            except OSError:
                continue
        return b""


def both(worlds, work):
    """Does the same on both sides at once."""
    results = [None] * len(worlds)

    def one(at, world):
        results[at] = work(world)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(worlds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results

"""A scheduler for real dfdaemons: as much of scheduler.v2 as persistent cache tasks need, in this process.

It keeps tasks and peers in memory and answers as Dragonfly's scheduler does, its oddities included: a failed peer still
counts, a failed import is Succeeded, replicas are asked for once. Ordinary tasks and the manager are not here: a
dfdaemon without a manager reads the scheduler's address from a file.
"""

import threading
import time
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from dragonfly_api import common_pb2, dfdaemon_pb2, dfdaemon_pb2_grpc, scheduler_pb2, scheduler_pb2_grpc
from google.protobuf import empty_pb2

# The most parents that a peer is offered.
PARENTS = 4
# What each event makes of a peer, by the states that it can come from.
EVENTS = {
    "Upload": ({"Pending", "Failed"}, "Uploading"),
    "RegisterEmpty": ({"Pending", "Failed"}, "ReceivedEmpty"),
    "RegisterNormal": ({"Pending", "Failed"}, "ReceivedNormal"),
    "Download": ({"ReceivedEmpty", "ReceivedNormal"}, "Running"),
    "Succeeded": ({"Uploading", "Running"}, "Succeeded"),
    "Failed": ({"Pending", "ReceivedEmpty", "ReceivedNormal", "Uploading", "Running"}, "Failed"),
}
# Peers in these states have something for others.
GOOD_PARENTS = {"Running", "Succeeded"}


class Refused(Exception):
    """A call ends with a status."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


def not_found(text):
    return Refused(grpc.StatusCode.NOT_FOUND, text)


@dataclass
class Task:
    started: object
    created: float
    state: str = "Uploading"
    updated: float = 0.0

    def expires(self):
        return self.created + self.started.ttl.seconds + self.started.ttl.nanos / 1e9


@dataclass
class Peer:
    id: str
    host_id: str
    task_id: str
    persistent: bool
    state: str = "Pending"
    pieces: set = field(default_factory=set)
    blocked: set = field(default_factory=set)

    def event(self, name):
        sources, state = EVENTS[name]
        if self.state not in sources:
            text = f"event {name} inappropriate in current state {self.state}"
            raise Refused(grpc.StatusCode.INTERNAL, text)
        self.state = state


class State:
    """What the scheduler knows. Its lock is held for each method."""

    def __init__(self):
        self.lock = threading.RLock()
        self.hosts, self.tasks, self.peers = {}, {}, {}

    def task(self, task_id):
        task = self.tasks.get(task_id)
        if task and time.time() < task.expires():
            return task
        self.tasks.pop(task_id, None)
        for peer in self.peers_of(task_id):
            del self.peers[peer.id]
        return None

    def peers_of(self, task_id):
        return [peer for peer in self.peers.values() if peer.task_id == task_id]

    def peer(self, peer_id, what="peer"):
        peer = self.peers.get(peer_id)
        if not peer:
            raise not_found(f"{what} {peer_id} not found")
        return peer

    def message(self, task_id):
        task = self.tasks[task_id]
        peers = self.peers_of(task_id)
        started = task.started
        message = common_pb2.PersistentCacheTask(
            id=task_id,
            persistent_replica_count=started.persistent_replica_count,
            current_persistent_replica_count=sum(peer.persistent for peer in peers),
            current_replica_count=len(peers),
            tag=started.tag,
            application=started.application,
            piece_length=started.piece_length,
            content_length=started.content_length,
            piece_count=started.piece_count,
            state=task.state,
            ttl=started.ttl,
        )
        message.created_at.seconds = int(task.created)
        message.updated_at.seconds = int(task.updated)
        return message

    def parents(self, peer, blocked):
        """Other hosts' peers, newest first."""
        parents = [
            parent
            for parent in self.peers_of(peer.task_id)
            if parent.id not in blocked and parent.host_id != peer.host_id and parent.state in GOOD_PARENTS
        ]
        if not parents:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "no candidate parents found")
        parents.sort(key=lambda parent: -len(parent.pieces))
        task = self.message(peer.task_id)
        found = [
            common_pb2.PersistentCachePeer(
                id=parent.id,
                persistent=parent.persistent,
                state=parent.state,
                task=task,
                host=self.hosts[parent.host_id],
            )
            for parent in parents[:PARENTS]
        ]
        return scheduler_pb2.AnnouncePersistentCachePeerResponse(
            normal_persistent_cache_task_response=scheduler_pb2.NormalPersistentCacheTaskResponse(
                candidate_cache_parents=found
            )
        )

    def replicas_to_make(self, task_id, importer):
        """The peers to promote and the hosts that take a replica, as they are now."""
        task = self.task(task_id)
        if not task:
            return [], []
        peers = self.peers_of(task_id)
        missing = task.started.persistent_replica_count - sum(peer.persistent for peer in peers)
        cached = [peer for peer in peers if peer.state == "Succeeded" and not peer.persistent]
        cached = cached[: max(missing, 0)]
        taken = {importer} | {peer.host_id for peer in peers if peer.persistent}
        taken |= {peer.host_id for peer in cached}
        hosts = [host for name, host in sorted(self.hosts.items()) if name not in taken]
        hosts = hosts[: max(missing - len(cached), 0)]
        return cached, [host for host in hosts if host.disk.free >= task.started.content_length]


class Scheduler(scheduler_pb2_grpc.SchedulerServicer):
    """The service, and the replicas that it has made."""

    def __init__(self):
        self.state = State()
        self.streams, self.awaited = 0, set()
        self.replicating = []
        # Streams of exports that wait stay open: each takes a thread.
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
        scheduler_pb2_grpc.add_SchedulerServicer_to_server(self, self.server)
        serving = grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")
        health = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": serving})
        self.server.add_generic_rpc_handlers((health,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def stop(self):
        self.server.stop(1).wait()

    def settle(self, seconds=10):
        """Waits for replicas that are being made. Whether they were."""
        ends = time.monotonic() + seconds
        for thread in list(self.replicating):
            thread.join(max(ends - time.monotonic(), 0))
        self.replicating = [thread for thread in self.replicating if thread.is_alive()]
        return not self.replicating

    def expect(self, host_id):
        """A host is about to start, maybe again."""
        self.awaited.add(host_id)

    def is_announced(self, host_id):
        return host_id not in self.awaited

    def AnnounceHost(self, request, context):
        with self.state.lock:
            self.awaited.discard(request.host.id)
            self.state.hosts[request.host.id] = request.host
        return empty_pb2.Empty()

    def DeleteHost(self, request, context):
        """A host leaves: its peers go, and persistent ones are made again."""
        with self.state.lock:
            self.state.hosts.pop(request.host_id, None)
            gone = [peer for peer in self.state.peers.values() if peer.host_id == request.host_id]
            for peer in gone:
                del self.state.peers[peer.id]
        for peer in gone:
            if peer.persistent and peer.state == "Succeeded":
                self.replicate(peer.task_id, peer.host_id)
        return empty_pb2.Empty()

    def UploadPersistentCacheTaskStarted(self, request, context):
        def started():
            check_started(request)
            if request.host_id not in self.state.hosts:
                raise not_found(f"host {request.host_id} not found")
            there = self.state.task(request.task_id)
            if there and there.state != "Failed":
                text = f"persistent cache task {request.task_id} is {there.state} cannot upload"
                raise Refused(grpc.StatusCode.ALREADY_EXISTS, text)
            now = time.time()
            self.state.tasks[request.task_id] = Task(request, now, updated=now)
            peer = Peer(request.peer_id, request.host_id, request.task_id, True)
            peer.event("Upload")
            self.state.peers[peer.id] = peer
            return empty_pb2.Empty()

        return self.answer(context, started)

    def UploadPersistentCacheTaskFinished(self, request, context):
        def finished():
            task = self.upload_ends(request, "Succeeded")
            peer = self.state.peers[request.peer_id]
            peer.pieces = set(range(task.started.piece_count))
            message = self.state.message(request.task_id)
            message.updated_at.FromNanoseconds(int(task.updated * 1e9))
            self.replicate(request.task_id, request.host_id)
            return message

        return self.answer(context, finished)

    def UploadPersistentCacheTaskFailed(self, request, context):
        def failed():
            # The task is Succeeded all the same.
            self.upload_ends(request, "Failed")
            return empty_pb2.Empty()

        return self.answer(context, failed)

    def upload_ends(self, request, event):
        self.state.peer(request.peer_id, "persistent cache peer").event(event)
        task = self.state.task(request.task_id)
        if not task:
            raise not_found(f"persistent cache task {request.task_id} not found")
        task.state, task.updated = "Succeeded", time.time()
        return task

    def StatPersistentCacheTask(self, request, context):
        def stat():
            if not request.task_id:
                raise invalid("StatPersistentCacheTaskRequest.TaskId", "value length must be at least 1 runes")
            if not self.state.task(request.task_id):
                raise not_found(f"persistent cache task {request.task_id} not found")
            return self.state.message(request.task_id)

        return self.answer(context, stat)

    def DeletePersistentCacheTask(self, request, context):
        with self.state.lock:
            self.state.tasks.pop(request.task_id, None)
            for peer in self.state.peers_of(request.task_id):
                del self.state.peers[peer.id]
        return empty_pb2.Empty()

    def DeletePersistentCachePeer(self, request, context):
        with self.state.lock:
            self.state.peers.pop(request.peer_id, None)
        return empty_pb2.Empty()

    def AnnouncePersistentCachePeer(self, requests, context):
        with self.state.lock:
            self.streams += 1
        try:
            for request in requests:
                try:
                    with self.state.lock:
                        response, ends = self.announced(request)
                except Refused as refused:
                    context.abort(refused.code, refused.text)
                if response:
                    yield response
                if ends:
                    return
        finally:
            with self.state.lock:
                self.streams -= 1

    def announced(self, request):
        """The answer to a message of a peer, and whether the stream ends with it."""
        kind = request.WhichOneof("request")
        state = self.state
        if kind == "register_persistent_cache_peer_request":
            return self.register(request), False
        if kind == "download_piece_finished_request":
            if request.peer_id in state.peers:
                piece = request.download_piece_finished_request.piece
                state.peers[request.peer_id].pieces.add(piece.number)
            return None, False
        if kind == "download_piece_failed_request":
            if request.peer_id in state.peers:
                blocked = state.peers[request.peer_id].blocked
                blocked.add(request.download_piece_failed_request.parent_id)
            return None, False
        peer = state.peer(request.peer_id)
        if kind == "download_persistent_cache_peer_started_request":
            self.or_failed(peer, lambda: peer.event("Download"))
            return None, False
        if kind == "reschedule_persistent_cache_peer_request":
            candidates = request.reschedule_persistent_cache_peer_request.candidate_parents
            peer.blocked |= {parent.id for parent in candidates}
            return self.or_failed(peer, lambda: state.parents(peer, peer.blocked)), False
        if kind == "download_persistent_cache_peer_finished_request":
            self.or_failed(peer, lambda: peer.event("Succeeded"))
            return None, True
        peer.event("Failed")
        return None, True

    def register(self, request):
        state = self.state
        if request.host_id not in state.hosts or not state.task(request.task_id):
            # The peer is unknown, and says so when it is to fail.
            raise not_found(f"peer {request.peer_id} not found")
        persistent = request.register_persistent_cache_peer_request.persistent
        peer = Peer(request.peer_id, request.host_id, request.task_id, persistent)
        if state.tasks[request.task_id].started.content_length == 0:
            peer.event("RegisterEmpty")
            state.peers[peer.id] = peer
            return scheduler_pb2.AnnouncePersistentCachePeerResponse(
                empty_persistent_cache_task_response=scheduler_pb2.EmptyPersistentCacheTaskResponse()
            )
        peer.event("RegisterNormal")
        try:
            response = state.parents(peer, {peer.id})
        except Refused:
            # Without a parent it is never stored.
            raise not_found(f"peer {request.peer_id} not found") from None
        state.peers[peer.id] = peer
        return response

    @staticmethod
    def or_failed(peer, step):
        try:
            return step()
        except Refused:
            peer.event("Failed")
            raise

    def answer(self, context, call):
        try:
            with self.state.lock:
                return call()
        except Refused as refused:
            context.abort(refused.code, refused.text)

    def replicate(self, task_id, importer):
        """Makes the replicas that lack, on threads of their own. Nothing is tried again."""
        with self.state.lock:
            cached, hosts = self.state.replicas_to_make(task_id, importer)
            addresses = {name: f"{host.ip}:{host.download_port}" for name, host in self.state.hosts.items()}
        works = [(self.persist, addresses[peer.host_id], task_id, peer) for peer in cached]
        works += [(self.download, addresses[host.id], task_id) for host in hosts]
        for work in works:
            thread = threading.Thread(target=attempt, args=work, daemon=True)
            self.replicating.append(thread)
            thread.start()

    def persist(self, client, task_id, peer):
        request = dfdaemon_pb2.UpdatePersistentCacheTaskRequest(task_id=task_id, persistent=True)
        client.UpdatePersistentCacheTask(request)
        with self.state.lock:
            peer.persistent = True

    def download(self, client, task_id):
        request = dfdaemon_pb2.DownloadPersistentCacheTaskRequest(task_id=task_id, persistent=True)
        for _ in client.DownloadPersistentCacheTask(request):
            pass


def attempt(work, address, *arguments):
    """Does what a host is asked for; what it refuses is not made."""
    with grpc.insecure_channel(address) as channel:
        try:
            work(dfdaemon_pb2_grpc.DfdaemonUploadStub(channel), *arguments)
        except grpc.RpcError:
            pass


def invalid(name, why):
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, f"invalid {name}: {why}")


def check_started(request):
    name = "UploadPersistentCacheTaskStartedRequest"
    if request.persistent_replica_count < 1:
        raise invalid(f"{name}.PersistentReplicaCount", "value must be greater than or equal to 1")
    if request.piece_length < 4 << 20:
        raise invalid(f"{name}.PieceLength", "value must be greater than or equal to 4194304")
    ttl = (request.ttl.seconds, request.ttl.nanos)
    if not (300, 0) <= ttl <= (604800, 0):
        raise invalid(f"{name}.Ttl", "value must be inside range [5m0s, 168h0m0s]")

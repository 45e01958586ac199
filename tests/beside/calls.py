"""The calls of a walk on one host, and their answers without what no two daemons share: times, UUIDs, directories."""

import zlib

import grpc
from dragonfly_api import common_pb2, dfdaemon_pb2, dfdaemon_pb2_grpc

TRAFFIC = common_pb2.TrafficType
LARGEST = [("grpc.max_receive_message_length", -1), ("grpc.default_authority", "localhost")]
# For calls that end by themselves.
DEADLINE = 120


class Host:
    """Clients of both services of a host."""

    def __init__(self, side, number):
        self.side = side
        # One connection each: a client that leaves resets its stream, not the connection.
        self.channels = [
            grpc.insecure_channel(address, options=LARGEST)
            for address in (f"unix:{side.socket(number)}", side.upload_address(number))
        ]
        self.clients = dfdaemon_pb2_grpc.DfdaemonDownloadStub(self.channels[0])
        self.peers = dfdaemon_pb2_grpc.DfdaemonUploadStub(self.channels[1])

    def close(self):
        for channel in self.channels:
            channel.close()

    def service(self, by_peer):
        return self.peers if by_peer else self.clients

    def refusal(self, error):
        return error.code().name, self.side.normal(error.details() or "")

    def answer(self, call, request, read):
        try:
            return read(call(request, timeout=DEADLINE))
        except grpc.RpcError as error:
            return self.refusal(error)

    def import_(self, fields):
        request = dfdaemon_pb2.UploadPersistentCacheTaskRequest(**fields)
        return self.answer(self.clients.UploadPersistentCacheTask, request, task)

    def stat(self, task_id, by_peer):
        request = dfdaemon_pb2.StatPersistentCacheTaskRequest(task_id=task_id)
        return self.answer(self.service(by_peer).StatPersistentCacheTask, request, task)

    def stat_local(self, task_id):
        request = dfdaemon_pb2.StatLocalPersistentCacheTaskRequest(task_id=task_id)
        return self.answer(self.clients.StatLocalPersistentCacheTask, request, record)

    def list(self):
        request = dfdaemon_pb2.ListLocalPersistentCacheTasksRequest()
        records = lambda answer: [record(task) for task in answer.tasks]
        return self.answer(self.clients.ListLocalPersistentCacheTasks, request, records)

    def update(self, task_id, persistent):
        request = dfdaemon_pb2.UpdatePersistentCacheTaskRequest(task_id=task_id, persistent=persistent)
        return self.answer(self.peers.UpdatePersistentCacheTask, request, lambda _: "OK")

    def delete(self, task_id):
        request = dfdaemon_pb2.DeletePersistentCacheTaskRequest(task_id=task_id)
        return self.answer(self.peers.DeletePersistentCacheTask, request, lambda _: "OK")

    def begin_export(self, fields, by_peer):
        request = dfdaemon_pb2.DownloadPersistentCacheTaskRequest(**fields)
        return self.service(by_peer).DownloadPersistentCacheTask(request, timeout=DEADLINE)

    def export(self, stream, comes):
        """What comes of an export, to its end. Pieces of other hosts come in any order. `comes` hears of the first."""
        started, pieces, status = None, [], ("OK", "")
        try:
            for message in stream:
                if message.HasField("download_persistent_cache_task_started_response"):
                    started = message.download_persistent_cache_task_started_response.content_length
                else:
                    comes.set()
                    pieces.append(self.piece(message.download_piece_finished_response.piece))
        except grpc.RpcError as error:
            status = self.refusal(error)
        local = [piece for piece in pieces if piece["traffic"] == "LOCAL_PEER"]
        others = [piece for piece in pieces if piece["traffic"] != "LOCAL_PEER"]
        others.sort(key=lambda piece: piece["number"])
        return {"started": started, "local": local, "others": others, "status": status}

    def piece(self, piece):
        return {
            "number": piece.number,
            "offset": piece.offset,
            "length": piece.length,
            "parent": self.side.normal(piece.parent_id) if piece.HasField("parent_id") else None,
            "digest": piece.digest,
            "content": zlib.crc32(piece.content) if piece.HasField("content") else None,
            "traffic": TRAFFIC.Name(piece.traffic_type) if piece.HasField("traffic_type") else None,
            "cost": piece.HasField("cost"),
            "created_at": piece.HasField("created_at"),
        }


def fields(message, names):
    return {name: getattr(message, name) for name in names}


def duration(ttl):
    return ttl.seconds, ttl.nanos


def task(message):
    names = ["id", "persistent_replica_count", "current_persistent_replica_count", "current_replica_count"]
    names += ["piece_length", "content_length", "piece_count", "state"]
    answer = fields(message, names)
    for label in ("tag", "application"):
        answer[label] = getattr(message, label) if message.HasField(label) else None
    answer["ttl"] = duration(message.ttl)
    answer["whole seconds"] = (message.created_at.nanos == 0, message.updated_at.nanos == 0)
    return answer


def record(message):
    names = ["task_id", "persistent", "piece_length", "content_length", "uploading_count", "uploaded_count"]
    answer = fields(message, names)
    answer["ttl"] = duration(message.ttl)
    for time in ("created_at", "updated_at", "finished_at", "failed_at"):
        answer[time] = message.HasField(time)
    return answer

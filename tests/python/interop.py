"""A client that shares nothing with ours but the .proto files: imports, stats and exports against a fake.

    interop.py FAKE_DFDAEMON GENERATED

FAKE_DFDAEMON is the built binary, GENERATED the directory of what grpc_tools made of `proto/`.
`make interop` prepares both.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

fake_dfdaemon, generated = sys.argv[1:]
sys.path.insert(0, generated)

import grpc  # noqa: E402
from google.protobuf.duration_pb2 import Duration  # noqa: E402

import common_pb2 as common  # noqa: E402
import dfdaemon_pb2 as dfdaemon  # noqa: E402
import dfdaemon_pb2_grpc as service  # noqa: E402

MIB = 1 << 20
PIECE = 4 * MIB


@contextmanager
def fake(state: Path, release: str):
    """A fake of two hosts; yields the endpoints."""
    command = [fake_dfdaemon, "serve", "--hosts=2", f"--dfdaemon-version={release}", f"--state-dir={state}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        try:
            ready = json.loads(daemon.stdout.readline())
            yield [host["endpoint"] for host in ready["hosts"]]
        finally:
            daemon.terminate()
    assert daemon.returncode == 0, f"the fake exited with {daemon.returncode}"


def connect(endpoint: str):
    """grpcio sends the percent-encoded socket path as authority, which an HTTP/2 server refuses."""
    options = [("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", -1)]
    return service.DfdaemonDownloadStub(grpc.insecure_channel(f"unix:{endpoint}", options=options))


def upload(path: Path, **fields):
    fields = {"persistent_replica_count": 1, "ttl": Duration(seconds=3600)} | fields
    return dfdaemon.UploadPersistentCacheTaskRequest(path=str(path), **fields)


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("the call succeeded")


def transfer(stub, task_id: str, length: int):
    """The content over the socket, put together from pieces in whatever order they come."""
    request = dfdaemon.DownloadPersistentCacheTaskRequest(task_id=task_id, need_piece_content=True)
    content = bytearray(length)
    pieces = []
    for number, message in enumerate(stub.DownloadPersistentCacheTask(request)):
        assert message.task_id == task_id and message.host_id and message.peer_id
        if number == 0:
            assert message.download_persistent_cache_task_started_response.content_length == length
            continue
        piece = message.download_piece_finished_response.piece
        assert len(piece.content) == piece.length
        if piece.digest:
            assert piece.digest == f"crc32:{zlib.crc32(piece.content)}"
        content[piece.offset : piece.offset + piece.length] = piece.content
        pieces.append(piece)
    return bytes(content), pieces


def round_trip(work: Path, release: str, length: int):
    content = random.Random(length).randbytes(length)
    source = work / "source"
    source.write_bytes(content)
    with fake(work / "state", release) as endpoints:
        first, second = map(connect, endpoints)

        task = first.UploadPersistentCacheTask(upload(source, tag="python"))
        assert (task.state, task.content_length, task.piece_length) == ("Succeeded", length, PIECE)
        assert task.piece_count == -(-length // PIECE)
        assert task.tag == "python" and not task.HasField("application")
        assert len(task.id) == 64 if release == "1.5" else task.id.isdecimal()

        stated = second.StatPersistentCacheTask(dfdaemon.StatPersistentCacheTaskRequest(task_id=task.id))
        assert stated.id == task.id and stated.ttl.seconds == 3600

        again = error_of(lambda: first.UploadPersistentCacheTask(upload(source, tag="python")))
        assert again[0] == grpc.StatusCode.INTERNAL and "is Succeeded cannot upload" in again[1]
        unknown = dfdaemon.StatPersistentCacheTaskRequest(task_id="unknown")
        assert "not found" in error_of(lambda: first.StatPersistentCacheTask(unknown))[1]

        # The second host lacks it at first, and has it afterwards.
        for stub, traffic in [(second, common.REMOTE_PEER), (second, common.LOCAL_PEER), (first, common.LOCAL_PEER)]:
            received, pieces = transfer(stub, task.id, length)
            assert received == content
            assert sorted(piece.number for piece in pieces) == list(range(task.piece_count))
            assert all(piece.traffic_type == traffic for piece in pieces)

        for number, stub in enumerate([first, second]):
            output = work / f"output-{number}"
            request = dfdaemon.DownloadPersistentCacheTaskRequest(task_id=task.id, output_path=str(output))
            messages = list(stub.DownloadPersistentCacheTask(request))
            assert len(messages) == 1 + task.piece_count
            assert output.read_bytes() == content


def main():
    for release in ["0.2", "1.5"]:
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 25 * MIB + 7]:
            # Short: a socket's path has at most 107 bytes.
            with tempfile.TemporaryDirectory(prefix="interop-", dir=os.environ.get("TMPDIR", "/tmp")) as work:
                round_trip(Path(work), release, length)
            print(f"release {release}, {length} bytes: imported, stated, transferred and exported by path")


main()

"""The official stubs of Dragonfly (dragonfly-api) against fakes of both releases: what huggingface/xet-core asks, the
upload service as peers ask it, and reflection.

Usage: official.py FAKE_DFDAEMON
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
from dragonfly_api import dfdaemon_pb2 as messages
from dragonfly_api import dfdaemon_pb2_grpc as stubs
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PIECE = 4 << 20


def channel(address):
    # Without an authority, grpc sends the percent-encoded path, which servers on h2 refuse.
    options = [("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", -1)]
    return grpc.insecure_channel(address, options=options)


def refusal(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("it was not refused")


def upload(client, path, text, **fields):
    """As xet-core imports: a temporary file, the id by a text, two replicas, pieces of 4 MiB, no TTL."""
    request = messages.UploadPersistentCacheTaskRequest(
        path=str(path),
        content_for_calculating_task_id=text,
        persistent_replica_count=2,
        piece_length=PIECE,
        **fields,
    )
    return client.UploadPersistentCacheTask(request)


def download(client, task_id):
    """As xet-core exports: content in the stream, by the id. The pieces come in any order."""
    request = messages.DownloadPersistentCacheTaskRequest(task_id=task_id, need_piece_content=True)
    length, pieces = None, {}
    for message in client.DownloadPersistentCacheTask(request):
        if message.HasField("download_persistent_cache_task_started_response"):
            length = message.download_persistent_cache_task_started_response.content_length
        else:
            piece = message.download_piece_finished_response.piece
            pieces[piece.offset] = piece.content
    content = b"".join(pieces[offset] for offset in sorted(pieces))
    assert len(content) == length
    return content


def check_xet(client, version, work):
    content = bytes(range(256)) * (9 << 12)
    path = work / "temporary"
    path.write_bytes(content)
    if version == "0.2":
        # A dfdaemon of 0.2 takes no import without TTL.
        code, text = refusal(lambda: upload(client, path, "xorb"))
        assert (code, text) == (grpc.StatusCode.INTERNAL, "unexpected response"), (code, text)
        request = {"ttl": {"seconds": 3600}}
        task = upload(client, path, "xorb", **request)
    else:
        task = upload(client, path, "xorb")
        assert task.ttl.seconds == 24 * 3600
    path.unlink()
    assert (task.piece_length, task.piece_count, task.state) == (PIECE, 3, "Succeeded"), task
    assert download(client, task.id) == content
    # The status of the scheduler is wrapped in the text.
    code, text = refusal(lambda: download(client, "404"))
    assert code == grpc.StatusCode.INTERNAL and "not found" in text, (code, text)
    wrapped = "NotFound" if version == "0.2" else "Some requested entity was not found"
    assert wrapped in text, text
    again = work / "again"
    again.write_bytes(content)
    ttl = {"ttl": {"seconds": 3600}}
    code, text = refusal(lambda: upload(client, again, "xorb", **ttl))
    assert "is Succeeded cannot upload" in text, text
    stat = client.StatPersistentCacheTask(messages.StatPersistentCacheTaskRequest(task_id=task.id))
    assert stat.content_length == len(content)
    return task, content


def check_upload(client, task, content):
    asked = messages.SyncPersistentCachePiecesRequest(host_id="h", task_id=task.id, interested_piece_numbers=range(3))
    told = {piece.number: (piece.offset, piece.length) for piece in client.SyncPersistentCachePieces(asked)}
    last = len(content) - 2 * PIECE
    assert told == {0: (0, PIECE), 1: (PIECE, PIECE), 2: (2 * PIECE, last)}, told
    stat = client.StatPersistentCacheTask(messages.StatPersistentCacheTaskRequest(task_id=task.id))
    assert stat.id == task.id
    client.UpdatePersistentCacheTask(messages.UpdatePersistentCacheTaskRequest(task_id=task.id, persistent=True))
    assert download(client, task.id) == content
    client.DeletePersistentCacheTask(messages.DeletePersistentCacheTaskRequest(task_id=task.id))
    # What the stubs know and the fake does not serve names its method.
    if hasattr(client, "StatTask"):
        code, text = refusal(lambda: client.StatTask(messages.StatTaskRequest(task_id="1")))
        assert code == grpc.StatusCode.UNIMPLEMENTED and "StatTask" in text, (code, text)


def check_reflection(to):
    services = set(ProtoReflectionDescriptorDatabase(to).get_services())
    assert {"dfdaemon.v2.DfdaemonDownload", "dfdaemon.v2.DfdaemonUpload"} <= services, services


def check(program, version):
    with tempfile.TemporaryDirectory() as work:
        command = [program, "serve", "--hosts", "2", "--dfdaemon-version", version, "--tcp", "127.0.0.1:0"]
        fake = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            host = json.loads(fake.stdout.readline())["hosts"][0]
            for download_at, upload_at in [
                ("unix:" + host["endpoint"], "unix:" + host["upload_endpoint"]),
                (host["tcp"], host["upload_tcp"]),
            ]:
                with channel(download_at) as to, channel(upload_at) as to_upload:
                    check_reflection(to)
                    task, content = check_xet(stubs.DfdaemonDownloadStub(to), version, Path(work))
                    check_upload(stubs.DfdaemonUploadStub(to_upload), task, content)
                request = ["ctl", "--control", str(Path(host["endpoint"]).parent / "control.sock"), "reset"]
                subprocess.run([program, *request], check=True, stdout=subprocess.DEVNULL)
        finally:
            fake.terminate()
            fake.wait()


if __name__ == "__main__":
    for release in ["0.2", "1.5"]:
        check(sys.argv[1], release)
        print(f"dragonfly-api against {release}: ok")

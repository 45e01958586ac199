"""A client in Python, from the .proto files: imports a file and takes its content back.

    fake-dfdaemon run -- python tests/examples/client.py FILE

The modules are made by `python -m grpc_tools.protoc` (see tests/python/run.sh).
"""

import os
import sys

import grpc
from google.protobuf.duration_pb2 import Duration

import dfdaemon_pb2 as messages
import dfdaemon_pb2_grpc as services

path = os.path.abspath(sys.argv[1])

# Without it grpc sends the percent-encoded path of the socket as authority, which is none: the
# request is reset before anybody has looked at it.
options = [("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", -1)]
channel = grpc.insecure_channel("unix:" + os.environ["DFCACHE_ENDPOINT"], options=options)
daemon = services.DfdaemonDownloadStub(channel)

task = daemon.UploadPersistentCacheTask(
    messages.UploadPersistentCacheTaskRequest(
        path=path, persistent_replica_count=2, ttl=Duration(seconds=3600)
    )
)
stream = daemon.DownloadPersistentCacheTask(
    messages.DownloadPersistentCacheTaskRequest(task_id=task.id, need_piece_content=True)
)
pieces = {}
for message in stream:
    if message.HasField("download_piece_finished_response"):
        piece = message.download_piece_finished_response.piece
        pieces[piece.offset] = piece.content

with open(path, "rb") as file:
    assert b"".join(pieces[offset] for offset in sorted(pieces)) == file.read()
print(task.id)

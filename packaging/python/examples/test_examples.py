"""What docs/python.md shows, as tests."""

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fake_dfdaemon import ControlError, Dfdaemon, StartError, executable


def dfcache(dfdaemon: Dfdaemon, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [executable("dfcache"), *arguments]
    return subprocess.run(command, env=dfdaemon.environment, capture_output=True, text=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 40_000)
    return path


def test_a_file_comes_back(dfdaemon: Dfdaemon, file: Path, tmp_path: Path) -> None:
    task = dfdaemon.import_file(file)
    ran = dfcache(dfdaemon, "export", "--transfer-from-dfdaemon", "-O", str(tmp_path / "copy"), task)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    assert [call.status for call in dfdaemon.journal(rpc="export")] == ["OK"]


def test_an_export_breaks_and_is_tried_again(dfdaemon: Dfdaemon, file: Path, tmp_path: Path) -> None:
    task = dfdaemon.import_file(file)
    fault = dfdaemon.fault("export@call=1,piece=1:error=UNAVAILABLE")
    export = ["export", "--transfer-from-dfdaemon", "-O", str(tmp_path / "copy"), task]
    assert dfcache(dfdaemon, *export).returncode == 5
    assert fault.fired() == 1
    assert dfcache(dfdaemon, *export).returncode == 0


def test_a_fault_ends_with_its_block(dfdaemon: Dfdaemon, file: Path) -> None:
    task = dfdaemon.import_file(file)
    with dfdaemon.fault("stat:error=UNAVAILABLE"):
        assert dfcache(dfdaemon, "stat", task).returncode == 5
    assert dfcache(dfdaemon, "stat", task).returncode == 0


def test_a_task_expires(dfdaemon: Dfdaemon, file: Path) -> None:
    task = dfdaemon.import_file(file, "--ttl", "2h")
    before = dfdaemon.clock.now()
    assert dfdaemon.clock.advance("1h 59m") - before == timedelta(minutes=119)
    assert dfcache(dfdaemon, "stat", task).returncode == 0
    dfdaemon.clock.advance(timedelta(minutes=2))
    assert dfcache(dfdaemon, "stat", task).returncode == 3


@pytest.mark.dfdaemon("--hosts=2", "--dfdaemon-version=1.5")
def test_options_of_one_test(dfdaemon: Dfdaemon, file: Path) -> None:
    assert len(dfdaemon.endpoints) == len(dfdaemon.hosts()) == 2
    task = dfdaemon.import_file(file)
    assert len(task) == 64  # an id of release 1.5
    told = dfcache(dfdaemon, "id", str(file))
    assert (told.stdout.strip(), told.stderr) == (task, "")
    dfdaemon.settle()
    assert [task["current_replica_count"] for task in dfdaemon.tasks()] == [2]


def test_the_stubs_of_dragonfly_api(dfdaemon: Dfdaemon, file: Path) -> None:
    grpc: Any = pytest.importorskip("grpc")
    from dragonfly_api import dfdaemon_pb2

    task = dfdaemon.import_file(file)
    stub = dfdaemon.stub()
    assert stub.StatPersistentCacheTask(dfdaemon_pb2.StatPersistentCacheTaskRequest(task_id=task)).state == "Succeeded"
    with pytest.raises(grpc.RpcError):
        stub.StatPersistentCacheTask(dfdaemon_pb2.StatPersistentCacheTaskRequest(task_id="7"))
    assert [call.status for call in dfdaemon.journal(rpc="stat")] == ["OK", "INTERNAL"]


def test_mistakes_are_named(dfdaemon: Dfdaemon) -> None:
    with pytest.raises(ValueError, match="explode"):
        dfdaemon.fault("stat:explode")
    with pytest.raises(RuntimeError, match="exit 4"):
        dfdaemon.import_file("/nowhere")
    with pytest.raises(StartError, match="--hosts"):
        Dfdaemon("--hosts=0").start()
    with Dfdaemon("--clock=system") as other, pytest.raises(ControlError, match="manual"):
        other.clock.advance("1h")


def test_reset(dfdaemon: Dfdaemon, file: Path) -> None:
    dfdaemon.import_file(file)
    dfdaemon.reset()
    assert dfdaemon.tasks() == [] and dfdaemon.journal() == []


def test_two_fakes_do_not_meet(dfdaemon: Dfdaemon, file: Path) -> None:
    with Dfdaemon() as other:
        dfdaemon.import_file(file)
        assert other.tasks() == [] and len(dfdaemon.tasks()) == 1
    assert not other.directory.exists()

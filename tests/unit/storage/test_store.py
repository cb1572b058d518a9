"""Both stores keep the same promises; the S3 half runs against a real server."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from evolution_storage.s3 import FETCHED_PART_BYTES, S3Store
from evolution_storage.store import StorageError, Store
from evolution_storage.uri import open_store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(f"file://{tmp_path}/store")
    return open_store(f"s3://runs/{uuid.uuid4()}", request.getfixturevalue("s3_endpoint"))


def test_what_was_written_is_read(store: Store) -> None:
    store.write("a/b.bin", b"\x00\x01")
    assert store.read("a/b.bin") == b"\x00\x01"
    assert store.exists("a/b.bin")


def test_a_second_write_replaces_the_first(store: Store) -> None:
    store.write("a", b"one")
    store.write("a", b"two")
    assert store.read("a") == b"two"


def test_an_absent_key_is_a_key_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nothing/here"):
        store.read("nothing/here")
    with pytest.raises(KeyError):
        store.download("nothing/here", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert not store.exists("nothing/here")


def test_listing_is_sorted_recursive_and_does_not_match_half_a_name(store: Store) -> None:
    for key in ("r/2/b", "r/2/a", "r/10/c", "r2/d"):
        store.write(key, b"x")
    assert store.list("r") == ["r/10/c", "r/2/a", "r/2/b"]
    assert store.list("r/2") == ["r/2/a", "r/2/b"]
    assert store.list("none") == []


def test_delete_takes_the_key_and_all_below_it_and_absent_ones_are_no_error(store: Store) -> None:
    for key in ("r/1", "r/2/a", "r2"):
        store.write(key, b"x")
    store.delete("r")
    store.delete("r")
    assert store.list("") == ["r2"]


def test_a_large_file_goes_up_in_parts_and_comes_back_whole(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    content = os.urandom(2**20 + 1) * 40
    source.write_bytes(content)
    store.upload("big", source)
    store.download("big", target)
    assert target.read_bytes() == content


def test_an_empty_file_comes_back_empty(store: Store, tmp_path: Path) -> None:
    store.write("nothing", b"")
    store.download("nothing", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b""


@pytest.fixture
def between_parts(s3_endpoint: str) -> tuple[S3Store, list[Callable[[], None]]]:
    """A store with an object `big` of two parts, and what is done once its size is known."""
    store = S3Store("runs", str(uuid.uuid4()), s3_endpoint)
    store.write("big", bytes(FETCHED_PART_BYTES + 1))
    todo: list[Callable[[], None]] = []
    store.client.meta.events.register("after-call.s3.HeadObject", lambda **_: todo.pop()() if todo else None)
    return store, todo


def test_a_file_that_is_replaced_while_it_is_fetched_is_not_mixed(between_parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store, todo = between_parts
    (tmp_path / "target").write_bytes(b"old")
    todo.append(lambda: store.write("big", bytes(FETCHED_PART_BYTES) + b"1"))
    with pytest.raises(StorageError, match="another object took its place"):
        store.download("big", tmp_path / "target")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("target", b"old")]


def test_a_fetch_goes_on_when_the_server_comes_back(between_parts, s3_server, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store, todo = between_parts

    def go_away() -> None:
        s3_server.stop()
        threading.Timer(3.0, s3_server.start).start()

    todo.append(go_away)
    store.download("big", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == bytes(FETCHED_PART_BYTES + 1)


def test_a_thousand_and_one_objects_are_listed_and_deleted(s3_endpoint: str) -> None:
    store = open_store(f"s3://runs/{uuid.uuid4()}", s3_endpoint)
    for i in range(1001):
        store.write(f"many/{i:04d}", b"")
    assert len(store.list("many")) == 1001
    store.delete("many")
    assert store.list("many") == []


def test_an_absent_bucket_is_named_with_what_to_do(s3_endpoint: str) -> None:
    with pytest.raises(StorageError, match=r"s3://nosuchbucket/.*create it or correct storage.uri"):
        open_store("s3://nosuchbucket/x", s3_endpoint).write("k", b"")


@pytest.mark.parametrize("key", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_named_with_what_to_do(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(key, "wrong")
    with pytest.raises(StorageError, match="correct the credentials"):
        open_store("s3://runs/x", s3_endpoint).write("k", b"")


def test_a_server_that_is_down_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(StorageError, match="see whether the server is reachable"):
        open_store("s3://runs/x", "http://127.0.0.1:9", patience_s=0).read("k")


def test_a_server_that_comes_back_is_waited_for(s3_endpoint: str, s3_server) -> None:  # type: ignore[no-untyped-def]
    store = open_store(f"s3://runs/{uuid.uuid4()}", s3_endpoint)
    s3_server.stop()
    later = threading.Timer(3.0, s3_server.start)  # longer than boto3 has patience
    later.start()
    store.write("k", b"patience")
    later.join()
    assert store.read("k") == b"patience"


def test_an_unwritable_folder_says_which_key_and_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write k below .*file"):
        open_store(f"file://{tmp_path}/file").write("k", b"")


def test_a_full_disk_leaves_the_old_object_whole(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    store = open_store(f"file://{tmp_path}")
    store.write("k", b"old")
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from evolution_storage.store import StorageError\nfrom evolution_storage.uri import open_store\n"
        f"try: open_store('file://{tmp_path}').write('k', b'x' * 5000)\n"
        "except StorageError as e: sys.exit(0 if 'cannot write k' in str(e) else str(e))\n"
        "sys.exit('written')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert store.read("k") == b"old"
    assert store.list("") == ["k"]
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_a_killed_upload_leaves_nothing_that_a_reader_would_see(tmp_path: Path) -> None:
    program = (
        f"from evolution_storage.uri import open_store\ns = open_store('file://{tmp_path}/s')\nprint('on', flush=True)\n"
        "while True: s.write('k', b'x' * 50_000_000)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.05)
    process.kill()
    process.wait(timeout=10)
    process.stdout.close()
    store = open_store(f"file://{tmp_path}/s")
    assert store.list("") in ([], ["k"])
    if store.exists("k"):
        assert len(store.read("k")) == 50_000_000


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="use file:///folder or s3://bucket/prefix"):
        open_store("gs://bucket")

"""Whatever a library makes of a full or broken disk, the message names the file, the room and the remedy."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.api import BenchError
from bench.storage.disk_errors import DiskError, explained, named, of_disk
from bench.storage.files import alone, file_digest, owned, read_checked, read_json, write_atomic, writing


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"the disk is full \(ENOSPC\); [\d,]+ bytes are free on that disk; free space there or write"),
        (errno.EDQUOT, r"your quota on the disk is used up \(EDQUOT\); [\d,]+ bytes are free .*; free space there"),
        (errno.EFBIG, r"larger than is allowed \(EFBIG\); .*ulimit -f"),
        (errno.EIO, r"an input/output error \(EIO\); look at the disk or the network share"),
        (errno.ESTALE, r"the file server has lost the file \(ESTALE\); look at the disk"),
        (errno.EROFS, r"the disk is read-only \(EROFS\); get the right to it"),
        (errno.EACCES, r"permission denied \(EACCES\); get the right to it"),
        (errno.EPERM, r"not permitted \(EPERM\); get the right to it"),
        (errno.ENAMETOOLONG, r"the name is too long \(ENAMETOOLONG\); choose a shorter one"),
        (errno.EMFILE, r"this process has too many open files \(EMFILE\); raise the limit \(`ulimit -n"),
        (errno.ENFILE, r"this machine has too many open files \(ENFILE\); raise the limit"),
    ],
)
def test_what_the_system_refuses_is_named_with_the_remedy(number: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "part.parquet"
    with (
        pytest.raises(DiskError, match=f"^writing {path}: .*{words}.*run the same command again"),
        named("writing", path),
    ):
        raise OSError(number, os.strerror(number))


def test_an_error_that_is_not_the_disks_stays_as_it_is(tmp_path: Path) -> None:
    for error in (
        FileNotFoundError(errno.ENOENT, "none"),
        ValueError("no"),
        RuntimeError("no"),
        ConnectionError(111, "x"),
        RuntimeError("Expected 3 requested and 2 written"),
        RuntimeError("my PytorchStreamWriter failed to be found"),
    ):
        assert explained(error) is None
        with pytest.raises(type(error)), named("writing", tmp_path):
            raise error


def test_what_is_not_permitted_without_a_file_is_an_error_in_the_program() -> None:
    """A process may be refused a signal and a port with the same numbers."""
    for number in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
        assert explained(OSError(number, os.strerror(number))) is None
        assert explained(RuntimeError(f"the plug-in says: {os.strerror(number)}")) is None
        assert isinstance(explained(OSError(number, os.strerror(number), "/data/one.png")), DiskError)


def test_only_what_a_disk_alone_does_is_no_fault_of_foreign_code() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE):
        error = OSError(number, os.strerror(number), "/data/one.png")
        assert isinstance(of_disk(error), DiskError)
        wrapped = ValueError("no features")
        wrapped.__cause__ = error
        assert "/data/one.png" in str(of_disk(wrapped))
    for number in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EMFILE):
        assert of_disk(OSError(number, os.strerror(number), "/data/one.png")) is None
    known = DiskError("writing a: permission denied")
    assert of_disk(known) is known
    assert of_disk(RuntimeError("out of memory")) is None


def test_the_file_that_the_error_names_is_named_unless_it_is_the_draft(tmp_path: Path) -> None:
    target = tmp_path / "part.parquet"
    elsewhere = OSError(errno.EIO, "Input/output error", "/data/one.png")
    draft = OSError(errno.EIO, "Input/output error", str(tmp_path / ".part.draft" / "rows"))
    assert str(explained(elsewhere, "writing", target)).startswith("writing /data/one.png: ")
    assert str(explained(draft, "writing", target)).startswith(f"writing {target}: ")
    assert str(explained(elsewhere)).startswith("working on /data/one.png: ")
    assert "a file that the system does not name" in str(explained(OSError(errno.EIO, "Input/output error")))


def test_the_free_bytes_are_those_of_the_disk_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(total=10**9, free=12_345)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    found = explained(OSError(errno.ENOSPC, "full"), "writing", tmp_path / "none" / "a")
    assert "; 12,345 bytes are free on that disk; " in str(found) and asked == [tmp_path]


def test_bytes_needed_are_those_known_or_more_than_were_written(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskError, match="; 7,000 bytes needed, "), writing(tmp_path / "a", 7000):
        fail()
    with pytest.raises(DiskError, match="; at least 1,234 bytes needed, "), writing(tmp_path / "b") as draft:
        draft.mkdir()
        (draft / "rows").write_bytes(b"x" * 1234)
        fail()
    assert list(tmp_path.iterdir()) == []


@contextmanager
def small_files(limit: int = 1000) -> Iterator[None]:
    """The kernel refuses, to libraries in any language, what would make a file larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _arrow(path: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": np.random.default_rng(0).random(100_000)}), path)


def _pillow(path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)).save(path, "PNG")


def _safetensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(100_000)}, path)


def _torch(path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(100_000)}, path)


WRITERS = {
    "python": lambda path: path.write_bytes(b"x" * 10_000),
    "numpy": lambda path: np.save(path, np.zeros(10_000)),
    "pyarrow": _arrow,
    "pillow": _pillow,
    "safetensors": _safetensors,
    "torch": _torch,
}


@pytest.mark.parametrize("library", WRITERS)
def test_what_the_kernel_refuses_in_earnest_is_recognised_from_every_library(library: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    refused = pytest.raises(DiskError, match=rf"^writing {path}: (.* larger than is allowed|the disk did not take all)")
    with refused, writing(path) as draft, small_files():
        # numpy adds a suffix to what has none
        WRITERS[library](draft.with_suffix(".npy"))
    assert not path.exists()


def test_words_alone_are_understood() -> None:
    """As PyTorch 2.15 and numpy 2.4 say it on a disk that is full or read-only."""
    read_only = RuntimeError(
        "[enforce fail at inline_container.cc:746] . open file failed with strerror: " + os.strerror(30)
    )
    assert "the disk is read-only (EROFS)" in str(explained(read_only))
    short = RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 576 vs 534")
    assert "the disk did not take all of it; " in str(explained(short))
    with_frames = RuntimeError(f"{short}\nframe #0: c10::ThrowEnforceNotMet + 0x6c\nframe #1: <unknown>")
    assert "the disk did not take all of it; " in str(explained(with_frames))
    few = (
        "[enforce fail at inline_container.cc:863] . PytorchStreamWriter failed writing file data/0: file write failed"
    )
    for said in (few, "basic_ios::clear: iostream error"):
        assert "the disk did not take all of it; " in str(explained(RuntimeError(said)))
    assert "the disk did not take all of it; " in str(explained(OSError("500000 requested and 131056 written")))


def test_reading_and_locking_name_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "mark.json"
    write_atomic(path, b"{}")
    for name in ("open", "read_bytes", "read_text"):
        monkeypatch.setattr(Path, name, broken)
    for read in (file_digest, read_checked, read_json):
        with pytest.raises(DiskError, match=f"^reading {path}: the disk reports an input/output error"):
            read(path)
    with pytest.raises(DiskError, match=rf"^writing {tmp_path}/run/\.lock: "), owned(tmp_path / "run"):
        pass
    with pytest.raises(DiskError, match=rf"^writing {tmp_path}/\.set\.lock: "), alone(tmp_path / "set"):
        pass


def test_it_is_an_error_that_the_user_can_mend() -> None:
    assert issubclass(DiskError, BenchError) and issubclass(DiskError, OSError)

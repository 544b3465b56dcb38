"""GTZAN is installed from the Hub or from an archive on disk: completely, or not at all."""

import errno
import gzip
import io
import multiprocessing
import os
import random
import shutil
import tarfile
import threading
import time
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

import genre
from genre.config.build import read_catalogue
from genre.config.settings import train_settings
from genre.data import unpack
from genre.data.gtzan import genre_folder, read_gtzan
from genre.errors import UserError

CLIPS = {
    f"genres/{name}/{name}.0000{index}.wav": random.Random(f"{name}{index}").randbytes(40_000)
    for name in ("blues", "jazz")
    for index in range(2)
}
FIRST = next(iter(CLIPS))


def tarball(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """A .tar.gz with these files, and then these members without content."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return memory.getvalue()


def member_of(name: str, kind: bytes, target: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, size
    return member


def header_only(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A .tar.gz of one header and whatever follows it."""
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + content)


GTZAN = tarball({"genres/._blues": b"fork", "genres/blues/._blues.00000.wav": b"fork", **CLIPS})


@pytest.fixture
def root(tmp_path):
    return tmp_path / "music" / "gtzan"


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "genres.tar.gz"
    path.write_bytes(GTZAN)
    return path


@pytest.fixture
def hub(archive, tmp_path, monkeypatch):
    """Stand-in for the Hub that copies the archive to its cache; the list of what was asked of it."""
    asked = []

    def hf_hub_download(repo_id, filename, *, repo_type, revision):
        asked.append((repo_id, filename, repo_type, revision))
        (tmp_path / "hub").mkdir(exist_ok=True)
        return shutil.copy(archive, tmp_path / "hub" / "genres.tar.gz")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    return asked


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.wav")}


def visible(root: Path) -> set[str]:
    """Everything in the folder but the lock file."""
    return {name for name in os.listdir(root) if name != ".genres.lock"}


def install(root: Path, archive: Path) -> dict[str, bytes]:
    read_gtzan(root, archive=str(archive), unpacked_bytes=1_000_000)
    return contents(root)


def test_gtzan_is_fetched_from_the_hub_and_unpacked(hub, root):
    catalogue = read_gtzan(root, download=True, unpacked_bytes=1_000_000)
    assert [track.name for track in catalogue.tracks] == ["blues.00000", "blues.00001", "jazz.00000", "jazz.00001"]
    assert contents(root) == CLIPS and visible(root) == {"genres"}
    assert hub == [("marsyas/gtzan", "data/genres.tar.gz", "dataset", "main")]


def test_the_group_data_names_repository_file_and_revision(hub, root):
    keys = ["data.repository=me/mine", "data.filename=x.tar.gz", "data.revision=v2", "data.unpacked_bytes=1000000"]
    cfg = genre.compose(f"data.root={root}", "data.download=true", *keys, "folder=x", "name=x")
    assert len(read_catalogue(train_settings(cfg).data).tracks) == 4
    assert hub == [("me/mine", "x.tar.gz", "dataset", "v2")]


def test_nothing_is_fetched_unasked_or_twice(hub, root):
    with pytest.raises(UserError, match=r"no GTZAN at .*data\.download=true.*data\.archive"):
        read_gtzan(root)
    for _ in range(2):
        read_gtzan(root, download=True, unpacked_bytes=1_000_000)
    assert len(hub) == 1


def test_an_archive_on_disk_is_used_instead_of_the_hub(hub, root, archive):
    read_gtzan(root, download=True, archive=str(archive), unpacked_bytes=1_000_000)
    assert contents(root) == CLIPS and not hub


def test_the_path_of_the_archive_is_taken_literally(root, archive):
    odd = archive.rename(archive.with_name("a (copy), b=é [x].tar.gz"))
    cfg = genre.compose(f"data.root={root}", f"data.archive={odd}", "data.unpacked_bytes=1000000", "folder=x", "name=x")
    assert len(read_catalogue(train_settings(cfg).data).tracks) == 4


def test_a_missing_archive_is_a_user_error(root, tmp_path):
    with pytest.raises(UserError, match=r"there is no file at data\.archive=.*nowhere\.tar\.gz"):
        install(root, tmp_path / "nowhere.tar.gz")


@pytest.mark.parametrize("layout", ["genres_original", "Data/genres_original", "gtzan/genres"])
def test_an_archive_in_another_layout_is_found(root, archive, layout):
    archive.write_bytes(tarball({name.replace("genres", layout, 1): content for name, content in CLIPS.items()}))
    assert install(root, archive) == CLIPS


def failing(error: Exception):
    def hf_hub_download(*arguments, **keywords):
        raise error

    return hf_hub_download


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("Please check your connection."), r"\(no connection to the Hub, and .*\): set"),
        (ValueError("Repo id is wrong.\nMore."), r"\(Repo id is wrong\): set"),
        (RuntimeError(), r"\(RuntimeError\): set"),
    ],
)
def test_without_network_one_sentence_names_the_remedies(root, monkeypatch, error, message):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", failing(error))
    ways = r".*data\.archive.*data\.root.*data=synthetic"
    with pytest.raises(UserError, match=rf"cannot fetch GTZAN from marsyas/gtzan {message}{ways}"):
        read_gtzan(root, download=True)
    assert visible(root) == set()


def test_a_full_cache_of_the_hub_is_a_user_error(root, monkeypatch):
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", failing(error))
    with pytest.raises(UserError, match=r"the Hub's cache is full \(No space left on device\): set HF_HOME"):
        read_gtzan(root, download=True)


REFUSED = {
    "a parent": (tarball({**CLIPS, "../escape": b"x"}), "outside the destination"),
    "a parent on the way": (tarball({**CLIPS, "genres/../../escape": b"x"}), "outside the destination"),
    "a link out": (tarball(CLIPS, member_of("genres/out", tarfile.SYMTYPE, "../..")), "outside the destination"),
    "an absolute link": (tarball(CLIPS, member_of("genres/out", tarfile.SYMTYPE, "/etc")), "absolute path"),
    "a hard link out": (
        tarball(CLIPS, member_of("genres/hard", tarfile.LNKTYPE, "../../x")),
        "outside the destination",
    ),
    "a device": (tarball(CLIPS, member_of("genres/zero", tarfile.CHRTYPE)), "special file"),
    "a pipe": (tarball(CLIPS, member_of("genres/pipe", tarfile.FIFOTYPE)), "special file"),
    "a bomb": (tarball({**CLIPS, "genres/bomb": bytes(10**7)}), "more than data.unpacked_bytes=1000000"),
    "a bomb behind the last file": (GTZAN + gzip.compress(bytes(10**7)), "more than data.unpacked_bytes=1000000"),
    "a file of any size": (header_only(member_of("bomb", tarfile.REGTYPE, size=8**20)), "more than data.unpacked"),
    "a negative size": (header_only(member_of("bomb", tarfile.REGTYPE, size=-1024)), "more than|damaged"),
    "a huge header": (header_only(member_of("x", tarfile.XHDTYPE, size=2**30), bytes(1024)), "impossible length"),
    "headers upon headers": (gzip.compress(member_of("x", tarfile.XHDTYPE).tobuf() * 1900), "damaged"),
    "half an archive": (GTZAN[: len(GTZAN) // 2], "damaged"),
    "a page": (b"<!DOCTYPE html><title>Log in to the network</title>", "Not a gzipped file"),
    "a wrong checksum": (GTZAN[:-8] + bytes(8), "damaged.*CRC check failed"),
    "other music": (tarball({"songs/one.wav": b"x"}), "holds no GTZAN"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_archive_is_refused_and_leaves_nothing_anywhere(root, archive, tmp_path, content, reason):
    archive.write_bytes(content)
    with pytest.raises(UserError, match=f"genres.tar.gz .*{reason}.*: delete or replace it"):
        install(root, archive)
    assert {path for path in tmp_path.rglob("*") if path.name != ".genres.lock"} == {archive, root, root.parent}


def test_an_absolute_path_is_unpacked_below_the_folder(root, archive, tmp_path):
    archive.write_bytes(tarball({**CLIPS, str(tmp_path / "escape"): b"x"}))
    assert install(root, archive) == CLIPS
    assert not (tmp_path / "escape").exists()


def test_the_number_of_files_is_bounded(root, archive, monkeypatch):
    monkeypatch.setattr(unpack, "MAX_FILES", 3)
    with pytest.raises(UserError, match="holds more than 3 files"):
        install(root, archive)


def test_the_remains_of_a_killed_process_are_replaced(root, archive):
    scratch = root / ".genres.unpacking" / "genres" / "blues"
    scratch.mkdir(parents=True)
    (scratch / "blues.00009.wav").write_bytes(b"half")
    assert genre_folder(root) is None
    assert install(root, archive) == CLIPS and visible(root) == {"genres"}


def test_a_killed_process_publishes_nothing_and_frees_the_lock(root, archive, monkeypatch):
    started = multiprocessing.get_context("fork").Event()

    def extract_half(path, folder, collection):
        (folder / "genres" / "blues").mkdir(parents=True)
        (folder / "genres" / "blues" / "blues.00000.wav").write_bytes(b"half")
        started.set()
        time.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(unpack, "extract", extract_half)
        child = multiprocessing.get_context("fork").Process(target=install, args=(root, archive))
        child.start()
        assert started.wait(30)
        child.kill()
        child.join()
    assert genre_folder(root) is None
    assert install(root, archive) == CLIPS


def test_one_of_several_processes_unpacks_while_the_others_wait(root, archive, monkeypatch):
    extract, calls, results = unpack.extract, [], []

    def slow_extract(*arguments):
        calls.append(arguments)
        time.sleep(0.2)
        extract(*arguments)

    monkeypatch.setattr(unpack, "extract", slow_extract)
    threads = [threading.Thread(target=lambda: results.append(install(root, archive))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CLIPS] * 3 and len(calls) == 1


def test_too_little_room_is_reported_before_anything_is_fetched(hub, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**5))
    with pytest.raises(UserError, match=r"has 0\.0 GB free; GTZAN may need 2\.0 GB .*set data\.root to a folder"):
        read_gtzan(root, download=True)
    assert not hub


def test_a_disk_that_fills_up_while_unpacking_is_a_user_error(root, archive, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "makefile", full)
    with pytest.raises(UserError, match=r"cannot write to .*gtzan \(No space left on device\): set data\.root"):
        install(root, archive)
    assert visible(root) == set()


def test_a_file_in_place_of_the_root_is_a_user_error(root, archive):
    root.parent.mkdir()
    root.write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        install(root, archive)


def test_files_in_the_way_are_not_touched(root, archive):
    (root / "genres").mkdir(parents=True)
    (root / "genres" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files but no GTZAN: remove it"):
        install(root, archive)
    assert (root / "genres" / "notes.txt").read_text() == "mine"

"""GTZAN is fetched once, whatever the server does on the way; nothing that is not GTZAN ever takes its place."""

import gzip
import hashlib
import io
import logging
import multiprocessing
import os
import random
import re
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

import genre
from genre import config
from genre.data import download, unpacking
from genre.data.gtzan import genre_folder, read_gtzan
from genre.errors import UserError

CLIPS = {
    f"genres/{name}/{name}.0000{index}.wav": random.Random(f"{name}{index}").randbytes(40_000)
    for name in ("blues", "jazz")
    for index in range(2)
}
WAYS = r"data\.urls.*data\.root.*data=synthetic"


def packed(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
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


GTZAN = packed({"genres/._blues": b"fork", "genres/blues/._blues.00000.wav": b"fork", **CLIPS})
HALF = len(GTZAN) // 2
PAGE = b"<!DOCTYPE html><title>Log in to the network</title>"
Reply = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; the server's next reply answers it, and properly when none is left."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        reply = self.server.replies.pop(0) if self.server.replies else properly
        reply(self)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def body(self, content: bytes) -> None:
        self.wfile.write(content)
        self.server.sent += len(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A file on loopback, and a record of what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.content, self.etag = GTZAN, '"one"'
        self.asked: list[dict[str, str]] = []
        self.replies: list[Reply] = []
        self.sent = 0
        self.url = f"http://127.0.0.1:{self.server_port}/genres.tar.gz"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]


def properly(request: Request, most: int | None = None) -> None:
    """Range and If-Range as RFC 9110 has them; only the first ``most`` bytes of what is announced."""
    content, etag = request.server.content, request.server.etag
    span = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if span and request.headers.get("If-Range", etag) == etag:
        begin = int(span[1])
        parts = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        request.head(206, Content_Length=len(content) - begin, Content_Range=parts, ETag=etag)
    else:
        begin = 0
        request.head(200, Content_Length=len(content), ETag=etag)
    request.body(content[begin:][:most])


def breaking_off(request: Request) -> None:
    properly(request, HALF)


def ignoring_range(request: Request) -> None:
    request.head(200, Content_Length=len(GTZAN))
    request.body(GTZAN)


def without_length(content: bytes) -> Reply:
    def reply(request: Request) -> None:
        request.head(200)
        request.body(content)

    return reply


def announcing(size: int) -> Reply:
    def reply(request: Request) -> None:
        request.head(200, Content_Length=size)
        request.body(GTZAN[:size])

    return reply


def status(code: int) -> Reply:
    return lambda request: request.head(code, Content_Length=0)


def silent(request: Request) -> None:
    time.sleep(1)


def silent_in_the_middle(request: Request) -> None:
    properly(request, HALF)
    request.wfile.flush()
    time.sleep(1)


def elsewhere(url: str) -> Reply:
    return lambda request: request.head(302, Location=url, Content_Length=0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and no proxy between the tests and loopback."""
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "music" / "gtzan"


def get(root: Path, *urls: str, content: bytes = GTZAN, **keys: object) -> dict[str, bytes]:
    """Read GTZAN with ``data.download=true``: the clips that are there then, by their names in the archive."""
    values = {"archive_bytes": len(content), "unpacked_bytes": 10**6, "timeout": 0.3} | keys
    tracks = read_gtzan(root, download=True, urls=urls, **values).tracks
    return {track.path.relative_to(root).as_posix(): track.path.read_bytes() for track in tracks}


def left(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.name != ".genres.lock"}


def test_gtzan_is_fetched_checked_and_unpacked_and_nothing_else_stays(server, root):
    assert get(root, server.url, sha256=hashlib.sha256(GTZAN).hexdigest()) == CLIPS
    assert left(root) == {"genres"}
    assert not list(root.rglob("._*"))


def test_the_group_data_does_all_of_it(server, tmp_path):
    overrides = ["data=gtzan", "data.download=true", f"data.root={tmp_path}", f"data.urls=[{server.url}]"]
    cfg = genre.compose(*overrides, f"data.archive_bytes={len(GTZAN)}", "folder=unused", "name=test")
    found = config.catalogue_of(config.plain(cfg)["data"])
    assert [track.name for track in found.tracks] == ["blues.00000", "blues.00001", "jazz.00000", "jazz.00001"]


def test_the_default_is_the_public_copy_which_is_not_fetched_unasked():
    data = config.plain(genre.compose("data=gtzan", "folder=unused", "name=test"))["data"]
    assert data["urls"] == ["https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/genres.tar.gz"]
    assert (data["download"], data["archive_bytes"], data["sha256"]) == (False, 1_226_192_050, None)


def test_what_is_there_is_not_fetched_again(server, root):
    get(root, server.url)
    assert get(root, server.url) == CLIPS
    assert len(server.asked) == 1


def test_an_interrupted_fetch_goes_on_where_it_stopped(server, root):
    server.replies = [breaking_off]
    assert get(root, server.url) == CLIPS
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.asked[1]["If-Range"] == '"one"'
    assert server.sent == len(GTZAN)


def test_a_later_run_goes_on_where_an_earlier_one_stopped(server, root):
    server.replies = [breaking_off, *[status(503)] * 4]
    with pytest.raises(UserError, match=rf"503.*keeps {HALF:,} bytes, and the same command goes on from there"):
        get(root, server.url)
    assert get(root, server.url) == CLIPS
    assert server.ranges[-1] == f"bytes={HALF}-" and server.sent == len(GTZAN)


def test_a_connection_that_breaks_off_often_is_no_failure_while_something_comes(server, root):
    server.replies = [lambda request: properly(request, len(GTZAN) // 10)] * 9
    assert get(root, server.url) == CLIPS
    assert len(server.asked) > 9 and server.sent == len(GTZAN)


def test_a_server_that_ignores_range_starts_anew(server, root):
    server.replies = [breaking_off, ignoring_range]
    assert get(root, server.url) == CLIPS
    assert server.sent == HALF + len(GTZAN)


def test_a_server_that_starts_anew_and_breaks_off_each_time_is_given_up(server, root):
    server.etag = ""
    server.replies = [announcing_all_and_sending_half] * 10
    with pytest.raises(UserError, match=f"breaks off after {HALF:,} of {len(GTZAN):,} bytes"):
        get(root, server.url)
    assert len(server.asked) == 5


def announcing_all_and_sending_half(request: Request) -> None:
    request.head(200, Content_Length=len(GTZAN))
    request.body(GTZAN[:HALF])


def test_a_file_that_changed_in_between_is_not_spliced(server, root):
    def changing(request: Request) -> None:
        breaking_off(request)
        server.etag, server.content = '"two"', other

    clips = {name: content[::-1] for name, content in CLIPS.items()}
    other = packed(clips)
    other += bytes(len(GTZAN) - len(other))  # zeros behind a gzip member are allowed
    server.replies = [changing]
    assert get(root, server.url) == clips


def test_an_answer_with_another_part_than_was_asked_for_is_refused(server, root):
    def beginning_elsewhere(request: Request) -> None:
        request.head(206, Content_Length=9, Content_Range=f"bytes 1-9/{len(GTZAN)}")

    server.replies = [breaking_off, beginning_elsewhere]
    with pytest.raises(UserError, match="another part of the file than was asked for"):
        get(root, server.url)


def test_a_redirection_is_followed_also_when_resuming(server, root):
    server.replies = [elsewhere(server.url), breaking_off, elsewhere(server.url)]
    assert get(root, server.url) == CLIPS
    assert server.ranges[-1] == f"bytes={HALF}-" and server.sent == len(GTZAN)


def test_a_redirection_to_a_file_of_this_machine_is_refused(server, root):
    server.replies = [elsewhere("file:///etc/passwd")]
    with pytest.raises(UserError, match=r"answers 302 .*not allowed"):
        get(root, server.url)


@pytest.mark.parametrize(("url", "end"), [("https://a/b", "http://a/b"), ("http://a/b", "ftp://a/b")])
def test_a_redirection_never_leads_to_a_lesser_kind_of_address(root, monkeypatch, url, end):
    monkeypatch.setattr(download, "urlopen", lambda request, timeout: SimpleNamespace(url=end, close=lambda: None))
    with pytest.raises(UserError, match=rf"leads to an address of a lesser kind \({end}\)"):
        get(root, url)


@pytest.mark.parametrize("size", [len(GTZAN) - 1, len(GTZAN) + 1, 7])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(server, root, size):
    server.replies = [announcing(size)]
    with pytest.raises(UserError, match=rf"a file of {size} bytes, data\.archive_bytes={len(GTZAN)} is expected"):
        get(root, server.url)
    assert left(root) == set()


def test_more_bytes_than_announced_are_not_kept(server, root):
    server.replies = [without_length(GTZAN + b"more")]
    with pytest.raises(UserError, match=rf"sends more than data\.archive_bytes={len(GTZAN)}"):
        get(root, server.url)
    assert left(root) == set()


def test_fewer_bytes_than_announced_are_a_connection_that_broke_off(server, root):
    server.replies = [without_length(GTZAN[:HALF])]
    assert get(root, server.url) == CLIPS
    assert server.ranges[1] == f"bytes={HALF}-"


def test_a_page_instead_of_the_archive_is_refused_and_what_was_fetched_stays(server, root):
    server.replies = [breaking_off, without_length(PAGE)]
    with pytest.raises(UserError, match=r"is no \.tar\.gz, it begins with b'<!DOCTYPE html>"):
        get(root, server.url)
    assert (root / "genres.tar.gz.part").read_bytes() == GTZAN[:HALF]


def test_another_file_of_the_same_size_is_told_by_its_checksum_and_deleted(server, root):
    with pytest.raises(
        UserError, match=r"its sha256 is \w{64}, data\.sha256=0{64} is expected; it is deleted.*" + WAYS
    ):
        get(root, server.url, sha256="0" * 64)
    assert left(root) == set()


@pytest.mark.parametrize("place", [HALF, len(GTZAN) - 5], ids=["data", "gzip's own checksum"])
def test_a_damaged_archive_is_deleted_and_never_used(server, root, place):
    server.content = GTZAN[:place] + bytes([GTZAN[place] ^ 255]) + GTZAN[place + 1 :]
    with pytest.raises(UserError, match=r"is damaged \(.+\); it is deleted"):
        get(root, server.url)
    assert left(root) == set()


def test_an_archive_without_gtzan_is_refused(server, root):
    server.content = packed({"readme.txt": b"moved"})
    with pytest.raises(UserError, match="holds no GTZAN; it is deleted"):
        get(root, server.url, content=server.content)


@pytest.mark.parametrize("layout", [".", "Data/genres_original"])
def test_an_archive_in_another_layout_is_found(server, root, layout):
    server.content = packed({name.replace("genres", layout, 1): content for name, content in CLIPS.items()})
    assert get(root, server.url, content=server.content) == CLIPS


def test_the_next_address_is_tried_where_one_fails(server, root):
    with Server() as closed:
        nobody = closed.url
    server.replies = [status(404), status(410), without_length(PAGE)]
    assert get(root, nobody, *[server.url] * 4) == CLIPS


@pytest.mark.parametrize("code", [403, 404, 500, 503])
def test_an_error_of_the_server_is_told_and_its_own_faults_are_tried_again(server, root, code):
    server.replies = [status(code)] * 9
    with pytest.raises(UserError, match=f"answers {code} .*{WAYS}"):
        get(root, server.url)
    assert len(server.asked) == (4 if code >= 500 else 1)


def test_without_network_one_sentence_shows_the_ways_on_and_the_exit_code_is_1(root, monkeypatch):
    with Server() as closed:
        nobody = closed.url
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit, match=f"^error: GTZAN cannot be fetched .*Connection refused.*{WAYS}") as exit:
        genre.command(lambda: get(root, nobody))
    assert "\n" not in str(exit.value)


@pytest.mark.parametrize(("reply", "asked"), [(silent, 1), (silent_in_the_middle, 5)])
def test_a_silent_server_is_given_up(server, root, reply, asked):
    server.replies = [reply, *[silent] * 4]
    begin = time.monotonic()
    with pytest.raises(UserError, match="timed out"):
        get(root, server.url, timeout=0.1)
    assert time.monotonic() - begin < 5 and len(server.asked) <= asked


def kind(name: str, type: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = type, target
    return member


def huge(name: str, size: int) -> bytes:
    """A .tar.gz with GTZAN's clips and a file whose header announces so many bytes, with zeros behind it."""
    member = tarfile.TarInfo(name)
    member.size = size
    plain = gzip.decompress(packed(CLIPS)).rstrip(b"\0")
    plain += bytes(-len(plain) % 512)
    return gzip.compress(plain + member.tobuf(tarfile.GNU_FORMAT) + bytes(min(abs(size), 10**7)), compresslevel=1)


MALICIOUS = {
    "a parent": (packed({**CLIPS, "../escape": b"x"}), "lies outside"),
    "a parent on the way": (packed({**CLIPS, "genres/../../escape": b"x"}), "lies outside"),
    "a parent on Windows": (packed({**CLIPS, "genres\\..\\..\\escape": b"x"}), "lies outside"),
    "an absolute path": (packed({**CLIPS, "/tmp/escape": b"x"}), "lies outside"),
    "a drive": (packed({**CLIPS, "C:/escape": b"x"}), "lies outside"),
    "a link out": (packed(CLIPS, kind("genres/out", tarfile.SYMTYPE, "../..")), "is a link"),
    "a link inside": (packed(CLIPS, kind("genres/in", tarfile.SYMTYPE, "blues")), "is a link"),
    "a hard link": (packed(CLIPS, kind("genres/hard", tarfile.LNKTYPE, "/etc/passwd")), "is a link"),
    "a link called a fork": (packed(CLIPS, kind("genres/._x", tarfile.SYMTYPE, "/")), "is a link"),
    "a device": (packed(CLIPS, kind("genres/zero", tarfile.CHRTYPE)), "is no plain file"),
    "a pipe": (packed(CLIPS, kind("genres/pipe", tarfile.FIFOTYPE)), "is no plain file"),
    "a sparse file": (packed(CLIPS, kind("genres/sparse", tarfile.GNUTYPE_SPARSE)), "damaged|no plain file"),
    "a file twice": (packed(CLIPS, kind(next(iter(CLIPS)), tarfile.REGTYPE)), "is damaged"),
    "a file as a folder": (packed({**CLIPS, next(iter(CLIPS)) + "/x": b"x"}), "is damaged"),
    "a name too long": (packed({**CLIPS, "x" * 5000: b"x"}), "is damaged"),
    "a name with a zero": (packed({**CLIPS, "genres/\0": b"x"}), "is damaged"),
    "a bomb": (huge("genres/bomb", 10**7), "holds more than data.unpacked_bytes=1000000"),
    "a bomb behind the last file": (packed(CLIPS) + gzip.compress(bytes(10**7)), "holds more than"),
    "a bomb called a fork": (huge("genres/._bomb", 10**7), "holds more than"),
    "a file of any size": (huge("genres/bomb", 8**20), "holds more than"),
    "a negative size": (huge("genres/bomb", -1024), "is no plain file|leads backwards|is damaged"),
}


@pytest.mark.parametrize(("content", "reason"), MALICIOUS.values(), ids=MALICIOUS)
def test_a_malicious_archive_is_deleted_and_nothing_of_it_is_written_anywhere(server, tmp_path, content, reason):
    server.content = content
    root = tmp_path / "music" / "gtzan"
    with pytest.raises(UserError, match=f"{reason}.*; it is deleted"):
        get(root, server.url, content=content)
    assert {path for path in tmp_path.rglob("*") if path.name != ".genres.lock"} == {root.parent, root}
    assert not Path("/tmp/escape").exists()


@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_cannot_fill_the_memory(tmp_path, type):
    member = kind("header", type)
    member.size = 2**30
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
    with pytest.raises(unpacking.BadArchive, match="a header of an impossible length"):
        unpacking.extract(path, tmp_path / "out", 2**31)


def test_headers_upon_headers_are_a_damaged_archive(tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(kind("header", tarfile.XHDTYPE).tobuf() * 1900))
    with pytest.raises(unpacking.BadArchive, match="is damaged"):
        unpacking.extract(path, tmp_path / "out", 10**6)


def test_the_number_of_files_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MEMBERS", 3)
    (tmp_path / "x.tar.gz").write_bytes(packed(CLIPS))
    with pytest.raises(unpacking.BadArchive, match="more than 3 files"):
        unpacking.extract(tmp_path / "x.tar.gz", tmp_path / "out", 10**6)


def test_a_fetch_that_was_killed_goes_on_where_it_stopped(server, root):
    server.replies = [silent_in_the_middle]
    child = multiprocessing.get_context("fork").Process(target=get, args=(root, server.url), kwargs={"timeout": 60})
    child.start()
    while download.held(root / "genres.tar.gz.part") < HALF:
        time.sleep(0.01)
    child.kill()
    child.join()
    assert get(root, server.url) == CLIPS
    assert server.ranges == [None, f"bytes={HALF}-"] and server.sent == len(GTZAN)
    assert left(root) == {"genres"}


def test_an_unpacking_that_was_killed_is_not_used_and_the_archive_is_not_fetched_again(server, root):
    scratch = root / ".genres.unpacking" / "genres" / "blues"
    scratch.mkdir(parents=True)
    (scratch / "blues.00000.wav").write_bytes(b"half")
    (root / "genres.tar.gz.part").write_bytes(GTZAN)
    assert genre_folder(root) is None
    assert get(root, server.url) == CLIPS
    assert left(root) == {"genres"} and not server.asked


def test_a_part_that_is_too_long_is_no_part_of_this_archive(server, root):
    root.mkdir(parents=True)
    (root / "genres.tar.gz.part").write_bytes(GTZAN + b"x")
    assert get(root, server.url) == CLIPS


def test_two_at_once_fetch_once(server, root):
    server.replies = [lambda request: (time.sleep(0.2), properly(request))]
    found = []
    both = [threading.Thread(target=lambda: found.append(get(root, server.url, timeout=5))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert found == [CLIPS, CLIPS] and len(server.asked) == 1
    assert left(root) == {"genres"}


def test_too_little_room_is_told_before_anything_is_fetched(server, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**5))
    with pytest.raises(UserError, match=r"has 0\.0 GB free, fetching GTZAN may take .*: set data\.root to a folder"):
        get(root, server.url)
    assert not server.asked


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_disk_that_fills_up_on_the_way_is_told_and_what_was_fetched_is_kept(server, root, monkeypatch):
    server.replies = [breaking_off]
    write = Path.open

    def full(path: Path, mode: str = "r", *rest: object, **more: object) -> object:
        filling = mode == "ab" and server.ranges[-1]
        return write(Path("/dev/full") if filling else path, mode, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(UserError, match=r"cannot write to .*gtzan \(No space left on device\): set data\.root"):
            get(root, server.url)
    assert (root / "genres.tar.gz.part").read_bytes() == GTZAN[:HALF]
    assert get(root, server.url) == CLIPS


def test_a_disk_that_fills_up_in_unpacking_keeps_the_archive(server, root, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(UserError, match="No space left on device"):
            get(root, server.url)
    assert left(root) == {"genres.tar.gz.part", "genres.tar.gz.etag"}
    assert get(root, server.url) == CLIPS
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*/file/gtzan \(Not a directory\): set data\.root"):
        get(tmp_path / "file" / "gtzan", server.url)


def test_what_is_in_the_way_is_not_touched(server, root):
    (root / "genres").mkdir(parents=True)
    (root / "genres" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="genres is in the way, which holds no GTZAN"):
        get(root, server.url)
    assert (root / "genres" / "notes.txt").read_text() == "mine" and not server.asked


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"urls": []}, r"data\.urls=\[\] must hold addresses"),
        ({"urls": ["file:///etc/passwd"]}, r"data\.urls=\[file:///etc/passwd\]"),
        ({"urls": "genres.tar.gz"}, r"data\.urls=\[genres\.tar\.gz\]"),
        ({"sha256": "abc"}, r"data\.sha256=abc must be 64 hexadecimal digits"),
        ({"archive_bytes": None}, r"data\.archive_bytes=None"),
        ({"unpacked_bytes": -1}, r"data\.unpacked_bytes=-1"),
        ({"timeout": 0}, r"data\.timeout=0 must be"),
        ({"timeout": float("nan")}, r"data\.timeout=nan must be"),
        ({"download": "yes"}, r"data\.download=yes must be true or false"),
    ],
)
def test_a_value_that_cannot_be_is_named(root, keys, message):
    values = {"download": True, "urls": ["http://127.0.0.1:1/x"], "archive_bytes": 1, "unpacked_bytes": 1} | keys
    with pytest.raises(UserError, match=message):
        read_gtzan(root, **values)
    assert not root.exists()


def test_the_message_of_missing_data_shows_this_way_too(root):
    with pytest.raises(UserError, match=r"data\.download=true to fetch it"):
        read_gtzan(root)


def test_an_address_that_fails_is_told_at_once(server, root, caplog):
    server.replies = [status(404)]
    with caplog.at_level(logging.WARNING):
        get(root, server.url, server.url)
    assert f"{server.url}: answers 404 Not Found" in caplog.text

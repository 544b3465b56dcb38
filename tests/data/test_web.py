"""Archives on the web are fetched over connections that break off, checked, and unpacked by the readers."""

import hashlib
import io
import random
import re
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import genre
from genre.config.build import read_catalogue
from genre.config.settings import train_settings
from genre.data import ballroom, fma, jamendo, unpack, web
from genre.data.ballroom import read_ballroom
from genre.data.fma import read_fma
from genre.data.jamendo import read_mtg_jamendo
from genre.data.unpack import Collection
from genre.data.web import WebArchive, fetch, install_from_web
from genre.errors import UserError

CONTENT = random.Random(0).randbytes(100_000)


class Server(ThreadingHTTPServer):
    """Serves ``files`` (path -> content), counts what it sends, and behaves as badly as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0
        self.most: int | None = None  # bytes per connection, after which it breaks off
        self.knows_parts = True
        self.faults = 0  # answers of 503 before it works
        self.address = f"http://127.0.0.1:{self.server_port}"

    def archive(self, name: str, content: bytes, method: str = "sha1") -> WebArchive:
        """A file that is served from now on."""
        self.files[f"/{name}"] = content
        return WebArchive(
            f"{self.address}/{name}", f"{method}:{hashlib.new(method, content).hexdigest()}", len(content)
        )


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if server.faults:
            server.faults -= 1
            return self.send_error(503)
        if self.path not in server.files:
            return self.send_error(404)
        content = server.files[self.path]
        begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.knows_parts else 0
        if begin and begin >= len(content):
            return self.send_error(416)
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        part = content[begin:][: server.most]
        self.wfile.write(part)
        server.sent += len(part)
        return None

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(web, "FIRST_PAUSE", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def zipped(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return memory.getvalue()


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256"])
def test_a_file_is_fetched_and_has_the_checksum_of_its_publisher(server, tmp_path, method):
    path = fetch(server.archive("x.bin", CONTENT, method), tmp_path)
    assert path.read_bytes() == CONTENT and server.asked == [("/x.bin", None)]


def test_a_file_comes_over_connections_that_break_off_and_no_byte_comes_twice(server, tmp_path):
    archive, server.most = server.archive("x.bin", CONTENT), 9_000
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert server.sent == len(CONTENT) and len(server.asked) == 12
    assert server.asked[1] == ("/x.bin", "bytes=9000-")


def test_the_next_command_continues_where_one_was_killed(server, tmp_path):
    archive = server.archive("x.bin", CONTENT)
    archive.download_in(tmp_path).write_bytes(CONTENT[:60_000])
    assert archive.missing_bytes(tmp_path) == 40_000
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert server.sent == 40_000


def test_a_complete_download_is_only_checked(server, tmp_path):
    archive = server.archive("x.bin", CONTENT)
    archive.download_in(tmp_path).write_bytes(CONTENT)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT and server.sent == 0


def test_a_server_that_does_not_know_parts_sends_the_whole_again(server, tmp_path):
    archive, server.knows_parts = server.archive("x.bin", CONTENT), False
    archive.download_in(tmp_path).write_bytes(CONTENT[:60_000])
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_faults_of_the_server_are_waited_out(server, tmp_path):
    archive, server.faults = server.archive("x.bin", CONTENT), web.ATTEMPTS - 1
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("setting", "value", "asked", "reason"),
    [
        ("files", {}, 1, "Not Found"),
        ("faults", 99, web.ATTEMPTS, "Service Unavailable"),
        ("most", 0, web.ATTEMPTS, "the connection ended early"),
    ],
)
def test_a_file_that_does_not_come_is_one_sentence_with_two_remedies(server, tmp_path, setting, value, asked, reason):
    archive = server.archive("x.bin", CONTENT)
    setattr(server, setting, value)
    with pytest.raises(
        UserError, match=rf"cannot fetch http.*x\.bin \({reason}\): run the .* put the file at .*x\.bin$"
    ):
        fetch(archive, tmp_path)
    assert len(server.asked) == asked


def test_without_a_network_the_reason_is_named(tmp_path, server, monkeypatch):
    monkeypatch.setattr(web, "ATTEMPTS", 2)
    with pytest.raises(UserError, match=r"cannot fetch http://127\.0\.0\.1:9/x\.zip \(.*Connection refused\): run"):
        fetch(WebArchive("http://127.0.0.1:9/x.zip", "sha1:0", 1), tmp_path)


def test_another_file_than_the_published_one_is_deleted(server, tmp_path):
    archive = WebArchive(server.archive("x.bin", CONTENT).address, "sha1:0123", 100_000)
    with pytest.raises(UserError, match=r"x\.bin was downloaded and deleted: its sha1 is [0-9a-f]{40}, .* states 0123"):
        fetch(archive, tmp_path)
    assert not list(tmp_path.iterdir())


def collection(folder: Path, limit: int = 10_000) -> Collection:
    return Collection("music", folder, lambda tree: next(iter(tree.rglob("songs")), None), limit)


def test_a_download_is_deleted_once_it_is_unpacked_and_a_copy_of_the_user_is_kept(server, tmp_path):
    archive = server.archive("x.zip", zipped({"songs/a.mp3": b"a"}))
    install_from_web(archive, collection(tmp_path / "one" / "songs"))
    assert (tmp_path / "one" / "songs" / "a.mp3").read_bytes() == b"a" and server.sent
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"songs", ".songs.lock"}
    server.sent, copy = 0, tmp_path / "two" / "x.zip"
    copy.parent.mkdir()
    copy.write_bytes(server.files["/x.zip"])
    install_from_web(archive, collection(tmp_path / "two" / "songs"))
    assert (tmp_path / "two" / "songs" / "a.mp3").exists() and copy.exists() and not server.sent


def locked_zip() -> bytes:
    """A .zip whose file has the flag of a password."""
    content = bytearray(zipped({"songs/a.mp3": b"abc"}))
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + place] |= 1
    return bytes(content)


GOOD = zipped({"songs/a.mp3": b"abcabc"})
REFUSED = {
    "half": (GOOD[:40], "damaged.*not a zip file"),
    "a page": (b"<!DOCTYPE html>", "damaged.*not a zip file"),
    "other bytes": (GOOD.replace(b"abcabc", b"abcabd", 1), "damaged.*Bad CRC-32"),
    "a password": (locked_zip(), "damaged.*encrypted"),
    "a bomb": (zipped({"songs/a.mp3": bytes(10_001)}), "holds more than 10,000 bytes"),
    "other music": (zipped({"films/a.mp4": b"a"}), "holds no music"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_zip_is_refused_and_leaves_nothing(tmp_path, content, reason):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.zip .*{reason}.*: delete or replace it"):
        unpack.install_collection(collection(tmp_path / "songs"), lambda: tmp_path / "x.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"x.zip", ".songs.lock"}


def test_names_in_a_zip_that_lead_outside_stay_inside(tmp_path):
    names = ["../../escape", "/songs/b.mp3", "songs/../../escape"]
    (tmp_path / "x.zip").write_bytes(zipped({"songs/a.mp3": b"a"} | {name: b"x" for name in names}))
    unpack.install_collection(collection(tmp_path / "inner" / "songs"), lambda: tmp_path / "x.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"x.zip", "inner"}
    assert {path.name for path in (tmp_path / "inner").iterdir()} == {"songs", ".songs.lock"}


def test_a_disk_without_room_for_the_download_and_its_content_is_told_before(server, tmp_path, monkeypatch):
    archive = server.archive("x.zip", GOOD)
    usage = unpack.shutil._ntuple_diskusage
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda path: usage(10**9, 0, 10_000 + len(GOOD) - 1))
    with pytest.raises(UserError, match=r"GB free; music may need 0\.0 GB: set data\.root to a folder with room"):
        install_from_web(archive, collection(tmp_path / "songs"))
    assert not server.asked


def test_fma_is_fetched_as_far_as_it_is_missing(server, tmp_path, monkeypatch, fma_tables):
    audio = zipped({f"fma_small/000/{n:06d}.mp3": b"" for n in (2, 5)} | {"fma_small/README.txt": b"FMA"})
    archives = {
        "metadata": server.archive("fma_metadata.zip", zipped(fma_tables)),
        "small": server.archive("fma_small.zip", audio),
    }
    monkeypatch.setattr(fma, "ARCHIVES", fma.ARCHIVES | archives)
    cfg = genre.compose("data=fma", f"data.root={tmp_path / 'fma'}", "data.download=true", "folder=x", "name=x")
    for _ in range(2):
        assert [track.name for track in read_catalogue(train_settings(cfg).data).tracks] == ["000002", "000005"]
    assert [path for path, _ in server.asked] == ["/fma_metadata.zip", "/fma_small.zip"]
    (tmp_path / "fma" / "fma_small").rename(tmp_path / "fma" / "fma_medium")
    read_fma(tmp_path / "fma", download=True)  # its excerpts may lie in the folder of a larger subset
    assert len(server.asked) == 2


@pytest.fixture
def fma_tables():
    """Two tracks in the two tables that are read."""
    columns = [("", ""), *fma.FMA_COLUMNS]
    header = [",".join(cell[row] for cell in columns) for row in (0, 1)]
    rows = [f"{n},training,small,Rock,[12],Song {n},The {n}s,Album,2009-01-05" for n in (2, 5)]
    tracks = "\n".join([*header, "track_id,,,,,,,,", *[row.replace("[12]", '"[12]"') for row in rows]])
    return {
        "fma_metadata/tracks.csv": tracks.encode(),
        "fma_metadata/genres.csv": b"genre_id,#tracks,parent,title,top_level\n12,2,0,Rock,12\n",
    }


def test_ballroom_is_fetched_once(server, tmp_path, monkeypatch):
    files = {f"BallroomData/{dance}/Media-10390{n}.wav": b"" for n, dance in enumerate(("Waltz", "Tango"))}
    monkeypatch.setattr(ballroom, "ARCHIVE", server.archive("data1.tar.gz", tarred(files, "w:gz"), "md5"))
    for _ in range(2):
        tracks = read_ballroom(tmp_path / "new", download=True).tracks
        assert [track.genres for track in tracks] == [("Waltz",), ("Tango",)]
    assert len(server.asked) == 1
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"BallroomData", ".BallroomData.lock"}


@pytest.mark.parametrize(("quality", "kind", "suffix"), [("low", "audio-low", ".low.mp3"), ("full", "audio", ".mp3")])
def test_the_folders_of_mtg_jamendo_that_are_missing_are_fetched(server, tmp_path, monkeypatch, quality, kind, suffix):
    write_jamendo_lists(tmp_path, [200, 201])
    monkeypatch.setattr(jamendo, "JAMENDO_ADDRESS", server.address)
    names = {n: f"raw_30s_{kind}-{n % 100:02d}.tar" for n in (200, 201)}
    served = {
        n: server.archive(f"{kind}/{name}", tarred({f"{n % 100:02d}/{n}{suffix}": b"x"}), "sha256")
        for n, name in names.items()
    }
    sums = "".join(f"{served[n].checksum.removeprefix('sha256:')} {name}\n" for n, name in names.items())
    (tmp_path / "data" / "download").mkdir()
    (tmp_path / "data" / "download" / f"raw_30s_{kind}_sha256_tars.txt").write_text(sums)
    (tmp_path / "audio" / "00").mkdir(parents=True)
    (tmp_path / "audio" / "00" / f"200{suffix}").write_bytes(b"mine")
    monkeypatch.setitem(jamendo.QUALITIES, quality, (kind, 10**6))
    paths = [track.path for track in read_mtg_jamendo(tmp_path, download=True, quality=quality).tracks]
    assert [path.read_bytes() for path in paths] == [b"mine", b"x"]
    assert [path for path, _ in server.asked] == [f"/{kind}/{names[201]}"]


def write_jamendo_lists(root: Path, numbers: list[int]) -> None:
    for split in range(jamendo.OFFICIAL_SPLITS):
        folder = root / "data" / "splits" / f"split-{split}"
        folder.mkdir(parents=True)
        for subset in jamendo.LISTS:
            rows = [f"track_{n:07d}\tartist_1\talbum_1\t{n % 100:02d}/{n}.mp3\t99.0\tgenre---rock" for n in numbers]
            lines = ["\t".join(jamendo.LIST_COLUMNS), *(rows if subset == "train" else [])]
            (folder / f"autotagging_genre-{subset}.tsv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"there is no .*raw_30s_audio-low_sha256_tars\.txt; data\.root should be a copy .*: git clone https"),
        ("<html>", r"audio-low_sha256_tars\.txt is no list of checksums and archives; fetch the repository again"),
    ],
)
def test_a_folder_that_is_no_copy_of_mtg_jamendos_repository_is_a_user_error(tmp_path, text, message):
    if text:
        (tmp_path / "data" / "download").mkdir(parents=True)
        (tmp_path / "data" / "download" / "raw_30s_audio-low_sha256_tars.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_mtg_jamendo(tmp_path, download=True)

"""The page's interface: what a model says about a song, bounds, broken files, and that nothing of a song stays."""

import asyncio
import base64
import io
import threading
import time

import httpx
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from starlette.testclient import TestClient

from genre.demo import app as interface
from genre.demo.app import build_app

RATE = 22_050


def waveform(song):
    return torch.from_numpy(soundfile.read(io.BytesIO(song), dtype="float32")[0])


def wav(samples, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def pixels(url):
    """(height, width, 3) of a PNG in a data URL."""
    kind, _, content = url.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def request_directly(app, messages, path="/analysis"):
    """Give an endless or broken request to the application; return its answer and how many messages it read."""
    sent, read = [], 0

    async def receive():
        nonlocal read
        read += 1
        return messages(read)

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    asyncio.run(app({**scope, "http_version": "1.1"}, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body, read


def test_the_answer_is_what_the_model_says(client, candidate, song):
    answer = client.post("/analysis", content=song).json()
    assert answer["seconds"] == 4 and len(answer["peaks"]) == 400 and max(answer["peaks"]) == 1
    (said,) = answer["models"]
    model, samples = candidate.model, waveform(song)
    expected = torch.tensor(model.predict(samples, RATE).probabilities)
    torch.testing.assert_close(torch.tensor(said["probabilities"]), expected)
    spans, over_time = model.over_time(samples)
    assert said["spans"] == spans.tolist()
    torch.testing.assert_close(torch.tensor(said["over_time"]), over_time, atol=1e-5, rtol=0)
    assert tuple(said["predicted"]) == model.predicted_genres(expected.tolist())
    assert said["uncertain"] == model.is_uncertain(expected.tolist())
    assert bool(said["notes"]) is said["uncertain"]


def test_the_spectrogram_is_the_pipelines_low_frequencies_at_the_bottom(client, candidate):
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(4 * RATE) / RATE)
    (said,) = client.post("/analysis", content=wav(tone)).json()["models"]
    picture = pixels(said["spectrogram"]).sum(axis=2)
    log_mel = candidate.model.spectrogram.log_mel
    assert picture.shape == (log_mel.n_mels, 1 + 4 * RATE // log_mel.hop_length)
    edges = log_mel.band_edges()
    loudest = len(picture) - 1 - int(picture[:, picture.shape[1] // 2].argmax())
    assert edges[loudest] < 300 < edges[loudest + 2]
    assert [hertz for hertz, _ in said["ticks"]] == [512, 1024, 2048, 4096]
    assert all(0 < height < 1 for _, height in said["ticks"])


def test_models_answer_side_by_side(candidate, temporary, song):
    client = TestClient(build_app([candidate, candidate], "localhost", 1, 10), base_url="http://localhost")
    one, other = client.post("/analysis", content=song).json()["models"]
    assert one == other
    described = client.get("/models").json()
    assert [model["name"] for model in described["models"]] == ["mine", "mine"]
    assert (described["max_bytes"], described["max_seconds"]) == (1_000_000, 10)


def test_evidence_for_a_genre_covers_the_song(client, candidate, song):
    said = client.post("/evidence?model=0&genre=rock", content=song)
    height, width, _ = pixels(said.json()["map"]).shape
    assert height == candidate.model.spectrogram.size and width == 4 * height


@pytest.mark.parametrize("query", ["", "model=0", "model=1&genre=rock", "model=-1&genre=rock", "model=0&genre=polka"])
def test_evidence_for_something_else_is_refused(client, song, query):
    assert client.post(f"/evidence?{query}", content=song).status_code == 404


def test_a_network_without_maps_offers_no_evidence(bundled, temporary, song):
    client = TestClient(build_app([bundled], "localhost", 1, 10), base_url="http://localhost")
    assert client.get("/models").json()["models"][0]["explains"] is False
    assert client.post("/evidence?model=0&genre=rock", content=song).status_code == 404


def test_an_announced_size_beyond_the_bound_is_refused(client, temporary):
    answer = client.post("/analysis", content=bytes(1_000_001))
    assert answer.status_code == 413
    assert answer.json() == {"error": "This file is too large; up to 1 MB are accepted (max_megabytes)."}


def test_an_endless_upload_is_refused_while_it_is_read(app, temporary):
    chunk = {"type": "http.request", "body": bytes(100_000), "more_body": True}
    status, body, read = request_directly(app, lambda number: chunk)
    assert status == 413 and b"too large" in body
    assert read == 11
    assert list(temporary.iterdir()) == []


def test_a_song_beyond_the_bound_is_refused_and_not_decoded_to_its_end(client, temporary, monkeypatch):
    decoded = []
    read_audio = interface.read_audio

    def counted(*arguments, **named):
        decoded.append(read_audio(*arguments, **named))
        return decoded[-1]

    monkeypatch.setattr(interface, "read_audio", counted)
    answer = client.post("/analysis", content=wav(0.1 * np.ones(8_000 * 60), 8_000))
    assert answer.status_code == 413
    assert answer.json() == {"error": "This song is too long; up to 10 s are accepted (max_seconds)."}
    assert len(decoded[0]) == pytest.approx(11 * RATE, abs=10)
    assert list(temporary.iterdir()) == []


def test_a_song_as_long_as_the_bound_is_accepted(client):
    assert client.post("/analysis", content=wav(0.1 * np.sin(np.arange(10 * RATE)))).status_code == 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "unreadable"),
        (b"no music", "unreadable: Format not recognised)."),
        (wav(np.zeros(2 * RATE)), "silent"),
        (wav(0.5 * np.ones(RATE // 5)), "shorter than 1 s (0.20 s)"),
        (wav(0.5 * np.ones(2 * RATE))[:-RATE], "truncated"),
    ],
    ids=["empty", "text", "silent", "short", "truncated"],
)
@pytest.mark.parametrize("path", ["/analysis", "/evidence?model=0&genre=rock"])
def test_a_broken_song_is_one_sentence(client, temporary, content, words, path):
    answer = client.post(path, content=content)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error.startswith("This song cannot be used (") and error.endswith(").") and words in error
    assert str(temporary) not in error
    assert list(temporary.iterdir()) == []


def test_an_upload_lies_in_one_file_while_it_is_computed_and_nowhere_afterwards(client, temporary, song, monkeypatch):
    seen = []
    monkeypatch.setattr(interface, "analysis", lambda *_: seen.extend(temporary.iterdir()) or {})
    assert client.post("/analysis", content=song).status_code == 200
    assert len(seen) == 1 and list(temporary.iterdir()) == []


def test_an_error_of_the_program_is_one_sentence_and_leaves_no_file(client, temporary, song, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(interface, "analysis", fail)
    answer = client.post("/analysis", content=song)
    assert answer.status_code == 500 and answer.json()["error"].startswith("The program failed on this song")
    assert list(temporary.iterdir()) == []


def test_one_song_is_computed_at_a_time_and_others_wait(app, song, monkeypatch):
    running, most, lock = 0, 0, threading.Lock()

    def slow(*_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return {}

    monkeypatch.setattr(interface, "analysis", slow)

    async def ask_thrice():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await asyncio.gather(*(client.post("/analysis", content=song) for _ in range(3)))

    assert [answer.status_code for answer in asyncio.run(ask_thrice())] == [200, 200, 200]
    assert most == 1


@pytest.mark.parametrize("whole", [True, False], ids=["after the upload", "during the upload"])
def test_nothing_is_computed_for_someone_who_has_gone(app, temporary, song, monkeypatch, whole):
    monkeypatch.setattr(interface, "analysis", lambda *_: pytest.fail("computed"))
    first = {"type": "http.request", "body": song, "more_body": not whole}
    status, _, _ = request_directly(app, lambda number: first if number == 1 else {"type": "http.disconnect"})
    assert status == 400 and list(temporary.iterdir()) == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_songs_are_posted(client, method):
    answer = client.request(method, "/analysis")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST" and answer.json()["error"]

"""The page in a browser, with real music."""

import threading
import time
from contextlib import contextmanager

import pytest
import torch
import uvicorn

import genre
from browser import CHROMIUM, Browser
from genre.data.audio import read_audio
from genre.demo.analysis import Candidate
from genre.demo.app import build_app
from genre.demo.serve import address, listen

BARS = """[...document.querySelectorAll(".panel")].map((panel) =>
    [...panel.querySelectorAll(".bars li")].map((row) =>
        [row.querySelector(".name").textContent, row.querySelector(".percent").textContent]))"""
RESULT = "document.body.dataset.state === 'result'"


@pytest.fixture
def served(candidate, bundled, temporary):
    """The address of a page with two models."""
    with serving([bundled, candidate]) as url:
        yield url


@contextmanager
def serving(candidates):
    """Serve a page with some models; its address."""
    app = build_app(candidates, "127.0.0.1", 20, 60)
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield address(listening)
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with Browser(tmp_path / "profile") as browser:
        yield browser


@pytest.mark.slow
def test_a_listener_sees_the_genres_of_a_song_at_400_and_1600_pixels(served, browser, bundled, temporary, shared):
    song = next((shared / "gtzan_mini").rglob("*.wav"))
    browser.open(served)
    browser.choose_file("#file", song)
    browser.wait_for(RESULT)
    waveform = torch.from_numpy(read_audio(song, bundled.model.sample_rate)).float() / 32768
    expected = dict(zip(bundled.model.genres, bundled.model(waveform[None])[0].tolist(), strict=True))
    first, second = browser.evaluate(BARS)
    assert [name for name, _ in first] == sorted(expected, key=expected.get, reverse=True) and len(second) == 3
    for name, percent in first:
        shown = 0 if percent == "<1 %" else float(percent.removesuffix(" %"))
        assert shown == pytest.approx(100 * expected[name], abs=1)
    for width in (400, 1600):
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("[...document.querySelectorAll('.mel')].every((image) => image.naturalWidth > 99)")
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_the_cursor_follows_a_click_and_evidence_is_shown_where_there_is_some(served, browser, music):
    browser.open(served)
    browser.choose_file("#file", music / "rock" / "rock.00003.wav")
    browser.wait_for(RESULT)
    browser.evaluate(
        """(() => {
            const plot = document.querySelector(".timeline"), box = plot.getBoundingClientRect();
            const clientX = box.left + box.width / 2;
            plot.dispatchEvent(new MouseEvent("click", { clientX, bubbles: true }));
        })()"""
    )
    assert browser.evaluate("document.querySelector('#audio').currentTime") == pytest.approx(2, abs=0.05)
    assert browser.evaluate("document.querySelector('.readout').textContent").startswith("at 0:0")
    offered = "[...document.querySelectorAll('.evidence')].map((label) => !label.hidden)"
    assert browser.evaluate(offered) == [False, True]
    browser.evaluate(
        """(() => {
            const choice = document.querySelector(".evidence:not([hidden]) select");
            choice.value = "rock";
            choice.dispatchEvent(new Event("change"));
        })()"""
    )
    browser.wait_for("document.querySelector('.explained .map')?.naturalWidth > 99")


@pytest.mark.slow
def test_an_exported_file_is_shown_without_a_choice_of_evidence(browser, onnx_file, temporary, music):
    with serving([Candidate("mine.onnx", genre.load(onnx_file))]) as url:
        browser.open(url)
        browser.choose_file("#file", music / "rock" / "rock.00003.wav")
        browser.wait_for(RESULT)
        browser.wait_for("document.querySelector('.mel').naturalWidth > 99")
        assert len(browser.evaluate(BARS)[0]) == 3
        assert browser.evaluate("document.querySelectorAll('.timeline path').length") == 3
        assert browser.evaluate("document.querySelector('.evidence').checkVisibility()") is False
        problems = ("Runtime.exceptionThrown", "Log.entryAdded")
        assert [event for event in browser.events if event["method"] in problems] == []


@pytest.mark.slow
def test_a_broken_file_is_a_sentence_and_a_recording_is_a_song(served, browser, tmp_path):
    (tmp_path / "broken.mp3").write_bytes(b"no music")
    browser.open(served)
    browser.choose_file("#file", tmp_path / "broken.mp3")
    browser.wait_for("!document.querySelector('#error').hidden")
    error = browser.evaluate("document.querySelector('#error').textContent")
    assert error == "broken.mp3: This song cannot be used (unreadable: Format not recognised)."
    browser.evaluate("document.querySelector('#record').click()")
    browser.wait_for("document.body.dataset.state === 'recording'")
    time.sleep(2)
    browser.evaluate("document.querySelector('#stop').click()")
    browser.wait_for(RESULT)
    assert browser.evaluate("document.querySelector('#title').textContent").startswith("Recording ")
    assert browser.evaluate("document.querySelector('#error').hidden")


@pytest.mark.slow
def test_the_browser_asks_the_server_alone_and_reports_no_error(served, browser, music):
    browser.open(served)
    browser.choose_file("#file", music / "rock" / "rock.00003.wav")
    browser.wait_for(RESULT)
    asked = [event["params"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
    addresses = [request["request"]["url"] for request in asked]
    assert addresses and all(url.startswith((served, "data:", "blob:")) for url in addresses)
    problems = ("Runtime.exceptionThrown", "Log.entryAdded")
    assert [event for event in browser.events if event["method"] in problems] == []

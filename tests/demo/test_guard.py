"""The browser may load nothing from elsewhere, and other sites may not ask."""

import re
from importlib import resources

import pytest
from starlette.testclient import TestClient

from genre.demo.app import FILES, build_app
from genre.demo.guard import HEADERS


@pytest.mark.parametrize("path", [*FILES, "/models", "/nowhere", "/analysis"])
def test_every_answer_forbids_other_addresses(client, path):
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
    assert set(" ".join(policy.values()).split()) == {"'none'", "'self'", "data:", "blob:"}
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", FILES)
def test_the_page_names_no_other_address_and_has_nothing_inline(client, path):
    answer = client.get(path)
    name, kind = FILES[path]
    assert answer.status_code == 200 and answer.headers["content-type"] == f"{kind}; charset=utf-8"
    text = resources.files("genre.demo").joinpath(name).read_text(encoding="utf-8")
    assert answer.text == text
    assert not re.search(r"""(https?|wss?)://|@import|url\(|["'(]//""", text)
    if kind == "text/html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=\"/)", text)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7860", "127.0.0.1:7860", "[::1]:7860"])
@pytest.mark.parametrize("listening", ["127.0.0.1", "localhost", "::1"])
def test_the_loopback_page_answers_to_its_names(candidate, host, listening):
    client = TestClient(build_app([candidate], listening, 1, 10), base_url="http://localhost")
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.0.7", "", "[x"]
)
def test_the_loopback_page_refuses_other_names(client, host):
    answer = client.get("/models", headers={"Host": host})
    assert answer.status_code == 403 and "localhost only" in answer.json()["error"]
    assert answer.headers["content-security-policy"]


def test_a_host_that_was_set_answers_to_any_name(candidate):
    client = TestClient(build_app([candidate], "0.0.0.0", 1, 10), base_url="http://studio.local:7860")
    assert client.get("/models").status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:7860", 200), ("https://evil.example", 403), ("null", 403), ("http://localhost:9999", 403)],
)
def test_another_site_may_not_ask(client, song, origin, status):
    assert client.post("/analysis", content=song, headers={"Origin": origin}).status_code == status

"""Downloads from a server on this machine: whole and checked, or not at all."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cskt.data.download import fetch, sha256_of_name
from cskt.errors import DataError

CONTENT = bytes(range(256)) * 4000  # a megabyte
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/gone":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path == "/short" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), Answers) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()


def test_a_download_is_reported_checked_and_not_repeated(server, tmp_path):
    told = []
    to = tmp_path / "deep" / "weights.pth"
    how = {"sha256": SHA256[:8], "size": len(CONTENT)}
    assert fetch(f"{server}/file", to, report=lambda *at: told.append(at), **how) == to
    assert to.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert fetch(f"{server}/gone", to, **how) == to, "it is there already"
    to.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"SHA-256 does not begin with \w+: delete it"):
        fetch(f"{server}/file", to, **how)


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("/file", {"sha256": "00"}, f"its SHA-256 is {SHA256}, not 00"),
        ("/file", {"size": 1000}, "more than the 0.0 MB expected"),
        ("/short", {}, "ended after 0.0 of 1.0 MB|cannot be downloaded"),
        ("/gone", {}, "cannot be downloaded .*Not Found"),
    ],
)
def test_what_is_not_as_expected_leaves_nothing_behind(server, tmp_path, path, change, message):
    with pytest.raises(DataError, match=message):
        fetch(server + path, tmp_path / "weights.pth", **({"sha256": SHA256, "size": len(CONTENT)} | change))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_a_message(tmp_path):
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("http://127.0.0.1:9/file", tmp_path / "weights.pth", sha256=SHA256, size=1)


def test_the_checksum_in_a_name():
    assert sha256_of_name("net-907ea3f9.pth") == "907ea3f9"
    with pytest.raises(ValueError, match="carries no checksum"):
        sha256_of_name("net-latest.pth")

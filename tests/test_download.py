"""Downloads from a server on this machine: whole and checked, or not at all."""

import hashlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from cskt.data.download import fetch, sha256_of_name
from cskt.errors import DataError

CONTENT = bytes(range(256)) * 4000  # a megabyte
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """A server that gives the file as its path says: whole, in parts that break off, with false lengths, ..."""

    asked: ClassVar = []

    def do_GET(self):
        path = self.path.rsplit("/", 1)[1]
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        type(self).asked.append((self.path, begin))
        if path == "gone":
            return self.send_error(404)
        if path == "leads_nowhere":
            return self.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n")
        if path == "no_http":
            return self.wfile.write(b"hello\r\n\r\n")
        if begin >= len(CONTENT):
            return self.send_error(416)
        whole = begin == 0 or path == "no_ranges"
        rest = CONTENT if whole else CONTENT[begin:]
        self.send_response(200 if whole else 206)
        if not whole:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(rest) + {"says_more": 100, "says_less": -100}.get(path, 0)))
        self.end_headers()
        # two parts of three, then the connection ends
        self.wfile.write(rest[: 2 * len(CONTENT) // 3] if path in ("breaks", "no_ranges") else rest)

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
        ("/says_less", {}, "its SHA-256 is .*: nothing was kept"),
        ("/gone", {}, "cannot be downloaded .*Not Found"),
        ("/leads_nowhere", {}, "cannot be downloaded .*Invalid IPv6"),
        ("/no_http", {}, "cannot be downloaded"),
    ],
)
def test_what_is_not_as_expected_leaves_nothing_behind(server, tmp_path, path, change, message):
    with pytest.raises(DataError, match=message):
        fetch(server + path, tmp_path / "weights.pth", **({"sha256": SHA256, "size": len(CONTENT)} | change))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["/breaks", "/says_more"])
def test_a_file_is_whole_by_its_checksum_and_goes_on_where_the_connection_broke(server, tmp_path, path):
    to, how = tmp_path / "weights.pth", {"sha256": SHA256, "size": len(CONTENT)}
    Answers.asked.clear()
    if path == "/breaks":
        with pytest.raises(DataError, match=r"ended after 0.7 of 1.0 MB: try again|cannot be downloaded"):
            fetch(server + path, to, **how)
        assert not to.exists()
    fetch(server + path, to, **how)
    assert to.read_bytes() == CONTENT
    assert [begin for _, begin in Answers.asked] == [0, 2 * len(CONTENT) // 3][: len(Answers.asked)]
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pth"]


def test_a_server_without_ranges_begins_again(server, tmp_path):
    to, how = tmp_path / "weights.pth", {"sha256": SHA256, "size": len(CONTENT)}
    for _ in range(2):
        with pytest.raises(DataError, match=r"ended after 0.7 of 1.0 MB|cannot be downloaded"):
            fetch(f"{server}/no_ranges", to, **how)
    assert (tmp_path / ".weights.pth.part").read_bytes() == CONTENT[: 2 * len(CONTENT) // 3]


@pytest.mark.parametrize("former", [b"of another file", CONTENT, CONTENT + b"and more"])
def test_what_an_earlier_download_left_is_checked_too(server, tmp_path, former):
    to, how = tmp_path / "weights.pth", {"sha256": SHA256, "size": len(CONTENT)}
    (tmp_path / ".weights.pth.part").write_bytes(former)
    if former != CONTENT:
        with pytest.raises(DataError, match="nothing was kept"):
            fetch(f"{server}/file", to, **how)
    assert fetch(f"{server}/file", to, **how).read_bytes() == CONTENT


def test_a_second_download_of_one_file_is_refused(server, tmp_path):
    to = tmp_path / "weights.pth"
    hold = f"from cskt import locks; locks.hold({str(tmp_path)!r}, '.weights.pth.lock'); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold], text=True, **pipes) as other:
        other.stdout.readline()
        with pytest.raises(DataError, match="is at work in this folder"):
            fetch(f"{server}/file", to, sha256=SHA256, size=len(CONTENT))
        other.communicate("\n")
    assert fetch(f"{server}/file", to, sha256=SHA256, size=len(CONTENT)) == to


def test_a_proxy_of_the_environment_is_asked(server, tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server)
    Answers.asked.clear()
    fetch("http://elsewhere.invalid/file", tmp_path / "weights.pth", sha256=SHA256, size=len(CONTENT))
    assert Answers.asked == [("http://elsewhere.invalid/file", 0)]


def test_a_server_that_is_not_there_is_a_message(tmp_path):
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("http://127.0.0.1:9/file", tmp_path / "weights.pth", sha256=SHA256, size=1)


def test_the_checksum_in_a_name():
    assert sha256_of_name("net-907ea3f9.pth") == "907ea3f9"
    with pytest.raises(ValueError, match="carries no checksum"):
        sha256_of_name("net-latest.pth")

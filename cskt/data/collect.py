"""Pictures from the web: the metadata of a photo collection, a polite download that can go on, and boxes by a detector.

Metadata are a JSON list (or an object with such a list under "photos" or "images") of objects with "url" and, where
known, "id", "title", "tags", "license" and "sha256". What one may do with a picture its license says, which is kept.
"""

import hashlib
import http.client
import io
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import urllib.robotparser
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

import pandas as pd
import torch
from PIL import Image

from cskt.data.datasets import read_image
from cskt.data.pictures import formats
from cskt.data.reading import read_csv, read_text
from cskt.errors import DataError
from cskt.files import fingerprint, write_bytes, write_csv
from cskt.locks import held
from cskt.progress import bar
from cskt.untrusted import read_plain

AGENT = "cskt (research; one request at a time)"
MOST_BYTES = 50 * 2**20
LONGEST_WAIT = 600.0  # seconds, whatever a server asks for
_LONGEST_ID = 100  # letters and digits: it becomes a file's name
_COLUMNS = ["image", "url", "title", "license", "sha256"]
_REPORT = ("image", "url", "license", "status", "sha256", "bytes")


def read_metadata(path: str | Path, words: Collection[str] = ()) -> pd.DataFrame:
    """Read the metadata of a photo collection as a list of downloads.

    Args:
        path: the JSON file.
        words: keep the photos whose title or tags have one of these words (small letters count as large); empty: all.

    Returns:
        One row per photo: image (a unique file name), url, title, license, sha256 ("" where not known).

    Raises:
        DataError: not of this form, an address that is not http(s), or an id that occurs twice.
    """
    text = read_text(Path(path))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, a number of thousands of digits
        raise DataError(f"{path}: not JSON of photos: {error}") from None
    if isinstance(content, dict):
        content = content.get("photos", content.get("images"))
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of photos, or an object with one under 'photos' or 'images'")
    rows = []
    for index, photo in enumerate(content):
        url = photo.get("url") if isinstance(photo, dict) else None
        address = _address(url)
        if address is None:
            raise DataError(f"{path}: photo {index}: expected 'url' to be an http(s) address, found {url!r}")
        if not all(isinstance(photo.get(key, ""), str | int | None) for key in ("id", "title", "license", "sha256")):
            raise DataError(f"{path}: photo {index}: expected id, title, license and sha256 to be texts")
        photo = {key: value for key, value in photo.items() if value is not None}
        text = f"{photo.get('title', '')} {photo.get('tags', '')}".lower()
        if words and not any(word.lower() in text for word in words):
            continue
        stem = str(photo.get("id", hashlib.sha256(url.encode()).hexdigest()[:16]))
        if len(stem) > _LONGEST_ID or not stem.replace("-", "").replace("_", "").isalnum():
            raise DataError(f"{path}: photo {index}: expected an 'id' of letters and digits, found {stem[:200]!r}")
        suffix = PurePosixPath(address.path).suffix.lower()
        suffix = suffix if suffix in (".jpg", ".jpeg", ".png", ".webp") else ".jpg"
        told = [str(photo.get(key, "")) for key in ("title", "license", "sha256")]
        # half a character of JSON ("\\ud800") could not be written into a table
        title, licence, digest = (text.encode("utf-8", "replace").decode() for text in told)
        rows.append((f"{stem}{suffix}", url, title, licence, digest.lower()))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    if (twice := table["image"].duplicated()).any():
        raise DataError(f"{path}: the id of {table.loc[twice, 'image'].iloc[0]!r} occurs twice")
    return table


def _address(url: object) -> urllib.parse.SplitResult | None:
    """The parts of an http(s) address; None if it is none."""
    try:
        address = urllib.parse.urlsplit(url) if isinstance(url, str) and url.encode() else None
        found = address and address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:  # of brackets that hold no IPv6 address, a port that is no number, and of half a character
        return None
    return address if found else None


def download(
    table: pd.DataFrame,
    folder: str | Path,
    *,
    pause: float = 1.0,
    attempts: int = 3,
    timeout: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
) -> pd.DataFrame:
    """Download pictures one at a time, and go on where an earlier call was.

    A picture whose file has the checksum of `downloads.csv` is kept; what a server said is not there, or is no
    picture, is not asked for again, and what had a wrong checksum only when the metadata have another one. Between two
    requests to one server there is a pause; a busy one (429, 5xx, no answer) is asked again after its Retry-After, or
    after twice as long each time. robots.txt is obeyed.

    Args:
        table: by `read_metadata`.
        folder: of the pictures, and of downloads.csv: image, url, license, status, sha256, bytes.
        pause: between two requests to one server, seconds.
        attempts: how often a busy server is asked.
        timeout: of a request, seconds.
        sleep: waits some seconds.

    Returns:
        downloads.csv: status is "done", "refused" (robots.txt), "missing", "not a picture", "wrong checksum" (sha256 is
        then that of what came), "too large", or "failed" (to be tried again by the next call).

    Raises:
        DataError: the folder has a downloads.csv of another form, or another process downloads into it.
    """
    with held(folder):
        return _download(table, Path(folder), pause, attempts, timeout, sleep)


def _download(table, folder, pause, attempts, timeout, sleep) -> pd.DataFrame:
    report = folder / "downloads.csv"
    known = read_csv(report, _REPORT).columns if report.is_file() else {}
    former_rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
    rows: dict[str, dict[str, str]] = {row["image"]: row for row in former_rows}
    asked: dict[str, float] = {}
    robots: dict[str, urllib.robotparser.RobotFileParser | None] = {}
    for photo in bar(list(table.itertuples(index=False)), desc="download", unit="image", leave=False):
        path = folder / photo.image
        former = rows.get(photo.image)
        if former is not None and former["url"] == photo.url and former["status"] != "failed":
            agreed = photo.sha256 in ("", former["sha256"])  # the metadata may have another one by now
            intact = agreed and path.is_file() and fingerprint(path) == former["sha256"]
            if {"done": intact, "wrong checksum": not agreed}.get(former["status"], True):
                continue
        server = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(photo.url))
        if server not in robots:
            robots[server] = _robots(server, timeout)
            asked[server] = time.monotonic()
        rules = robots[server]
        if rules is None:
            status, content = "failed", b""
        elif not rules.can_fetch(AGENT, photo.url):
            status, content = "refused", b""
        else:
            own_pause = max(pause, min(float(rules.crawl_delay(AGENT) or 0), LONGEST_WAIT))
            status, content = _fetch(photo.url, server, asked, own_pause, attempts, timeout, sleep)
        digest = hashlib.sha256(content).hexdigest() if content else ""
        if status == "done" and photo.sha256 and digest != photo.sha256:
            status = "wrong checksum"
        elif status == "done" and not _is_picture(content):
            status = "not a picture"
        if status == "done":
            write_bytes(path, content)
        rows[photo.image] = {
            "image": photo.image, "url": photo.url, "license": photo.license, "status": status,
            "sha256": digest if status in ("done", "wrong checksum") else "", "bytes": str(len(content)),
        }  # fmt: skip
        # after each, so that an interrupted call loses nothing
        write_csv(report, pd.DataFrame(rows.values()))
    return pd.DataFrame([rows[name] for name in table["image"]], columns=list(_REPORT))


def _fetch(url, server, asked, pause, attempts, timeout, sleep) -> tuple[str, bytes]:
    """Ask for a picture until there is an answer: status and content."""
    for attempt in range(attempts):
        wait = asked.get(server, -pause) + pause - time.monotonic()
        if wait > 0:
            sleep(wait)
        asked[server] = time.monotonic()
        delay = pause * 2**attempt
        try:
            # as browsers do with spaces and letters beyond ASCII
            quoted = urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
            request = urllib.request.Request(quoted, headers={"User-Agent": AGENT})
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                content = answer.read(MOST_BYTES + 1)
                complete = answer.length in (None, 0)
            if len(content) > MOST_BYTES:
                return "too large", b""
            if complete:
                return "done", content
        except urllib.error.HTTPError as error:
            if error.code != 429 and error.code < 500:
                return "missing", b""
            told = error.headers.get("Retry-After", "")
            delay = min(float(told), LONGEST_WAIT) if re.fullmatch("[0-9]{1,9}", told) else delay
        except (OSError, ValueError, http.client.HTTPException):  # no connection, a broken answer
            pass
        if attempt < attempts - 1:
            sleep(delay)
    return "failed", b""


def _robots(server: str, timeout: float) -> urllib.robotparser.RobotFileParser | None:
    """What a server allows; None where it is too busy to say (RFC 9309: then nothing is asked of it)."""
    rules = urllib.robotparser.RobotFileParser()
    try:
        request = urllib.request.Request(f"{server}/robots.txt", headers={"User-Agent": AGENT})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            rules.parse(answer.read(2**20).decode("utf-8", "replace").splitlines())
    except urllib.error.HTTPError as error:
        if error.code == 429 or error.code >= 500:
            return None
        rules.allow_all = True
    except (OSError, ValueError, http.client.HTTPException):
        rules.allow_all = True
    return rules


def _is_picture(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=formats()) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def faster_rcnn(weights: str | Path = "DEFAULT") -> torch.nn.Module:
    """torchvision's Faster R-CNN (ResNet-50, FPN), with the weights it publishes ("DEFAULT": downloaded) or of a file.

    Raises:
        DataError: no such file, or one that does not hold this detector's weights.
    """
    if weights == "DEFAULT":
        from torchvision.models import detection

        return detection.fasterrcnn_resnet50_fpn_v2(weights="DEFAULT").eval()
    if not Path(weights).is_file():
        raise DataError(f"{weights}: no such file of detector weights")
    net, state = detection_net(), read_plain(weights)
    try:
        net.load_state_dict(state)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise DataError(f"{weights}: not the weights of this detector ({type(error).__name__})") from error
    return net.eval()


def detection_net() -> torch.nn.Module:
    """The detector with random weights."""
    from torchvision.models import detection

    return detection.fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)


def category(name: str) -> int:
    """The number that torchvision's detectors give a COCO category ("horse", "sheep", "bear", "giraffe", ...)."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_V2_Weights

    names = FasterRCNN_ResNet50_FPN_V2_Weights.DEFAULT.meta["categories"]
    if name not in names:
        raise DataError(f"no COCO category {name!r}; there are {', '.join(n for n in names if n[0].islower())}")
    return names.index(name)


@torch.no_grad()
def find_boxes(detector: torch.nn.Module, folder: str | Path, label: int, least: float = 0.95) -> pd.DataFrame:
    """Find the best box of a category in each downloaded picture.

    Args:
        detector: a torchvision detector, in evaluation mode.
        folder: of the pictures and their downloads.csv.
        label: the category's number.
        least: score below which a box is none.

    Returns:
        One row per picture with a box: img, x, y, w, h (image pixels), score: a box table as `read_folder` takes it.
    """
    folder = Path(folder)
    listed = pd.read_csv(folder / "downloads.csv", dtype=str, keep_default_na=False)
    rows = []
    for name in bar(list(listed.loc[listed["status"] == "done", "image"]), desc="boxes", unit="image", leave=False):
        picture = torch.frombuffer(bytearray((image := read_image(folder / name)).tobytes()), dtype=torch.uint8)
        tensor = picture.view(image.height, image.width, 3).permute(2, 0, 1).float() / 255
        (found,) = detector([tensor])
        good = (found["labels"] == label) & (found["scores"] >= least)
        if good.any():
            best = found["scores"].masked_fill(~good, -1).argmax()
            left, top, right, bottom = found["boxes"][best].tolist()
            rows.append((name, left, top, right - left, bottom - top, float(found["scores"][best])))
    return pd.DataFrame(rows, columns=["img", "x", "y", "w", "h", "score"])

"""Damaged inputs: a good file of each kind, what is done to it, and what must come of it.

Each `Damage` says how its reader must answer: with an error (a line that names the file and what was expected), by
leaving the picture out and saying so ("excluded"), by keeping and reporting it ("kept"), or with the very numbers of
the undamaged file ("same"). tests/test_damage.py holds the readers to it.
"""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from builders import SHAPE, dots
from PIL import Image

Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Damage:
    """One damaged input.

    Attributes:
        kind: which good files and which reader; a key of `test_damage.READERS`.
        file: the file that is changed, below the folder of the good files.
        what: what is the matter, in a few words.
        change: the file's bytes -> damaged bytes; or None: the file is missing.
        outcome: "error", "excluded", "kept" or "same".
        message: a regular expression that the error, or the report, must match.
        name: what the damaged file is called, if that is part of the damage.
    """

    kind: str
    file: str
    what: str
    change: Change | None
    outcome: str
    message: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}-{self.file}-{self.what}"


def to(text: str | bytes) -> Change:
    """Another content."""
    return lambda _: text.encode() if isinstance(text, str) else text


def swap(old: str, new: str, count: int = 1) -> Change:
    """The same content with a part of it replaced."""

    def change(content: bytes) -> bytes:
        assert old.encode() in content, f"{old!r} is not in the good file"
        return content.replace(old.encode(), new.encode(), count)

    return change


# --- good files

POINTS = np.round(np.array([10.0, 8.0]) + SHAPE * 24, 2)
PICTURE = dots(POINTS, 48, 40)
BOX = (8.0, 6.0, 28.0, 28.0)


def animalweb(home: Path) -> None:
    """Two faces in AnimalWeb's layout."""
    (home / "images").mkdir()
    rows = "".join(f"{x} {y}\n" for x, y in POINTS)
    for name in ("cat_1", "cat_2"):
        Image.fromarray(PICTURE).save(home / "images" / f"{name}.png")
        (home / "images" / f"{name}.pts").write_text(f"version: 1\nn_points: 9\n{{\n{rows}}}\n")
    box = ",".join(map(str, BOX))
    (home / "bbox.csv").write_text(f"img,x,y,w,h\ncat_1.png,{box}\ncat_2.png,{box}\n")
    (home / "all.txt").write_text("cat_1.png\ncat_2.png\n")


def pts_labels(home: Path) -> None:
    """Two pictures with their .pts files beside them."""
    pictures(home)
    rows = "".join(f"{x} {y}\n" for x, y in POINTS)
    for name in ("cat_1", "cat_2"):
        (home / f"{name}.pts").write_text(f"version: 1\nn_points: 9\n{{\n{rows}}}\n")


def landmark_csv(home: Path) -> None:
    """The same two faces in one table."""
    header = ",".join(f"p{k}_{axis}" for k in range(9) for axis in "xy")
    values = ",".join(map(str, [*BOX, *POINTS.ravel().tolist()]))
    text = f"image,x,y,w,h,{header}\ncat_1.png,{values}\ncat_2.png,{values}\n"
    (home / "landmarks.csv").write_text(text)


NAMES = ("left_eye", "right_eye", "nose")
THREE = POINTS[[0, 3, 4]]


def pictures(home: Path) -> None:
    """Two pictures without labels."""
    for name in ("cat_1", "cat_2"):
        Image.fromarray(PICTURE).save(home / f"{name}.png")


def coco(home: Path) -> None:
    """The same two faces as COCO keypoints."""
    pictures(home)
    keypoints = [value for x, y in THREE.tolist() for value in (x, y, 2)]
    content = {
        "images": [{"id": k, "file_name": f"cat_{k}.png", "width": 48, "height": 40} for k in (1, 2)],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 7, "bbox": list(BOX), "keypoints": keypoints} for k in (1, 2)
        ],
        "categories": [{"id": 7, "name": "cat", "keypoints": list(NAMES)}],
    }
    (home / "coco.json").write_text(json.dumps(content))


def deeplabcut(home: Path) -> None:
    """The same two faces as DeepLabCut's CSV."""
    pictures(home)
    values = ",".join(map(str, THREE.ravel().tolist()))
    parts = ",".join(f"{name},{name}" for name in NAMES)
    head = f"scorer,{','.join(['Ann'] * 6)}\nbodyparts,{parts}\ncoords,{','.join(['x,y'] * 3)}\n"
    (home / "labels.csv").write_text(head + f"cat_1.png,{values}\ncat_2.png,{values}\n")


def sleap(home: Path) -> None:
    """The same two faces as SLEAP's analysis CSV."""
    pictures(home)
    values = ",".join(f"{x},{y},1" for x, y in THREE.tolist())
    names = ",".join(f"{name}.{axis}" for name in NAMES for axis in ("x", "y", "score"))
    (home / "labels.csv").write_text(f"track,frame_idx,instance.score,{names}\n,1,,{values}\n,2,,{values}\n")


def own_csv(home: Path) -> None:
    """The same two faces as a table of ours."""
    pictures(home)
    values = ",".join(map(str, [*BOX, *THREE.ravel().tolist()]))
    names = ",".join(f"{name}_{axis}" for name in NAMES for axis in "xy")
    (home / "labels.csv").write_text(f"image,x,y,w,h,{names}\ncat_1.png,{values}\ncat_2.png,{values}\n")


def npy(home: Path) -> None:
    """Five landmarks of the horse set."""
    np.save(home / "horse.npy", np.column_stack([POINTS[:5], np.ones(5)]))


def params(home: Path) -> None:
    """A params file."""
    (home / "own.yaml").write_text("SETTING: own\nMETHOD:\n  LR: 0.0001\n  STEPS: 300\n")


def scheme(home: Path) -> None:
    """A scheme file."""
    text = "name: damage3\nlandmarks: [left_eye, right_eye, nose]\nflip_pairs:\n  - [left_eye, right_eye]\n"
    (home / "own.yaml").write_text(text + "same_as:\n  nose: nose\n")


def disagreements(home: Path) -> None:
    """The two tables that mining reads."""
    for name in ("human", "flip"):
        (home / f"{name}.csv").write_text("img,nme\ncat_1.png,0.01\ncat_2.png,0.02\n")


# --- pictures


def saved(format: str, mode: str = "", **options) -> Change:
    """The picture in another format, or of another kind."""

    def change(_: bytes) -> bytes:
        buffer = io.BytesIO()
        picture = Image.fromarray(PICTURE)
        (picture.convert(mode) if mode else picture).save(buffer, format, **options)
        return buffer.getvalue()

    return change


def cut(format: str, share: float) -> Change:
    """The picture in some format, truncated."""
    return lambda content: (whole := saved(format)(content))[: int(len(whole) * share)]


def turned(orientation: int) -> Change:
    """The picture stored as EXIF orientation `orientation` has it, so that it is shown as it was."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]

    def change(_: bytes) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        Image.fromarray(PICTURE).transpose(back).save(buffer, "PNG", exif=exif)
        return buffer.getvalue()

    return change


def deep(dtype: str, format: str) -> Change:
    """The picture in gray, with more than 8 bits."""

    def change(_: bytes) -> bytes:
        gray = np.asarray(Image.fromarray(PICTURE).convert("L"))
        values = {"uint16": gray.astype("uint16") * 257, "int32": gray.astype("int32") << 20}.get(dtype, gray / 255)
        buffer = io.BytesIO()
        Image.fromarray(values.astype(dtype)).save(buffer, format)
        return buffer.getvalue()

    return change


def animated(format: str) -> Change:
    """The picture as the first frame of three."""
    return lambda content: saved(
        format, save_all=True, append_images=[Image.new("RGB", (48, 40), (k, 0, 0)) for k in (9, 99)]
    )(content)


def claims(width: int, height: int) -> Change:
    """A PNG whose header claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return to(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))


def flipped(format: str, seed: int) -> Change:
    """The picture in some format with 40 bytes behind the header changed."""

    def change(content: bytes) -> bytes:
        whole, rng = bytearray(saved(format)(content)), np.random.default_rng(seed)
        for place in rng.integers(len(whole) // 4, len(whole), 40):
            whole[place] ^= int(rng.integers(1, 255))
        return bytes(whole)

    return change


_CUT = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp"}
_BAD = r"not a readable image \(.+\)|cannot be read as a picture: .+"
PICTURES = [
    *(
        Damage("pictures", "cat_1.png", f"{share} {format}", cut(format, share), "excluded", _BAD, f"cat_1.{end}")
        for format, end in _CUT.items()
        for share in (0.02, 0.4, 0.9)
    ),
    *(Damage("pictures", "cat_1.png", f"EXIF {k}", turned(k), "same") for k in range(2, 9)),
    *(
        Damage("pictures", "cat_1.png", f"{mode} {format}", saved(format, mode), "same", name=f"cat_1.{_CUT[format]}")
        for mode, format in (("CMYK", "JPEG"), ("CMYK", "TIFF"), ("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGB", "JPEG"))
    ),
    *(
        Damage("gray", "cat_1.png", f"{dtype} {format}", deep(dtype, format), "same", name=f"cat_1.{end}")
        for dtype, format, end in (("uint16", "PNG", "png"), ("uint16", "TIFF", "tif"), ("uint16", "PPM", "pgm"))
    ),
    *(
        Damage("pictures", "cat_1.png", f"{dtype} TIFF", deep(dtype, "TIFF"), "excluded", "32 bits.*save it with 8",
               "cat_1.tif")
        for dtype in ("int32", "float32")
    ),
    *(
        Damage("pictures", "cat_1.png", f"animated {format}", animated(format), "same", name=f"cat_1.{end}")
        for format, end in (("PNG", "png"), ("TIFF", "tif"))
    ),
    *(Damage("pictures", "cat_1.png", f"is a {f}", saved(f, quality=95), "same") for f in ("JPEG", "TIFF", "BMP")),
    Damage("pictures", "cat_1.png", "zero bytes", to(b""), "excluded", _BAD),
    Damage("pictures", "cat_1.png", "text", to("a cat"), "excluded", "no known format"),
    Damage("pictures", "cat_1.png", "an EPS file", saved("EPS"), "excluded", "no known format", "cat_1.jpg"),
    Damage("pictures", "cat_1.png", "a zip", to(b"PK\x03\x04" + bytes(99)), "excluded", "no known format"),
    Damage("pictures", "cat_1.png", "30,000 px a side", claims(30_000, 30_000), "excluded", "900000000 pixels"),
    Damage("pictures", "cat_1.png", "150 million px", claims(30_000, 5_001), "excluded", "30000 x 5001 pixels"),
    Damage("pictures", "cat_1.png", "70 million px wide", claims(70_000_000, 2), "excluded", "70000000 x 2 pixels"),
    Damage("pictures", "cat_1.png", "pixels missing", claims(64, 64), "excluded", "truncated"),
    Damage("pictures", "cat_1.png", "no width", claims(0, 10), "excluded", _BAD),
    *(Damage("pictures", "cat_1.png", f"bytes changed {k}", flipped("PNG", k), "excluded", _BAD) for k in range(4)),
    Damage("animalweb", "images/cat_1.png", "1 x 1", lambda _: _one_pixel(), "excluded", "picture is a single pixel"),
    Damage("pictures", "cat_1.png", "1 x 1", lambda _: _one_pixel(), "excluded", "the picture is a single pixel"),
    Damage("animalweb", "images/cat_1.png", "zero bytes", to(b""), "excluded", "not a readable image: no known format"),
    Damage("animalweb", "images/cat_1.png", "missing", None, "excluded", "image file is missing"),
]  # fmt: skip


def _one_pixel() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


# --- landmark files, box tables and lists

_PTS = "images/cat_1.pts"
_X, _Y = POINTS[0]
_FIRST = f"{_X} {_Y}\n"
PTS = [
    Damage("animalweb", _PTS, what, change, outcome, message)
    for what, change, outcome, message in [
        ("missing", None, "excluded", "landmark file is missing"),
        ("zero bytes", to(""), "error", "line 1: expected 'version: 1', found the end"),
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("old Mac line ends", lambda c: c.replace(b"\n", b"\r"), "same", ""),
        ("byte order mark", lambda c: b"\xef\xbb\xbf" + c, "same", ""),
        ("UTF-16", lambda c: c.decode().encode("utf-16"), "error", "line 1: not UTF-8 text"),
        ("binary", to(bytes(range(256))), "error", "not UTF-8 text"),
        ("tabs", lambda c: c.replace(b" ", b"\t"), "same", ""),
        ("header missing", swap("version: 1\n", ""), "error", "line 1: expected 'version: 1'"),
        ("68 points claimed", swap("n_points: 9", "n_points: 68"), "error", "line 2: .*as the landmark scheme has"),
        ("brace missing", swap("{\n", ""), "error", r"line 3: expected '\{'"),
        ("point missing", swap(_FIRST, ""), "error", r"line 13: expected '\}' after 9 landmarks"),
        ("point twice", swap(_FIRST, _FIRST * 2), "error", r"line 13: expected '\}' after 9"),
        ("point without y", swap(_FIRST, f"{_X}\n"), "error", "line 4: expected two numbers 'x y'"),
        ("three numbers", swap(_FIRST, f"{_X} {_Y} 1\n"), "error", "line 4: expected two numbers"),
        ("words", swap(_FIRST, "left eye\n"), "error", "line 4: expected two numbers 'x y', found 'left eye'"),
        ("decimal comma", swap(_FIRST, "16,0 15,2\n"), "error", "line 4: expected two numbers"),
        ("digits apart", swap(_FIRST, f"1_6 {_Y}\n"), "error", "line 4: expected two numbers"),
        ("inf", swap(_FIRST, f"inf {_Y}\n"), "error", "line 4: expected two numbers"),
        ("half nan", swap(_FIRST, f"nan {_Y}\n"), "error", "line 4: expected two numbers"),
        ("overflow", swap(_FIRST, f"1e999 {_Y}\n"), "error", "line 4: expected two numbers"),
        ("huge", swap(_FIRST, f"1e300 {_Y}\n"), "error", "'cat_1.png': .* lies at .*farther out than any picture"),
        ("outside", swap(_FIRST, f"4000 {_Y}\n"), "kept", "landmark outside the image"),
        ("x and y swapped", swap(_FIRST, "12.0 47.0\n"), "kept", "landmark outside the image"),
        ("rest behind", lambda c: c + b"more\n", "error", "line 14: expected the end of the file, found 'more'"),
        ("cut", lambda c: c[: len(c) // 2], "error", r"line 13: expected '\}'|line 8"),
    ]
]
_OK = f"cat_1.png,{','.join(map(str, BOX))}\n"
BOXES = [
    Damage("animalweb", "bbox.csv", what, change, outcome, message)
    for what, change, outcome, message in [
        ("missing", None, "error", "no such file"),
        ("zero bytes", to(""), "error", "line 1: expected columns img or image, x, y, w, h; found none"),
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("byte order mark", lambda c: b"\xef\xbb\xbf" + c, "same", ""),
        ("quoted", swap("cat_1.png", '"cat_1.png"'), "same", ""),
        ("spaces", swap("cat_1.png,8.0", "cat_1.png, 8.0 "), "same", ""),
        ("UTF-16", lambda c: c.decode().encode("utf-16"), "error", "not UTF-8"),
        ("UTF-16 without mark", lambda c: c.decode().encode("utf-16-le"), "error", "line 1: expected a column name"),
        ("Latin-1", lambda c: c + "kätzchen.png,1,1,9,9\n".encode("latin-1"), "error", "line 4: not UTF-8"),
        ("semicolons", lambda c: c.replace(b",", b";"), "error", "line 1: its fields are parted by semicolons"),
        ("tabs", lambda c: c.replace(b",", b"\t"), "error", "line 1: its fields are parted by tabs, expected commas"),
        ("no header", swap("img,x,y,w,h\n", ""), "error", "line 1: expected columns"),
        ("column missing", swap("img,x,y,w,h", "img,x,y,w,k"), "error", "line 1: expected columns"),
        ("column twice", swap("img,x,y,w,h", "img,x,y,w,w"), "error", "line 1: expected columns"),
        ("columns in another order", to("h,w,y,x,img\n28,28,6,8,cat_1.png\n28,28,6,8,cat_2.png\n"), "same", ""),
        (
            "field missing",
            swap(_OK, "cat_1.png,8,6,28\n"),
            "error",
            "line 2: expected 5 fields like the header, found 4",
        ),
        ("field too many", swap(_OK, _OK.strip() + ",1\n"), "error", "line 2: expected 5 fields"),
        ("decimal comma", swap(_OK, "cat_1.png,8,0,6,28,28\n"), "error", "line 2: expected 5 fields"),
        ("a word", swap("8.0", "eight"), "error", "line 2: expected a number as x, found 'eight'"),
        ("digits apart", swap("28.0", "2_8"), "error", "line 2: expected a number as w, found '2_8'"),
        ("an open quote", swap("cat_1.png", '"cat_1.png'), "error", "not CSV|expected"),
        ("name twice", lambda c: c + _OK.encode(), "error", "line 4: image 'cat_1.png' stands already on line 2"),
        ("name missing", swap("cat_1.png", "dog_1.png"), "excluded", "no box in bbox.csv"),
        ("blank", swap(",28.0", ","), "excluded", "box without a size"),
        ("nan", swap(",28.0", ",nan"), "excluded", "box without a size"),
        ("inf", swap(",28.0", ",inf"), "excluded", "box without a size"),
        ("negative", swap(",28.0", ",-28"), "excluded", "box without a size"),
        ("zero", swap(",28.0", ",0"), "excluded", "box without a size"),
        ("fractions of the whole", swap(_OK, "cat_1.png,0,0,1,1\n"), "excluded", "a pixel or less.*fractions"),
        ("far left", swap("8.0", "-1e300"), "excluded", "box farther out than any picture"),
        ("far right", swap("8.0", "1e7"), "excluded", "box farther out than any picture"),
        ("fractions", swap(_OK, "cat_1.png,0.1,0.1,0.5,0.5\n"), "excluded", "a pixel or less.*fractions"),
        ("a sliver", swap(_OK, "cat_1.png,8,6,28,0.5\n"), "excluded", "smaller than a pixel"),
        ("huge", swap(",28.0", ",1e200"), "excluded", "larger than any face"),
        ("outside", swap("8.0", "800"), "excluded", "box outside the image"),
        ("no row", to("img,x,y,w,h\n"), "error", "expected at least one row below the header"),
    ]
]
LISTS = [
    Damage("animalweb", "all.txt", what, change, outcome, message)
    for what, change, outcome, message in [
        ("missing", None, "error", "no such file"),
        ("zero bytes", to(""), "error", "expected one image name a line, the list is empty"),
        ("blank lines", lambda c: b"\n\n" + c + b"\n \n", "same", ""),
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("byte order mark", lambda c: b"\xef\xbb\xbf" + c, "same", ""),
        ("path traversal", lambda c: c + b"../cat_1.png\n", "error", "line 3: .* leads out of the image folder"),
        ("traversal in the middle", lambda c: c + b"a/../../b.png\n", "error", "line 3: .* leads out of the image"),
        ("Windows traversal", lambda c: c + b"..\\b.png\n", "error", "line 3: .* leads out of the image"),
        ("absolute", lambda c: c + b"/etc/passwd\n", "error", "line 3: .* leads out of the image folder"),
        ("Windows drive", lambda c: c + b"C:\\b.png\n", "error", "line 3: .* leads out of the image folder"),
        ("control characters", lambda c: c + b"a\x1b[31m.png\n", "error", "line 3: expected an image name"),
        ("null byte", lambda c: c + b"a\x00.png\n", "error", "line 3: expected an image name"),
        ("not UTF-8", lambda c: c + b"\xff.png\n", "error", "line 3: not UTF-8"),
        ("unknown name", swap("cat_1", "cat_9"), "excluded", "image file is missing"),
        ("very long name", lambda c: c + b"x" * 5000 + b".png\n", "kept", "image file is missing"),
        ("twice", lambda c: c + b"cat_1.png\n", "kept", "listed more than once, used once"),
    ]
]
_BIG = ",".join(map(str, [*BOX, *POINTS.ravel().tolist()]))
LANDMARK_CSV = [
    Damage("landmark_csv", "landmarks.csv", what, change, outcome, message)
    for what, change, outcome, message in [
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("point missing", lambda c: c.replace(b"p4_x,", b"q4_x,"), "error", "line 1: expected columns p0_x to p"),
        ("point too many", swap("p8_y", "p8_y,p9_x"), "error", "expected .*columns|fields"),
        ("half a point", swap(f",{POINTS[8, 1]}\n", ",\n"), "error", "line 2: expected both coordinates of p8"),
        ("inf", swap(f",{POINTS[8, 1]}\n", ",inf\n"), "error", "line 2: expected both coordinates of p8"),
        ("huge", swap(f",{POINTS[8, 1]}\n", ",9e99\n"), "error", "'cat_1.png': .*farther out than any picture"),
        ("a word", swap(f",{POINTS[8, 1]}\n", ",low\n"), "error", "line 2: expected a number as p8_y, found 'low'"),
        ("box far left", swap("cat_1.png,8.0", "cat_1.png,-1e300"), "excluded", "box farther out than any picture"),
        ("box far up", swap("cat_1.png,8.0,6.0", "cat_1.png,8,-1e7"), "excluded", "box farther out than any picture"),
        (
            "escapes in a species",
            lambda c: (
                c.replace(b"image,x", b"image,species,x")
                .replace(b"cat_1.png,", b"cat_1.png,\x1b[31mcat,")
                .replace(b"cat_2.png,", b"cat_2.png,cat,")
            ),
            "error",
            "'cat_1.png': expected a species",
        ),
        ("no box", swap("cat_1.png,8.0,6.0,28.0", "cat_1.png,,,"), "excluded", "box without a size"),
        ("box of 1e9 pixels", swap("cat_1.png,8.0,6.0,28.0", "cat_1.png,8,6,1e9"), "excluded", "larger than any face"),
        ("twice", lambda c: c + f"cat_1.png,{_BIG}\n".encode(), "error", "line 4: image 'cat_1.png' stands already"),
        ("cut", lambda c: c[:-60], "error", "line 3: expected 23 fields like the header"),
    ]
]

# --- COCO


def edit(change: Callable[[dict], object]) -> Change:
    """A COCO file with its content changed."""

    def changed(content: bytes) -> bytes:
        data = json.loads(content)
        change(data)
        return json.dumps(data).encode()

    return changed


def face(**values) -> Change:
    """The first annotation with other values."""
    return edit(lambda data: data["annotations"][0].update(values))


def without(part: str, key: str) -> Change:
    """The first entry of a part without one of its values."""
    return edit(lambda data: data[part][0].pop(key))


_GOOD = [value for x, y in THREE.tolist() for value in (x, y, 2)]
_JSON = [
    ("zero bytes", to(""), "error", "not JSON|not a known label format"),
    ("cut", lambda c: c[: len(c) // 2], "error", r"line 1, column \d+: not JSON"),
    ("CRLF", lambda c: json.dumps(json.loads(c), indent=1).replace("\n", "\r\n").encode(), "same", ""),
    ("byte order mark", lambda c: b"\xef\xbb\xbf" + c, "same", ""),
    ("UTF-16", lambda c: c.decode().encode("utf-16"), "error", "line 1: not UTF-8"),
    ("nested deeply", to('{"images": ' + "[" * 100_000), "error", "not a COCO file|not JSON"),
    ("a number of 5,000 digits", swap('"id": 7', '"id": ' + "7" * 5000), "error", "not a COCO file"),
    ("name twice in an object", swap('"bbox"', '"bbox": [1, 1, 2, 2], "bbox"'), "error", "'bbox' stands twice"),
    ("no images", edit(lambda d: d.pop("images")), "error", "expected 'images' to be a list of objects"),
    ("images empty", edit(lambda d: d["images"].clear()), "error", "expected 'images' to be a list of objects"),
    ("images an object", edit(lambda d: d.update(images={"1": 2})), "error", "expected 'images' to be a list"),
    ("images of numbers", edit(lambda d: d.update(images=[1, 2])), "error", "expected 'images' to be a list of obj"),
    ("duplicate ids", edit(lambda d: d["images"][0].update(id=2)), "error", r"images\[1\]: 'id' occurs twice: 2"),
    ("duplicate face ids", face(id=2), "error", r"annotations\[1\]: 'id' occurs twice: 2"),
    ("id missing", without("annotations", "id"), "error", r"annotations\[0\]: 'id' is missing"),
    ("id a list", face(id=[1]), "error", r"annotations\[0\]: 'id' is missing or is neither"),
    ("id true", face(image_id=True), "error", r"annotations\[0\]: unknown image_id True"),
    ("unknown picture", face(image_id=9), "error", r"annotations\[0\]: unknown image_id 9"),
    ("picture as text", face(image_id="1"), "error", r"annotations\[0\]: unknown image_id '1'"),
    ("unknown category", face(category_id=1), "error", r"annotations\[0\]: unknown category_id 1"),
    ("keypoints a text", face(keypoints="1,2,3"), "error", r"annotations\[0\]: expected 'keypoints' to be 9 numbers"),
    ("keypoint missing", face(keypoints=_GOOD[:6]), "error", "expected 'keypoints' to be 9 numbers, found a list of 6"),
    ("keypoint too many", face(keypoints=[*_GOOD, 1, 1, 2]), "error", "to be 9 numbers, found a list of 12"),
    ("keypoints as texts", face(keypoints=list(map(str, _GOOD))), "error", "expected 'keypoints' to be 9 numbers"),
    ("keypoints true", face(keypoints=[True] * 9), "error", "expected 'keypoints' to be 9 numbers"),
    ("keypoints in lists", face(keypoints=[[1]] * 9), "same?", "expected 'keypoints' to be 9 numbers"),
    ("visibility 3", face(keypoints=[*_GOOD[:2], 3, *_GOOD[3:]]), "error", "expected visibility 0, 1 or 2"),
    ("null keypoint", face(keypoints=[None, *_GOOD[1:]]), "error", "visible keypoint is not a finite number"),
    ("NaN keypoint", face(keypoints=[np.nan, *_GOOD[1:]]), "error", "visible keypoint is not a finite number"),
    ("infinite keypoint", face(keypoints=[np.inf, *_GOOD[1:]]), "error", "visible keypoint is not a finite number"),
    ("huge keypoint", face(keypoints=[1e300, *_GOOD[1:]]), "error", "farther out than any picture"),
    ("keypoint outside", face(keypoints=[900, *_GOOD[1:]]), "kept", "landmark outside the image"),
    ("box of three", face(bbox=[1, 2, 3]), "error", r"annotations\[0\]: expected 'bbox' to be 4 numbers"),
    ("box a text", face(bbox="1 2 3 4"), "error", r"annotations\[0\]: expected 'bbox' to be 4 numbers"),
    ("names a number", edit(lambda d: d["categories"][0].update(keypoints=3)), "error", "to be a list of names"),
    ("name twice", edit(lambda d: d["categories"][0].update(keypoints=["nose"] * 3)), "error", "twice"),
    (
        "escapes in a keypoint's name",
        edit(lambda d: d["categories"][0].update(keypoints=["\x1b[31ma", "b", "c"])),
        "error",
        "category 7: expected printable names",
    ),
    (
        "escapes in a category's name",
        edit(lambda d: d["categories"][0].update(name="cat\x1b]0;you\x07")),
        "error",
        "category 7: expected printable names",
    ),
]
_COCO_ONLY = [
    ("keypoints missing", face(keypoints=None), "excluded", "it has no 'keypoints'"),
    ("box missing", face(bbox=[]), "excluded", "it has no 'bbox'"),
    ("NaN box", face(bbox=[1, 2, np.nan, 4]), "excluded", "box without a size"),
    ("negative box", face(bbox=[1, 2, -3, 4]), "excluded", "box without a size"),
    ("huge box", face(bbox=[1, 2, 1e300, 1e300]), "excluded", "larger than any face"),
    ("box in fractions", face(bbox=[0.1, 0.1, 0.5, 0.5]), "excluded", "fractions of the image"),
    ("crowd", face(iscrowd=1), "excluded", "crowd annotation"),
    ("path traversal", edit(lambda d: d["images"][0].update(file_name="../cat_1.png")), "error",
     r"images\[0\]: image name '../cat_1.png' leads out of the image folder"),
    ("absolute path", edit(lambda d: d["images"][0].update(file_name="/etc/passwd")), "error", "leads out of the"),
    ("file name a number", edit(lambda d: d["images"][0].update(file_name=1)), "error", "expected 'file_name' as str"),
    ("picture missing", edit(lambda d: d["images"][0].update(file_name="cat_9.png")), "gone", "image file is missing"),
    ("same file twice", edit(lambda d: d["images"][0].update(file_name="cat_2.png")), "error", "2 entries of 'images'"),
    ("width of 401 digits", edit(lambda d: d["images"][0].update(width=10**400)), "error", "a positive width"),
    ("infinite height", edit(lambda d: d["images"][0].update(height=np.inf)), "error", "a positive width"),
    ("negative width", edit(lambda d: d["images"][0].update(width=-48)), "error", "expected a positive width"),
    ("width a text", edit(lambda d: d["images"][0].update(width="48")), "error", "expected 'width' as number"),
]  # fmt: skip
COCO = [
    Damage(kind, "coco.json", what, change, {"same?": "error", "gone": "excluded"}.get(outcome, outcome), message)
    for kind, cases in (("coco", _JSON + _COCO_ONLY), ("coco_labels", _JSON))
    for what, change, outcome, message in cases
    if outcome != "same?"
]

# --- .pts files whose landmarks nobody names beforehand

PTS_LABELS = [
    Damage("pts_labels", "cat_1.pts", what, swap("n_points: 9", f"n_points: {found}"), "error", message)
    for what, found, message in [
        ("10^11 points", "99999999999", "line 2: expected 'n_points: L', found 'n_points: 99999999999'"),
        ("5,000 digits", "9" * 5000, "line 2: expected 'n_points: L'"),
        ("superscript", "\u00b2", "line 2: expected 'n_points: L'"),
        ("no points", "0", "line 2: expected 'n_points: L'"),
        ("a few more", "11", "line 15|line 14"),
    ]
]

# --- tables of other programs

_NOSE = f"{THREE[2, 0]},{THREE[2, 1]}"
_ROW = f"cat_1.png,{','.join(map(str, THREE.ravel().tolist()))}\n"
TABLES = [
    Damage(kind, "labels.csv", what, change, outcome, message)
    for kind, cases in {
        "deeplabcut": [
            ("scorer missing", swap("scorer", "who"), "error", "not a known label format"),
            ("coords missing", swap("coords", "axes"), "error", "line 3: expected a header line .* found 'axes'"),
            ("header twice", swap("bodyparts", "scorer"), "error", "line 2: expected a header line"),
            ("z coordinate", swap("coords,x,y", "coords,x,z"), "error", "expected x, y or likelihood, found 'z'"),
            ("x twice", swap("coords,x,y", "coords,x,x"), "error", "left_eye x stands twice"),
            ("escapes in a name", swap("left_eye", "\x1b[31mleft"), "error", "header: expected printable names"),
            ("header short", swap("Ann,Ann", "Ann"), "error", "header line scorer has 6 fields, coords 7"),
            ("analysis of a video", swap("cat_1.png", "17"), "error", "line 4: expected the path of a picture"),
            ("path traversal", swap("cat_1.png", "../../cat_1.png"), "same", ""),
        ],
        "sleap": [
            ("frame a word", swap(",1,,", ",first,,"), "error", "line 2: expected a frame number"),
            ("frame of another script", swap(",1,,", ",\u00b2,,"), "error", "line 2: expected a frame number"),
            ("frame of 5,000 digits", swap(",1,,", f",{'1' * 5000},,"), "error", "line 2: expected a frame number"),
            ("escapes in a name", swap("nose.x", "\x1b[2Jnose.x"), "error", "line 1: expected a column name"),
            ("frame negative", swap(",1,,", ",-1,,"), "error", "line 2: expected a frame number"),
            ("frame without a picture", swap(",1,,", ",77,,"), "left out", "no picture in .* has the number 77"),
            ("one coordinate only", swap("nose.y", "nose.z"), "error", "'nose.x' stands without its other|expected"),
            (
                "no landmarks",
                to("track,frame_idx,score\n,1,2\n"),
                "error",
                "line 1: expected columns NAME.x and NAME.y",
            ),
        ],
        "own_csv": [
            ("image column missing", swap("image", "file"), "error", "not a known label format"),
            ("column twice", swap("nose_y", "nose_x"), "error", "occurs twice|expected"),
            ("escapes in a name", swap("nose_y", "\x1b[2Jnose_y"), "error", "line 1: expected a column name"),
            (
                "escapes in a species",
                to("image,species,nose_x,nose_y\ncat_1.png,\x1b[31mcat,9,9\n"),
                "error",
                "line 2: expected a species",
            ),
            ("box a word", swap("8.0", "left"), "error", "line 2: expected a number or nothing as x, found 'left'"),
            ("box negative", swap("28.0,28.0", "-28,28"), "excluded", "box without a size"),
            ("box huge", swap("28.0,28.0", "1e200,1e200"), "excluded", "larger than any face"),
        ],
    }.items()
    for what, change, outcome, message in [
        *cases,
        ("zero bytes", to(""), "error", "line 1: not a known label format"),
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("byte order mark", lambda c: b"\xef\xbb\xbf" + c, "same", ""),
        ("UTF-16", lambda c: c.decode().encode("utf-16"), "error", "line 1: not UTF-8"),
        ("cut", lambda c: c[:-9], "error", "fields like the header|both coordinates"),
        ("a word", swap(str(THREE[2, 0]), "nose"), "error", "expected a number or nothing as nose x, found 'nose'"),
        ("inf", swap(str(THREE[2, 0]), "inf"), "error", "expected a number or nothing as nose x, found 'inf'"),
        ("half a point", swap(str(THREE[2, 0]), ""), "error", "expected both coordinates of nose or none"),
        ("digits apart", swap(str(THREE[2, 0]), "2_2"), "error", "expected a number or nothing as nose x"),
        ("huge", swap(str(THREE[2, 0]), "1e300"), "error", "farther out than any picture"),
        ("outside", swap(str(THREE[2, 0]), "400"), "kept", "landmark outside the image"),
    ]
]

# --- arrays, params, schemes, disagreements


def array(values: np.ndarray) -> Change:
    """Another array."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return to(buffer.getvalue())


class Runs:
    """An object whose unpickling makes a file: the harm that a stranger's file would do."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def zipped(names: dict[str, bytes]) -> Change:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return to(buffer.getvalue())


_CLAIM = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 3), }"
ARRAYS = [
    Damage("npy", "horse.npy", what, change, "error", message)
    for what, change, message in [
        ("zero bytes", to(b""), "not a readable .npy file"),
        ("cut", lambda c: c[:-8], "not a readable .npy file"),
        ("text", to("1 2 3"), "not a readable .npy file"),
        ("other shape", array(np.ones((4, 3))), r"expected numbers \[5, 3\], found float64 \[4, 3\]"),
        ("texts", array(np.full((5, 3), "a")), r"expected numbers \[5, 3\]"),
        ("complex", array(np.ones((5, 3), complex)), r"expected numbers \[5, 3\], found complex128"),
        ("objects", array(np.full((5, 3), Runs("harm"), dtype=object)), "it holds Python objects"),
        ("claims a terabyte", to(_CLAIM + b" " * (127 - len(_CLAIM)) + b"\n"), r"found float64 \[99999999999, 3\]"),
        ("an npz", zipped({"a.npy": b""}), "not a readable .npy file"),
        ("NaN", array(np.full((5, 3), np.nan) + [[0, 0, 0]] * 5), "same|visible"),
        ("NaN where visible", array(np.array([[np.nan, 1, 1]] * 5)), "visible landmark is not a finite number"),
    ]
    if what != "NaN"
]
_LOL = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdef", "bcdefg", strict=True))
PARAMS = [
    Damage("params", "own.yaml", what, change, outcome, message)
    for what, change, outcome, message in [
        ("missing", None, "error", "no such params file"),
        ("unknown key", swap("LR", "LRR"), "error", "unknown setting METHOD.LRR; did you mean METHOD.LR"),
        ("lower case", swap("METHOD", "method"), "error", "unknown setting method; did you mean METHOD"),
        ("key of another section", swap("LR", "SIZE"), "error", "unknown setting METHOD.SIZE"),
        ("a word tagged as bool", swap("300", "!!bool maybe"), "error", "not YAML"),
        ("1e-4", swap("0.0001", "1e-4"), "same", ""),
        ("1E-4", swap("0.0001", "1E-4"), "same", ""),
        (".0001", swap("0.0001", ".0001"), "same", ""),
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("byte order mark", lambda c: b"\xef\xbb\xbf" + c, "same", ""),
        ("text for a number", swap("0.0001", "'1e-4'"), "error", "METHOD.LR must be a number, got '1e-4'"),
        ("decimal comma", swap("0.0001", "0,0001"), "error", "METHOD.LR must be a number"),
        ("fraction for a whole number", swap("300", "300.5"), "error", "METHOD.STEPS must be a whole number"),
        ("octal", swap("300", "0300"), "error", "METHOD.STEPS must be a whole number, got 300.0"),
        ("hexadecimal", swap("300", "0x12c"), "error", "METHOD.STEPS must be a whole number, got '0x12c'"),
        ("base sixty", swap("300", "5:00"), "error", "METHOD.STEPS must be a whole number, got '5:00'"),
        ("digits apart", swap("300", "3_00"), "error", "METHOD.STEPS must be a whole number, got '3_00'"),
        ("true", swap("300", "true"), "error", "METHOD.STEPS must be a whole number, got True"),
        ("nothing", swap("300", ""), "error", "METHOD.STEPS must be a whole number, got None"),
        ("a list", swap("300", "[300]"), "error", r"METHOD.STEPS must be a whole number, got \[300\]"),
        ("out of range", swap("300", "-3"), "error", "METHOD.STEPS must lie between 1 and"),
        ("NaN", swap("0.0001", ".nan"), "error", "METHOD.LR must lie between 0.0 and 10.0, got nan"),
        ("infinite", swap("0.0001", ".inf"), "error", "METHOD.LR must lie between"),
        ("a whole number beyond floats", swap("0.0001", "9" * 400), "error", "METHOD.LR must be a finite number"),
        ("overflow", swap("0.0001", "1e999"), "error", "METHOD.LR must lie between"),
        ("5,000 digits", swap("300", "3" * 5000), "error", "not YAML: .*digits"),
        ("a section as a number", to("METHOD: 3\n"), "error", "METHOD is a section, it cannot be 3"),
        ("a date", swap("SETTING: own", "SETTING: 2026-13-45"), "read", ""),
        ("key twice", swap("  STEPS", "  LR: 2\n  STEPS"), "error", "LR is there twice"),
        ("a list of lines", to("- SETTING\n"), "error", "expected `KEY: value` lines, got list"),
        ("open bracket", to("SETTING: [a\n"), "error", "line 2: not YAML|line 1: not YAML"),
        ("tab", swap("  LR", "\tLR"), "error", "line 3: not YAML"),
        ("python object", to("SETTING: !!python/object/apply:os.mkdir [harm]\n"), "error", r"tags \(!!python/object"),
        ("aliases that unfold", to(_LOL), "error", r"aliases \(\*name\) are not read"),
        ("digits apart with a tag", swap("300", '!!int "3_00"'), "error", r"line 4: not YAML: tags \(!!int\) are not"),
        ("octal with a tag", swap("300", "!!int 0454"), "error", r"line 4: not YAML: tags \(!!int\) are not read"),
        ("base sixty with a tag", swap("0.0001", "!!float 0:0.006"), "error", r"tags \(!!float\) are not read"),
        ("a tag of its own", swap("300", "!steps 300"), "error", r"tags \(!steps\) are not read: give the value alone"),
        ("a merged section", swap("LR: 0.0001", "<<: {LR: 0.0001}"), "error", "unknown setting METHOD.<<"),
        ("an alias of itself", to("DATA: &a\n  TRAIN: [*a]\n"), "error", r"aliases \(\*name\) are not read"),
        ("nested deeply", to("SETTING: " + "[" * 800), "error", "nested too deeply"),
        ("not UTF-8", to(b"SETTING: \xff\n"), "error", "not UTF-8 text, from byte 9 on"),
        ("null byte", to(b"SETTING: a\x00\n"), "error", "not YAML"),
        ("a bad date with a tag", to("SETTING: !!timestamp 2026-13-45\n"), "error", r"tags \(!!timestamp\) are not"),
    ]
]
SCHEMES = [
    Damage("scheme", "own.yaml", what, change, outcome, message)
    for what, change, outcome, message in [
        ("missing", None, "error", "no such file"),
        ("zero bytes", to(""), "error", "expected 'landmarks:"),
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("not YAML", to("landmarks: [a\n"), "error", r"own.yaml, line \d: not YAML"),
        ("null byte", to(b"landmarks: [a\x00]"), "error", "not YAML"),
        ("nested deeply", to("landmarks: " + "[" * 800), "error", "nested too deeply"),
        ("unknown entry", swap("flip_pairs", "pairs"), "error", "unknown entry 'pairs'"),
        ("name twice", swap("nose]", "left_eye]"), "error", "a name occurs twice"),
        ("escapes in a name", swap("nose]", '"\\e[31mnose"]'), "error", "expected landmarks to be a list of names"),
        ("escapes in its name", swap("damage3", '"\\e[31m"'), "error", "expected a printable name"),
        ("a number as name", swap("nose]", "3]"), "error", "expected landmarks to be a list of names"),
        ("landmarks a text", swap("[left_eye, right_eye, nose]", "nose"), "error", "to be a list of names"),
        ("pairs a number", to("landmarks: [a]\nflip_pairs: 5\n"), "error", "expected flip_pairs to be a list of pairs"),
        ("pairs a text", to("landmarks: [a]\nflip_pairs: ab\n"), "error", "expected flip_pairs to be a list of pairs"),
        ("pair of three", swap("[left_eye, right_eye]\n", "[left_eye, right_eye, nose]\n"), "error", "pairs of two"),
        ("unknown partner", swap("- [left_eye", "- [left_eyes"), "error", "'left_eyes' is none .*; did you mean left"),
        ("a list as partner", swap("- [left_eye", "- [[left_eye]"), "error", "is none of the landmarks"),
        ("places a list", to("landmarks: [a]\nsame_as: [nose]\n"), "error", "expected same_as to be lines"),
        ("unknown place", swap("nose: nose", "snout: nose"), "error", "unknown place 'snout'"),
        ("unknown landmark", swap("nose: nose", "nose: snout"), "error", "'snout' is none of the landmarks"),
        ("python object", to("landmarks: !!python/object/apply:os.mkdir [harm]"), "error", "not YAML"),
    ]
]
DISAGREEMENTS = [
    Damage("disagreements", "human.csv", what, change, outcome, message)
    for what, change, outcome, message in [
        ("missing", None, "error", "no such file"),
        ("CRLF", lambda c: c.replace(b"\n", b"\r\n"), "same", ""),
        ("row missing", swap("cat_1.png,0.01\n", ""), "error", "no row for 1 of 2 images: 'cat_1.png'"),
        ("row twice", lambda c: c + b"cat_1.png,0.3\n", "error", "line 4: image 'cat_1.png' stands already on line 2"),
        ("NaN", swap("0.01", "nan"), "error", "line 2: expected a fraction of 0 or more, found nan"),
        ("blank", swap("0.01", ""), "error", "line 2: expected a number as nme, found ''"),
        ("negative", swap("0.01", "-0.1"), "error", "line 2: expected a fraction of 0 or more, found -0.1"),
        ("infinite", swap("0.01", "inf"), "error", "line 2: expected a fraction of 0 or more"),
        ("percent", swap("0.01", "1 %"), "error", "line 2: expected a number as nme, found '1 %'"),
    ]
]

# --- networks


def pickled(make: Callable[[dict], object]) -> Change:
    """A checkpoint with its content changed."""

    def change(content: bytes) -> bytes:
        data = torch.load(io.BytesIO(content), weights_only=True)
        buffer = io.BytesIO()
        torch.save(make(data), buffer)
        return buffer.getvalue()

    return change


def changed(part: str, **values) -> Change:
    """A checkpoint with other values in a part of it."""
    return pickled(lambda data: data | {part: data[part] | values})


def all_weights(change: Callable[[torch.Tensor], torch.Tensor], end: str = "") -> Change:
    """A checkpoint with other weights, of those whose names end so."""
    return pickled(
        lambda data: data | {"weights": {k: change(v) if k.endswith(end) else v for k, v in data["weights"].items()}}
    )


def one_bit(content: bytes) -> bytes:
    """A checkpoint of which one bit of one weight has changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        weights = [part for part in archive.infolist() if "/data/" in part.filename]
        place = content.index(archive.read(max(weights, key=lambda part: part.file_size)))
    whole = bytearray(content)
    whole[place] ^= 1
    return bytes(whole)


def own_scheme(**values) -> Change:
    """A checkpoint with a scheme of its own."""
    return pickled(
        lambda data: (
            data
            | {"spec": data["spec"] | {"scheme": "damaged9"}, "scheme": data["scheme"] | {"name": "damaged9"} | values}
        )
    )


def unfolding(depth: int) -> list:
    """A list that is small in memory and has 2^depth texts."""
    content: list = ["x"]
    for _ in range(depth):
        content = [content, content]
    return content


_BOMB = zipped({"net/data.pkl": b"\x80\x02}q\x00.", "net/version": b"3\n", "net/data/0": bytes(300_000)})
NETWORKS = [
    Damage("network", "net.pt", what, change, "error", message)
    for what, change, message in [
        ("missing", None, "no such checkpoint"),
        ("zero bytes", to(b""), "cannot be read as a checkpoint"),
        ("cut", lambda c: c[: len(c) // 2], "cannot be read as a checkpoint"),
        ("text", to("weights"), "cannot be read as a checkpoint"),
        ("a pickle that runs code", lambda _: pickle.dumps(Runs("harm")),
         "it (is damaged, is another|would call)"),
        ("code beside the weights", pickled(lambda d: d | {"note": Runs("harm")}),
         r"cannot be read as a checkpoint of plain weights: it would call \S+\.mkdir, which is refused"),
        ("an unpacking bomb", _BOMB, "it unpacks to 300,0"),
        ("one bit of a weight", one_bit, "its part '.*/data/.*' is damaged: it has not the checksum"),
        ("a zip of other things", zipped({"a.txt": b"a" * 10}), "cannot be read as a checkpoint"),
        ("a list", pickled(lambda d: [d]), "not a cskt checkpoint"),
        ("no spec", pickled(lambda d: {"weights": d["weights"]}), "not a cskt checkpoint"),
        ("spec a number", pickled(lambda d: d | {"spec": 3}), "not a network of this version: 3"),
        ("spec of another version", changed("spec", depth=3), "not a network of this version"),
        ("unknown network", changed("spec", name="vit"), "'vit' is not one of"),
        ("size a text", changed("spec", size="32"), "not a network of this version"),
        ("a thousand million landmarks", changed("spec", landmarks=10**9), "more than 4096 landmarks or pixels"),
        ("weights a number", pickled(lambda d: d | {"weights": 3}), "its weights are not names and numbers"),
        ("weights of texts", changed("weights", **{"head.bias": "a"}), "its weights are not names and numbers"),
        ("weight too many", changed("weights", more=torch.ones(2)), "unexpected: 'more'"),
        ("weight of another shape", changed("weights", **{"head.bias": torch.ones(2)}), "wrong shape: .head.bias is"),
        ("weight NaN", changed("weights", **{"head.bias": torch.full((9,), torch.nan)}), "no finite numbers: .head"),
        ("weights of int8", all_weights(lambda v: v.to(torch.int8)), "not dense numbers of 16 bits or more: "),
        ("weights of bool", all_weights(lambda v: v.bool()), "not dense numbers of 16 bits or more: "),
        ("weights complex", all_weights(lambda v: v.to(torch.complex64)), "not dense numbers of 16 bits or more: "),
        ("weight sparse", changed("weights", **{"head.bias": torch.ones(9).to_sparse()}), "not dense .*: .head.bias"),
        ("weight without numbers", changed("weights", **{"head.bias": torch.ones(9, device="meta")}), "not dense num"),
        ("weight beyond floats", changed("weights", **{"head.bias": torch.ones(9).double() * 1e300}), "no finite"),
        ("weight quantized", all_weights(lambda v: torch.quantize_per_tensor(v.float(), 0.1, 0, torch.qint8), "bias"),
         "not dense numbers of 16 bits"),
        ("weight named by a number", pickled(lambda d: d | {"weights": d["weights"] | {3: torch.ones(1)}}),
         "its weights are not names and numbers"),
        ("variances negated", all_weights(lambda v: -v - 1, "running_var"), "variances below 0: .*running_var"),
        ("size 0", changed("spec", size=0), r"not a network of this version: .* \(a number below its least"),
        ("size negative", changed("spec", size=-128), "a number below its least"),
        ("size a fraction", changed("spec", size=32.0), "expected size to be a whole number"),
        ("landmarks true", changed("spec", landmarks=True), "expected landmarks to be a whole number"),
        ("other output", changed("spec", output="exec"), "output 'exec' is not one of linear, softmax"),
        ("weights to download", changed("spec", weights="imagenet"), "not a network of this version"),
        ("spec that unfolds", changed("spec", x=unfolding(26)), "not a network of this version"),
        ("name that unfolds", changed("spec", name=unfolding(26)), "expected name to be a text"),
        ("unknown scheme", pickled(lambda d: d | {"spec": d["spec"] | {"scheme": "nobody"}, "scheme": None}),
         "scheme 'nobody' is not known"),
        ("scheme nothing", changed("spec", scheme=None), "expected scheme to be a text"),
        ("scheme a list", changed("spec", scheme=["a"]), "expected scheme to be a text"),
        ("scheme of 68 landmarks", pickled(lambda d: d | {"spec": d["spec"] | {"scheme": "ibug68"}, "scheme": None}),
         "'ibug68' with 68 landmarks, its network is of 9"),
        ("another scheme than its own", changed("spec", scheme="aflw19"), "'animalweb9' with 9 landmarks, its net"),
        ("scheme of three", own_scheme(landmarks=["a", "b", "c"], flip_pairs=[[0, 1]], parts={}),
         "'damaged9' with 3 landmarks, its network is of 9"),
        ("scheme of bad pairs", own_scheme(flip_pairs=[[0, 99]]), "scheme is damaged: .*must use indices 0 to 8"),
        ("pairs of fractions", own_scheme(flip_pairs=[[0.0, 1.0]]), "scheme is damaged: .*expected whole numbers"),
        ("names that are none", own_scheme(landmarks=[["a"]] * 9), "scheme is damaged: .*expected printable names"),
        ("names of escapes", own_scheme(landmarks=[f"\x1b[3{k}m" for k in range(9)]), "expected printable names"),
        ("scheme of lists", pickled(lambda d: d | {"scheme": [1]}), "its landmark scheme is damaged"),
        ("scheme a text", pickled(lambda d: d | {"scheme": "abc"}), "its landmark scheme is damaged"),
        ("scheme damaged", pickled(lambda d: d | {"scheme": {"name": "x"}}), "its landmark scheme is damaged"),
    ]
]  # fmt: skip

ALL = [
    *PICTURES, *PTS, *PTS_LABELS, *BOXES, *LISTS, *LANDMARK_CSV, *COCO, *TABLES, *ARRAYS, *PARAMS, *SCHEMES,
    *DISAGREEMENTS, *NETWORKS,
]  # fmt: skip
GOOD = {
    "pts_labels": pts_labels,
    "pictures": pictures, "gray": pictures, "animalweb": animalweb, "landmark_csv": landmark_csv, "coco": coco,
    "coco_labels": coco, "deeplabcut": deeplabcut, "sleap": sleap, "own_csv": own_csv, "npy": npy, "params": params,
    "scheme": scheme, "disagreements": disagreements,
}  # fmt: skip

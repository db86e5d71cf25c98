"""Uploaded pictures and drawn boxes: read as they are shown, or refused with a message that says what to do."""

import io

import numpy as np
import pytest
from PIL import Image

from cskt.data import uploads
from cskt.data.pictures import read_image
from cskt.data.uploads import check_box, read_upload
from cskt.errors import DataError


def corner_picture(width=40, height=20):
    """Black, with a red left upper quarter."""
    values = np.zeros((height, width, 3), np.uint8)
    values[: height // 2, : width // 2, 0] = 255
    return Image.fromarray(values)


def saved(picture, kind, **how):
    with io.BytesIO() as file:
        picture.save(file, kind, **how)
        return file.getvalue()


def test_a_png_comes_back_to_the_bit():
    read = read_upload("a.png", saved(corner_picture(), "PNG"))
    assert np.array_equal(np.asarray(read), np.asarray(corner_picture()))


def test_an_upload_has_the_pixels_of_its_file(tmp_path):
    gray = Image.fromarray(np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16))
    for name, content in (("a.jpg", saved(corner_picture(64, 48), "JPEG")), ("a.png", saved(gray, "PNG"))):
        (tmp_path / name).write_bytes(content)
        assert np.array_equal(np.asarray(read_upload(name, content)), np.asarray(read_image(tmp_path / name)))


def test_a_photograph_is_turned_as_its_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise
    read = read_upload("a.jpg", saved(corner_picture(), "JPEG", exif=exif, quality=95))
    assert read.size == (20, 40)
    assert read.getpixel((15, 5))[0] > 200, "the left upper corner is the right upper one now"
    assert read.getpixel((5, 5))[0] < 50


def test_heic_is_read_where_the_library_is_there(monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    content = saved(corner_picture(64, 64), "HEIF", quality=90)
    assert read_upload("a.heic", content).size == (64, 64)
    assert "HEIC" in uploads.formats()
    monkeypatch.setattr(uploads, "reads_heic", lambda: False)
    with pytest.raises(DataError, match="looks like HEIC: save it as JPEG, or install pillow-heif"):
        read_upload("a.heic", content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: choose the file again"),
        (b"not a picture", "no picture of a format that can be read here: JPEG"),
        (saved(corner_picture(), "BMP"), "no picture of a format that can be read here"),
        (saved(corner_picture(400, 400), "JPEG")[:-200], "damaged"),
        (saved(corner_picture(), "PNG")[:60], "damaged"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_by_name(content, message):
    with pytest.raises(DataError, match=message) as error:
        read_upload("mine.jpg", content)
    assert "mine.jpg" in str(error.value)


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_PIXELS", 799)
    with pytest.raises(DataError, match="has 0 million pixels: save it smaller"):
        read_upload("a.png", saved(corner_picture(), "PNG"))
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    with pytest.raises(DataError, match="MB: save it smaller"):
        read_upload("a.png", saved(corner_picture(), "PNG"))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (None, "No face box yet: drag one"),
        ([], "No face box yet"),
        ([5, 5, 15.9, 40], "tiny, 16 x 40 pixels: a face needs 16"),
        ([5, 5, 0, 40], "Box without a size"),
        ([200, 5, 40, 40], "Box outside the image"),
        ([5, 5, np.nan, 40], "Box without a size"),
    ],
)
def test_a_box_that_shows_no_face_is_refused(box, message):
    with pytest.raises(DataError, match=message):
        check_box(box, (100, 80))


def test_a_box_may_stick_out_of_the_picture():
    assert check_box([-5, 70, 40, 16], (100, 80)).tolist() == [-5.0, 70.0, 40.0, 16.0]

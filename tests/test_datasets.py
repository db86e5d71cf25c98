"""Crops, data sets without landmarks, and the batches that follow from seed and step."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from builders import SCHEME, dots, labeled_faces, unlabeled_faces, write_faces
from PIL import Image

from cskt import geometry
from cskt.data import annotations as readers
from cskt.data import datasets
from cskt.data.annotations import read_animalweb
from cskt.data.augment import Augmentation
from cskt.data.datasets import (
    LabeledSet,
    UnlabeledSet,
    batch_indices,
    cached_side,
    crop_cache,
    crop_image,
    labeled_batch,
    labeled_set,
    plain_images,
    read_crop,
    read_image,
    unlabeled_batch,
    unlabeled_set,
)
from cskt.data.pictures import read_reduced
from cskt.errors import DataError
from cskt.heatmaps import decode

CPU = torch.device("cpu")
STRONG = Augmentation(rotation=40, scale=0.3, shift=0.08, flip=0.5, color=0.5, cutout=2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- cropping


def wide_matrix(box, size, side):
    """From image pixels to a crop's pixels, written out: the square of the box, widened, side pixels wide."""
    x, y, w, h = box
    length = max(w, h) * side / size
    left, top = x + w / 2 - length / 2, y + h / 2 - length / 2
    return side / length, left, top


def test_a_ramp_is_reproduced_exactly():
    """Brightness 2 x + y: linear interpolation and any symmetric filter give the ramp at the pixel's own place."""
    y, x = np.mgrid[:60, :80]
    ramp = Image.fromarray(np.repeat((2 * x + y)[..., None], 3, -1).astype(np.uint8))
    for box in ([20.1, 12.2, 30, 24], [30.3, 20.7, 17.5, 21.5], [25.37, 15.11, 9.2, 8.3]):
        crop = crop_image(ramp, np.array(box), 24, 32)
        scale, left, top = wide_matrix(box, 24, 32)
        centers = (np.arange(32) + 0.5) / scale
        expected = 2 * (left + centers)[None] + (top + centers)[:, None]
        inner = slice(4, -4)
        error = (crop[..., 0] - expected)[inner, inner]
        assert np.abs(error).max() <= 1.01, "rows and columns are rounded to a whole level each"
        assert np.abs(error.mean()) < 0.2, "a shift by half a pixel would be 1.5 levels"


@pytest.mark.parametrize(
    "box",
    [
        [50, 40, 64, 50],  # inside
        [50.4, 40.3, 17.2, 21.9],  # enlarged
        [-30, 10, 90, 60],  # out on the left
        [60, -25, 80, 90],  # out at the top
        [110, 70, 90, 80],  # out at the right and at the bottom
        [-40, -30, 240, 190],  # larger than the photograph
        [5, 5, 150, 30],  # a flat box
    ],
)
def test_a_dot_lies_in_the_crop_where_the_geometry_says(box):
    box = np.array(box, dtype=float)
    corner, far = np.maximum(box[:2], 0), np.minimum(box[:2] + box[2:], (160, 120))
    place = corner + (far - corner) * (0.55, 0.45)
    size, side = 64, 80
    scale = size / max(box[2:])
    photo = dots([place], 160, 120, sigma=max(2.0, 2.0 / scale))
    crop = crop_image(Image.fromarray(photo), box, size, side).astype(float)[..., 0] - 40
    mass = np.where(crop > 4, crop, 0.0)
    v, u = np.mgrid[:side, :side]
    found = np.array([(mass * u).sum(), (mass * v).sum()]) / mass.sum() - (side - size) / 2
    to_crop = geometry.crop_matrix(torch.from_numpy(box[None]), size)
    expected = geometry.apply(to_crop, torch.from_numpy(place)[None, None])[0, 0].numpy()
    assert np.abs(found - expected).max() < 0.05


def test_outside_the_photograph_a_crop_is_black():
    white = Image.new("RGB", (40, 40), "white")
    crop = crop_image(white, np.array([-20.0, 0, 40, 40]), 20, 20)
    assert (crop[:, :9] == 0).all()
    assert (crop[1:-1, 12:] == 255).all()


def test_shrinking_averages_over_the_pixels():
    """A checkerboard 8 times too fine for the crop is gray, not a pattern of aliases."""
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    crop = crop_image(Image.fromarray(board).convert("RGB"), np.array([0.0, 0, 256, 256]), 32, 32)
    assert np.abs(crop[2:-2, 2:-2].astype(int) - 128).max() <= 2


@pytest.mark.parametrize("most", [5_000, 60_000])
def test_a_crop_that_is_made_piece_by_piece_shows_the_same(monkeypatch, most):
    y, x = np.mgrid[:150, :90]
    photo = Image.fromarray(np.stack([x, y, 120 + 90 * np.sin(x / 7)], axis=-1).astype(np.uint8))
    for box in ([-20.0, 10, 130, 90], [-300, -200, 800, 500], [30.5, 20, 40, 41]):
        whole = crop_image(photo, np.array(box), 48, 64).astype(int)
        with monkeypatch.context() as patch:
            patch.setattr("cskt.data.datasets._MOST_CANVAS", most)
            pieces = crop_image(photo, np.array(box), 48, 64)
        # Pillow takes the axes in either order, and rounds between them
        assert np.abs(pieces - whole).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "side"), [((2, 60_000), 60_000), ((3_000, 3_000), 30_000)])
def test_a_picture_far_smaller_than_its_square_needs_little_memory(shape, side):
    code = (
        "import resource, numpy as np; from PIL import Image; from cskt.data.datasets import crop_image\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)\n"
        f"crop = crop_image(Image.new('RGB', ({shape[1]}, {shape[0]}), 'white'), np.array([0.0, 0, {side}, {side}]), "
        "64, 64)\n"
        "print(crop[:32].max())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr[-500:]
    # two of 60,000 rows are a thousandth of a pixel of the crop
    assert int(found.stdout) == (255 if side == 30_000 else 0)


def test_the_plain_crop_lies_in_the_middle_of_the_wider_one():
    assert [cached_side(64, context) for context in (1.0, 1.5, 1.3)] == [64, 96, 84]
    assert cached_side(33, 1.5) - 33 == 16, "an even number, for the same margin on either side"
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8))
    box = np.array([30.0, 30, 32, 32])
    wide, plain = (crop_image(photo, box, 32, side).astype(int) for side in (48, 32))
    assert np.abs(wide[8:40, 8:40] - plain)[1:-1, 1:-1].max() <= 1


def test_a_photograph_is_turned_upright(tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15, 0] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: what was on the left is at the top
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(read_image(tmp_path / "a.png"))
    assert upright.shape == (30, 20, 3)
    assert (upright[:15, :, 0] == 200).all() and (upright[15:, :, 0] == 0).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_picture_is_read_as_colors(tmp_path, mode):
    Image.new("RGB", (8, 8), "white").convert(mode).save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
    picture = read_image(next(tmp_path.iterdir()))
    assert picture.mode == "RGB"
    assert (np.asarray(picture) >= 254).all()


# --- the cache


@pytest.fixture
def faces(tmp_path):
    return write_faces(tmp_path / "data")


def test_landmarks_lie_on_their_dots_in_the_crop(faces, tmp_path):
    for path, landmarks in zip(faces.table["path"], faces.landmarks, strict=True):
        Image.fromarray(dots(landmarks[4:5], 90, 70)).save(path)
    data = labeled_set(faces, 64, 1.5, tmp_path / "cache")
    image = plain_images(data, np.arange(3), CPU)[:, :1] - 40 / 255
    nose = data.landmarks_crop[:, 4]
    assert (decode(image)[0][:, 0] - nose).abs().max() < 0.2
    assert nose.numpy() == pytest.approx(
        np.array([
            ((faces.landmarks[k, 4] - (box[:2] + box[2:] / 2 - max(box[2:]) / 2)) * 64 / max(box[2:]) - 0.5)
            for k, box in enumerate(faces.boxes)
        ]),
        abs=1e-3,
    )  # fmt: skip
    assert data.norm == pytest.approx(np.sqrt(faces.boxes[:, 2] * faces.boxes[:, 3]))


def test_a_second_call_finds_the_first_ones_file(faces, tmp_path, monkeypatch):
    first, _ = crop_cache(faces, 32, 1.5, tmp_path)
    monkeypatch.setattr(datasets, "read_image", lambda path: pytest.fail("pictures are not read again"))
    second, readable = crop_cache(faces, 32, 1.5, tmp_path)
    assert np.array_equal(first, second) and readable.all()


@pytest.mark.parametrize("change", ["box", "size", "context", "picture"])
def test_whatever_a_crop_depends_on_makes_another_file(faces, tmp_path, change):
    first, _ = crop_cache(faces, 32, 1.5, tmp_path / "cache")
    size, context, table = 32, 1.5, faces.table.copy()
    if change == "box":
        table.loc[0, "x"] += 1
    elif change == "picture":
        Image.new("RGB", (90, 70), "red").save(table.loc[0, "path"])
    else:
        size, context = (40, 1.5) if change == "size" else (32, 1.25)
    second, _ = crop_cache(dataclasses.replace(faces, table=table), size, context, tmp_path / "cache")
    assert not np.array_equal(first, second)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


def test_landmarks_do_not_enter_the_cache(faces, tmp_path):
    crop_cache(faces, 32, 1.5, tmp_path / "cache")
    crop_cache(faces.without_landmarks(), 32, 1.5, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_an_unreadable_picture_is_left_out_and_named(faces, tmp_path, capsys):
    content = (tmp_path / "data" / "images" / "cat_1.png").read_bytes()
    (tmp_path / "data" / "images" / "cat_1.png").write_bytes(content[:100])
    for _ in range(2):  # written, then found again
        data = labeled_set(faces, 32, 1.5, tmp_path / "cache")
        assert data.table["image"].tolist() == ["cat_0.png", "cat_2.png"]
        assert len(data.crops) == len(data.landmarks_crop) == len(data.norm) == len(data.to_crop) == 2
        assert "1 of 3 images cannot be read" in capsys.readouterr().out
    # the rows that are left keep what belongs to them
    whole = labeled_set(faces.select(["cat_2.png"]), 32, 1.5, tmp_path / "cache")
    assert np.array_equal(data.crops[1], whole.crops[0])
    assert data.landmarks_crop[1].equal(whole.landmarks_crop[0])
    problems = pd.concat(pd.read_csv(path) for path in (tmp_path / "cache").glob("*.problems.csv"))
    assert problems["image"].tolist() == ["cat_1.png"]
    assert "cat_1.png: not a readable image" in problems["problem"].item()


@pytest.mark.parametrize("name", ["7", "007", "NA", "1e3"])
def test_an_unreadable_picture_is_left_out_whatever_it_is_called(faces, tmp_path, name):
    """COCO files name pictures without an ending, too."""
    (tmp_path / "data" / "images" / "cat_1.png").write_bytes(b"no picture")
    table = faces.table.assign(image=["6", name, "8"])
    for _ in range(2):
        data = unlabeled_set(dataclasses.replace(faces, table=table), 32, 1.0, tmp_path / "cache")
        assert data.table["image"].tolist() == ["6", "8"]
    assert datasets.unreadable_images(tmp_path / "cache") == {name: "not a readable image (no known format)"}


def test_a_box_outside_its_photograph_is_left_out_and_named(faces, tmp_path):
    """A reader does not look at the sizes of unlabeled pictures, so it cannot know."""
    table = faces.table.copy()
    table.loc[0, ["x", "y"]] = 500.0
    data = unlabeled_set(dataclasses.replace(faces, table=table), 32, 1.5, tmp_path / "cache")
    assert data.table["image"].tolist() == ["cat_1.png", "cat_2.png"]
    problems = pd.read_csv(next((tmp_path / "cache").glob("*.problems.csv")))
    assert "box outside the image" in problems["problem"].item()


def test_nothing_readable_is_an_error(faces, tmp_path):
    for path in faces.table["path"]:
        open(path, "wb").close()
    message = r"none of the 3 images can be read: .*cat_0\.png: not a readable image .*cat_1\.png: .*cat_2\.png: "
    with pytest.raises(DataError, match=message):
        unlabeled_set(faces, 32, 1.5, tmp_path / "cache")


def test_a_cache_whose_report_was_not_written_is_made_again(faces, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(datasets, "write_csv", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            crop_cache(faces, 32, 1.5, tmp_path / "cache")
    crops, readable = crop_cache(faces, 32, 1.5, tmp_path / "cache")
    assert len(crops) == 3 and readable.all()


# --- what an unlabeled set can know


def test_an_unlabeled_set_has_no_field_and_no_column_for_a_landmark(faces, tmp_path):
    data = unlabeled_set(faces, 32, 1.5, tmp_path / "cache")
    assert faces.has_landmarks and type(data) is UnlabeledSet
    assert {field.name for field in dataclasses.fields(data)} == {"table", "crops", "size", "scheme", "to_crop", "norm"}
    assert not [column for column in data.table if column.endswith(("_x", "_y"))]
    labels = {field.name for field in dataclasses.fields(LabeledSet)} - {f.name for f in dataclasses.fields(data)}
    assert labels == {"landmarks_crop"}
    batch = unlabeled_batch(data, np.array([0, 2]), Augmentation(), STRONG, generator(), CPU)
    assert not hasattr(batch, "landmarks")


def test_unlabeled_reading_opens_no_landmark_file_and_sees_the_same_whatever_is_in_them(faces, tmp_path, monkeypatch):
    root = tmp_path / "data"

    def batch(folder):
        data = unlabeled_set(read_animalweb(root, "all.txt", labels=False), 32, 1.5, tmp_path / folder)
        return unlabeled_batch(data, np.arange(3), Augmentation(), STRONG, generator(), CPU)

    before = batch("first")
    for pts in (root / "images").glob("*.pts"):
        pts.write_bytes(b"\xff garbage")
    garbage = batch("second")
    for pts in (root / "images").glob("*.pts"):
        pts.unlink()
    monkeypatch.setattr(readers, "read_pts", lambda *_: pytest.fail("a landmark file was opened"))
    gone = batch("third")
    for other in (garbage, gone):
        assert other.weak.equal(before.weak) and other.strong.equal(before.strong)
        assert other.strong_view.matrix.equal(before.strong_view.matrix)


def test_a_labeled_set_needs_an_image():
    one = labeled_faces(1)
    with pytest.raises(DataError, match="without an image"):
        dataclasses.replace(one, crops=one.crops[:0])


def test_joining_adds_pseudo_landmarks_to_the_rows_they_belong_to():
    labeled, unlabeled = labeled_faces(2), unlabeled_faces(5)
    pseudo = torch.rand(2, 9, 2)
    joined = labeled.joined(unlabeled, np.array([3, 1]), pseudo)
    assert joined.table["image"].tolist() == ["labeled_0.png", "labeled_1.png", "unlabeled_3.png", "unlabeled_1.png"]
    assert np.array_equal(joined.crops[2], unlabeled.crops[3]) and np.array_equal(joined.crops[0], labeled.crops[0])
    assert joined.landmarks_crop.equal(torch.cat([labeled.landmarks_crop, pseudo]))
    assert len(labeled) == 2, "the set itself stays as it is"


def test_joined_crops_are_picked_from_where_they_are():
    """Any order of rows from several arrays is that of the arrays put together."""
    labeled, unlabeled = labeled_faces(3), unlabeled_faces(5)
    joined = labeled.joined(unlabeled, np.array([4, 1, 2]), torch.zeros(3, 9, 2))
    together = np.concatenate([labeled.crops, unlabeled.crops[[4, 1, 2]]])
    rows = np.array([5, 0, 3, 3, 2])
    assert np.array_equal(joined.take(rows).numpy(), together[rows])
    assert np.array_equal(joined.subset(rows).take(np.arange(5)).numpy(), together[rows])
    assert len(joined.take(np.array([], dtype=int))) == 0


def test_a_subset_keeps_each_rows_own():
    data = unlabeled_faces(5)
    part = data.subset(np.array([4, 0]))
    assert part.table["image"].tolist() == ["unlabeled_4.png", "unlabeled_0.png"]
    assert np.array_equal(part.crops, data.crops[[4, 0]])
    assert type(part) is UnlabeledSet and part.scheme is SCHEME


def test_a_subset_of_labeled_faces_keeps_their_landmarks():
    data = labeled_faces(5)
    part = data.subset(np.array([4, 0]))
    assert isinstance(part, LabeledSet)
    assert part.landmarks_crop.equal(data.landmarks_crop[[4, 0]])
    assert np.array_equal(part.take([1]).numpy(), data.take([0]).numpy())


# --- batches


@pytest.mark.parametrize(("count", "batch"), [(10, 5), (10, 4), (7, 3), (5, 5), (3, 8), (1, 4)])
def test_every_row_comes_once_per_pass(count, batch):
    steps = math.lcm(count, batch) // batch * 2
    rows = np.concatenate([batch_indices(count, batch, seed=5, step=step) for step in range(steps)])
    assert len(rows) == steps * batch
    for one_pass in rows.reshape(-1, count):
        assert sorted(one_pass) == list(range(count))
    if count == 10:
        assert (rows[:10] != rows[10:20]).any(), "each pass has an order of its own"


def test_a_batch_follows_from_seed_and_step_alone():
    later = batch_indices(50, 8, seed=1, step=9)
    for step in range(9):
        batch_indices(50, 8, seed=1, step=step)
    assert np.array_equal(batch_indices(50, 8, seed=1, step=9), later)
    assert not np.array_equal(batch_indices(50, 8, seed=2, step=9), later)


def test_a_batch_of_nothing_is_empty():
    assert len(batch_indices(5, 0, seed=0, step=3)) == 0


def test_a_labeled_batch_pairs_each_picture_with_its_own_landmarks():
    data = labeled_faces(4)
    shift = data.landmarks_crop + torch.arange(4.0).view(4, 1, 1)
    data = dataclasses.replace(data, landmarks_crop=shift)
    batch = labeled_batch(data, np.array([2, 0, 2]), Augmentation(), generator(), CPU)
    assert batch.indices.tolist() == [2, 0, 2]
    assert batch.landmarks.allclose(shift[[2, 0, 2]], atol=1e-4)
    assert batch.images.allclose(plain_images(data, np.array([2, 0, 2]), CPU), atol=1e-4)


def test_weak_and_strong_views_show_the_same_rows_and_follow_from_the_generator():
    data = unlabeled_faces(6)
    batch = unlabeled_batch(data, np.array([5, 1]), Augmentation(), STRONG, generator(3), CPU)
    assert batch.weak.allclose(plain_images(data, np.array([5, 1]), CPU), atol=1e-4)
    assert not batch.strong.allclose(batch.weak, atol=0.05)
    again = unlabeled_batch(data, np.array([5, 1]), Augmentation(), STRONG, generator(3), CPU)
    assert again.strong.equal(batch.strong)


def test_a_wider_crop_holds_the_plain_one():
    """What a network sees does not depend on how much was cached around it, however much the photograph shrinks."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (700, 900, 3), np.uint8))
    for box in ((100, 120, 500, 400), (300, 300, 40, 50), (-20, 10, 300, 300)):
        plain = crop_image(picture, np.array(box, float), 48, 48)
        wide = crop_image(picture, np.array(box, float), 48, 72)
        assert np.abs(wide[12:60, 12:60].astype(int) - plain).max() <= 1


# --- decoding at reduced size


@pytest.fixture
def large(tmp_path):
    """A JPEG picture of 400 x 300 pixels with a wide dot at each of nine places in a box of 250 x 220."""
    box = np.array([60.0, 35.0, 250.0, 220.0])
    landmarks = box[:2] + np.random.default_rng(0).uniform(0.2, 0.8, (9, 2)) * box[2:]
    Image.fromarray(dots(landmarks, 400, 300, sigma=9)).save(tmp_path / "large.jpg", quality=95)
    return tmp_path / "large.jpg", box


@pytest.mark.parametrize(("most", "factor"), [(1.0, 1), (1.9, 1), (2.0, 2), (3.9, 2), (4.0, 4), (100.0, 8)])
def test_a_jpeg_file_is_decoded_no_smaller_than_it_may(large, most, factor):
    picture, found, full = read_reduced(large[0], most)
    assert (found, full) == (factor, (400, 300))
    assert picture.size == (400 // factor, -(-300 // factor))


def test_a_reduced_crop_shows_the_same_at_the_same_place(large):
    path, box = large
    whole = read_crop(path, box, 48, 64).astype(float)
    reduced = read_crop(path, box, 48, 64, reduced=True).astype(float)
    assert not np.array_equal(whole, reduced)
    # half a fine pixel of shift would change the dots' flanks by three levels
    assert np.abs(whole - reduced).mean() < 0.5


def test_a_reduced_crop_follows_the_orientation(large, tmp_path):
    path, box = large
    turned = Image.open(path).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", quality=95, exif=exif)
    expected, found = (read_crop(p, box, 48, 48, reduced=True).astype(float) for p in (path, tmp_path / "turned.jpg"))
    assert np.abs(expected - found).mean() < 0.5
    assert read_reduced(tmp_path / "turned.jpg", 2.0)[2] == (400, 300)


def test_small_faces_and_other_files_are_read_wholly(large, tmp_path):
    path, box = large
    Image.open(path).save(tmp_path / "large.png")
    for file, size in ((path, 200), (tmp_path / "large.png", 48)):
        assert np.array_equal(read_crop(file, box, size, size), read_crop(file, box, size, size, reduced=True))


def test_reduced_crops_are_cached_apart(tmp_path):
    faces = write_faces(tmp_path / "data", count=2)
    unlabeled_set(faces, 16, 1.0, tmp_path / "cache")
    unlabeled_set(faces, 16, 1.0, tmp_path / "cache", reduced=True)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2

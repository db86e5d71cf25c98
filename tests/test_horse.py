"""The horse data set: its layout, its five landmarks, and the lists and boxes that we write for it."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cskt import config
from cskt.__main__ import main
from cskt.data.horse import read_horse, read_npy, write_lists
from cskt.data.reading import read_list
from cskt.errors import DataError
from cskt.landmarks import SCHEMES, combine, shared_landmarks
from cskt.metrics import nme
from cskt.settings import Setting

ROOT = Path(__file__).resolve().parents[1]

POINTS = np.array([[60.0, 70], [160, 72], [110, 150], [90, 190], [130, 191]])


def write_face(root, source, name, points=POINTS, visible=(1, 1, 1, 1, 1)):
    image = root / "horse" / "im" / source / f"{name}.jpg"
    labels = root / "horse" / "npy" / source / f"{name}.npy"
    for path in (image, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (224, 200)).save(image)
    np.save(labels, np.column_stack([points, visible]).astype(np.float32))


@pytest.fixture
def release(tmp_path):
    root = tmp_path / "release_data"
    for k in range(6):
        write_face(root, "flickr-horses", str(k))
        write_face(root, "imagenet_n02374451", f"n02374451_{k}")
    return root


def test_names_in_lists_are_those_of_the_published_code(release):
    write_lists(release, test=2, val=1, few=3)
    (release / "some.txt").write_text("horse/im/flickr-horses/3.jpg\nhorse/im/imagenet_n02374451/n02374451_2.jpg\n")
    faces = read_horse(release, "some.txt", split="test")
    assert faces.table["image"].tolist() == [
        "horse/im/flickr-horses/3.jpg",
        "horse/im/imagenet_n02374451/n02374451_2.jpg",
    ]
    assert faces.table["species"].tolist() == ["horse", "horse"]
    assert faces.scheme == SCHEMES["horse5"]
    assert (faces.landmarks == POINTS).all()


def test_a_landmark_that_is_not_visible_is_missing(tmp_path):
    write_face(tmp_path, "a", "b", visible=(1, 0, 1, -1, 1))
    points = read_npy(tmp_path / "horse" / "npy" / "a" / "b.npy", 5)
    assert np.isnan(points).all(axis=1).tolist() == [False, True, False, True, False]
    assert (points[[0, 2, 4]] == POINTS[[0, 2, 4]]).all()


def test_an_image_without_visible_landmarks_counts_in_no_mean():
    """The released metric gives it an error of 0 (spec 1.14, fault 27)."""
    true = np.stack([POINTS, np.full((5, 2), np.nan)])
    assert np.isnan(nme(np.zeros((2, 5, 2)), true, np.array([224.0, 224.0]))).tolist() == [False, True]


def test_the_error_is_divided_by_the_root_of_the_boxs_area():
    """The released horse metric divides by the area itself (spec 1.14, fault 26)."""
    assert nme(POINTS[None] + [3, 4], POINTS[None], np.sqrt([224.0 * 200])) == pytest.approx(5 / np.sqrt(224 * 200))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((9, 3)), r"expected numbers \[5, 3\], found float64 \[9, 3\]"),
        (np.array([["a", "b", "c"]] * 5), r"expected numbers \[5, 3\]"),
        (np.full((5, 3), np.inf), "a visible landmark is not a finite number"),
        (np.array([{"x": 1}], dtype=object), "not a readable .npy file"),
    ],
)
def test_a_damaged_landmark_file_is_named(tmp_path, content, message):
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(DataError, match=message):
        read_npy(tmp_path / "a.npy", 5)


def test_the_five_landmarks_follow_from_the_nine_as_published():
    """Eye centers are the means of their corners; nose and mouth corners are taken as they are (spec 1.4)."""
    nine = np.random.default_rng(0).uniform(0, 100, (1, 9, 2))
    shared = shared_landmarks(SCHEMES["animalweb9"], SCHEMES["horse5"])
    found = dict(zip(shared.names, combine(shared.from_a, nine)[0], strict=True))
    wanted = [nine[0, [0, 1]].mean(axis=0), nine[0, [2, 3]].mean(axis=0), *nine[0, [4, 5, 6]]]
    assert np.allclose([found[name] for name in SCHEMES["horse5"].parts], wanted)
    assert np.allclose(shared.from_b @ np.eye(5), np.eye(5))


# --- lists and boxes


def test_every_face_is_in_exactly_one_list_and_the_few_are_training_faces(release):
    counts = write_lists(release, test=3, val=2, few=4)
    assert counts == {"test": 3, "val": 2, "train": 7, "labeled_4": 4}
    lists = {name: list(read_list(release / "splits" / f"{name}.txt").line_of) for name in counts}
    together = lists["test"] + lists["val"] + lists["train"]
    assert sorted(together) == sorted(p.relative_to(release).as_posix() for p in (release / "horse").rglob("*.jpg"))
    assert set(lists["labeled_4"]) <= set(lists["train"])


def test_lists_depend_on_the_seed_alone(release, tmp_path):
    write_lists(release, test=3, val=2, few=4)
    before = (release / "splits" / "test.txt").read_text()
    write_lists(release, test=3, val=2, few=4)
    assert (release / "splits" / "test.txt").read_text() == before
    with pytest.raises(DataError, match=r"test.txt stands there already, and holds something else"):
        write_lists(release, test=3, val=2, few=4, seed=1)


def test_a_box_is_the_whole_picture(release):
    write_lists(release, test=3, val=2, few=4)
    assert read_horse(release, "splits/train.txt").boxes.tolist() == [[0, 0, 224, 200]] * 7


def test_another_folder_is_told(tmp_path):
    with pytest.raises(DataError, match=r"0 pictures horse/im.*is this the unpacked release_data\?"):
        write_lists(tmp_path)


def test_the_command_says_how_many(release, capsys):
    assert main(["horse-lists", str(release)]) == 2
    assert "the lists need at least 326" in capsys.readouterr().err
    for k in range(330):
        write_face(release, "more", str(k))
    assert main(["horse-lists", str(release)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["test", "186"], ["val", "100"], ["train", "56"], ["labeled_40", "40"],
    ]  # fmt: skip


# --- the setting


def test_the_horse_setting_reads_release_data_and_animalwebs_horses(release, tmp_path):
    write_lists(release, test=3, val=2, few=4)
    web = tmp_path / "animalweb"
    (web / "images").mkdir(parents=True)
    (web / "lists").mkdir()
    names = ["horse_1.jpg", "zebra_1.jpg", "horse_2.jpg"]
    for name in names:
        Image.new("RGB", (50, 40)).save(web / "images" / name)
    (web / "lists" / "all.txt").write_text("".join(f"{name}\n" for name in names))
    (web / "bbox.csv").write_text("img,x,y,w,h\n" + "".join(f"{name},1,2,30,30\n" for name in names))
    places = {"DATA.ROOT": str(release), "DATA.UNLABELED_ROOT": str(web)}
    setting = Setting(config.load("params/horse.yaml", places))
    assert {role: len(setting.annotations(role)) for role in ("train", "labeled", "val", "test")} == {
        "train": 7, "labeled": 7, "val": 2, "test": 3,
    }  # fmt: skip
    unlabeled = setting.annotations("unlabeled")
    assert unlabeled.table["image"].tolist() == ["horse_1.jpg", "horse_2.jpg"]
    assert not unlabeled.has_landmarks
    assert setting.shared.names == tuple(SCHEMES["horse5"].parts)


@pytest.mark.slow
def test_the_stand_in_has_labels_and_test_images_of_horses_alone(shared_data):
    setting = Setting(config.load("params/animalpose_horse.yaml", {"DATA.ROOT": str(shared_data / "animalpose")}))
    counts = {}
    for role in ("labeled", "train", "val", "test"):
        faces = setting.annotations(role)
        assert set(faces.table["species"]) == {"horse"}
        counts[role] = len(faces)
    assert counts == {"labeled": 16, "train": 205, "val": 38, "test": 35}
    assert set(setting.annotations("unlabeled").table["species"]) == {"cat", "cow", "dog", "horse", "sheep"}


def test_fault_13_is_measured_by_rows_that_differ_in_the_feedback_alone():
    grid = yaml.safe_load((ROOT / "params" / "grids" / "horse.yaml").read_text())
    rows = {name: config.load("params/animalpose_horse.yaml", row["set"]) for name, row in grid.items()}
    for variant in ("published", "corrected"):
        own = {name: row for name, row in rows.items() if name.startswith(f"horse_{variant}_")}
        assert {"detached", "raw", "normalized"} <= {row.METHOD.FEEDBACK for row in own.values()}
        for name, row in own.items():
            assert (row.METHOD.VARIANT, name) == (variant, f"horse_{variant}_{row.METHOD.FEEDBACK}")
            assert (row.METHOD.SELECT, row.METHOD.EXCLUDE_NEGATIVES, row.METHOD.INCLUDE_POSITIVES) == (
                "last",
                False,
                False,
            )
        without = [{key: value for key, value in row.METHOD.items() if key != "FEEDBACK"} for row in own.values()]
        assert all(row == without[0] for row in without)

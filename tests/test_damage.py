"""Dirty data and untrusted files: each damaged input ends in a precise error or a report, or is read rightly.

The inputs are made by tests/damage.py. No exception of another library, no traceback, no number that is silently
another one; nothing that a file says is ever executed.
"""

import os
import re
from collections import Counter

import damage
import numpy as np
import pytest
import torch

from cskt import config
from cskt.data.annotations import read_animalweb, read_coco, read_landmark_csv
from cskt.data.datasets import unlabeled_set
from cskt.data.folder import read_folder
from cskt.data.horse import read_npy
from cskt.data.labels import read_labels
from cskt.data.schemes import read_scheme
from cskt.errors import DataError
from cskt.landmarks import SCHEMES
from cskt.mining import read_disagreements
from cskt.models import NETWORKS, LandmarkNet, checkpoints
from cskt.models.unet import UNet


def of_faces(faces):
    """Image -> its box and landmarks, and image -> what was reported, of an annotation table."""
    numbers = {name: (box, points) for name, box, points in zip(faces.table["image"], faces.boxes, faces.landmarks,
                                                               strict=True)}  # fmt: skip
    reported = faces.problems.groupby("image")["problem"].agg("; ".join).to_dict()
    return numbers, reported


def crops(home):
    """Image -> its crop; what cannot be listed or decoded is reported."""
    faces = read_folder(home, SCHEMES["animalweb9"])
    data = unlabeled_set(faces, 32, 1.0, home / "cache")
    (undecodable,) = (home / "cache").glob("*.problems.csv")
    reported = faces.problems.set_index("image")["problem"].to_dict()
    for line in undecodable.read_text().splitlines()[1:]:
        reported[line.split(",")[0]] = line
    names = [name.rsplit(".", 1)[0] for name in data.table["image"]]
    found = dict(zip(names, (data.crops[np.arange(len(data))].astype(float)), strict=True))
    return found, {name.rsplit(".", 1)[0]: text for name, text in reported.items()}


def of_network(home):
    net = checkpoints.load(home / "net.pt")
    return {"weights": torch.cat([value.flatten().double() for value in net.state_dict().values()]).numpy()}, {}


def of_scheme(home):
    scheme = read_scheme(home / "own.yaml")
    return {"scheme": np.array([str(scheme.as_plain())])}, {}


READERS = {
    "pictures": crops,
    "gray": crops,
    "animalweb": lambda home: of_faces(read_animalweb(home, "all.txt")),
    "pts_labels": lambda home: of_faces(read_labels(home).faces),
    "landmark_csv": lambda home: of_faces(read_landmark_csv(home / "landmarks.csv")),
    "coco": lambda home: of_faces(read_coco(home / "coco.json", home)),
    "coco_labels": lambda home: of_faces(read_labels(home / "coco.json", home).faces),
    **dict.fromkeys(
        ("deeplabcut", "sleap", "own_csv"), lambda home: of_faces(read_labels(home / "labels.csv", home).faces)
    ),
    "npy": lambda home: ({"points": read_npy(home / "horse.npy", 5)}, {}),
    "params": lambda home: ({"tree": np.array([str(config.load(home / "own.yaml"))])}, {}),
    "scheme": of_scheme,
    "disagreements": lambda home: (
        {"table": read_disagreements(home / "human.csv", home / "flip.csv").to_numpy()}, {}
    ),
    "network": of_network,
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Kind -> (the files of a folder of undamaged ones, what its reader finds there)."""
    found = {}
    for kind in READERS:
        home = tmp_path_factory.mktemp(kind)
        if kind == "network":
            NETWORKS["damaged"] = (lambda landmarks, weights: UNet(landmarks, width=4), 2)
            torch.manual_seed(0)
            checkpoints.save(home / "net.pt", LandmarkNet("damaged", "animalweb9", 9, 32, "softmax"))
        else:
            damage.GOOD[kind](home)
        contents = {path.relative_to(home): path.read_bytes() for path in home.rglob("*") if path.is_file()}
        if kind == "gray":  # what the 16-bit pictures are to be, in 8
            contents |= {k: damage.saved("PNG", "L")(b"") for k in contents if k.name == "cat_1.png"}
            for path, content in contents.items():
                (home / path).write_bytes(content)
        found[kind] = contents, READERS[kind](home)
    yield found
    NETWORKS.pop("damaged")


@pytest.fixture(autouse=True)
def _there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def equal(a, b, tolerance=0.0):
    if isinstance(a, tuple):
        return all(equal(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if a.dtype.kind in "fiu" and tolerance:
        return a.shape == b.shape and np.abs(a - b).mean() <= tolerance
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


# torch warns of the pickle that tries to run code, before it refuses it
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("case", damage.ALL, ids=str)
def test_a_damaged_input_is_refused_reported_or_read_rightly(case, good, tmp_path):
    contents, (numbers, _) = good[case.kind]
    home = tmp_path / "home"
    for path, content in contents.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
    target = home / case.file
    before = target.read_bytes()
    target.unlink()
    if case.change is not None:
        damaged = case.change(before)
        assert damaged != before or case.kind == "gray", "nothing is damaged"
        target.with_name(case.name or target.name).write_bytes(damaged)

    if case.outcome == "error":
        with pytest.raises(DataError) as error:
            READERS[case.kind](home)
        text = str(error.value)
        assert re.search(case.message, text), text
        assert "\n" not in text and len(text) < 1200
        assert text.startswith(str(home)), "the file comes first"
    else:
        found, reported = READERS[case.kind](home)
        hurt = [name for name in numbers if name.startswith("cat_1")]
        # a lossy format, and Pillow's own way from CMYK to RGB, move a pixel's value a little
        tolerance = 6.0 if case.kind == "pictures" else 1.0 if case.kind == "gray" else 0.0
        for name in numbers.keys() - set(hurt if case.outcome != "same" else ()):
            if case.outcome != "read":
                assert equal(found[name], numbers[name], tolerance), f"{name} is no longer what it was"
        told = "; ".join(map(str, reported.values()))
        if case.outcome == "same":
            assert reported == {}
        elif case.outcome in ("excluded", "kept", "left out"):
            assert re.search(case.message, told), told
            assert bool(set(hurt) & found.keys()) == (case.outcome == "kept")
    assert not (tmp_path / "harm").exists(), "a file's code was executed"


def test_what_is_no_file_or_has_no_name_is_left_out(tmp_path):
    damage.pictures(tmp_path)
    os.mkfifo(tmp_path / "cat_3.png")
    (tmp_path / "cat_4.png").mkdir()
    odd = os.path.join(os.fsencode(tmp_path), b"cat_\xff.png")
    with open(odd, "wb") as file:
        file.write((tmp_path / "cat_1.png").read_bytes())
    faces = read_folder(tmp_path, SCHEMES["animalweb9"])
    told = faces.problems.set_index("image")["problem"].to_dict()
    assert faces.table["image"].tolist() == ["cat_1.png", "cat_2.png"]
    assert told.keys() == {"cat_3.png", "cat_\\udcff.png"}
    assert "not a regular file" in told["cat_3.png"] and "not UTF-8" in told["cat_\\udcff.png"]
    assert faces.summary().encode() and len(unlabeled_set(faces, 32, 1.0, tmp_path / "cache")) == 2


def test_there_are_at_least_two_hundred_damaged_inputs_of_every_kind():
    assert len(damage.ALL) >= 200
    assert len(set(map(str, damage.ALL))) == len(damage.ALL)
    assert set(Counter(case.kind for case in damage.ALL)) == READERS.keys()

"""Forty labels of Animal-Pose in each format that people have are the same labels to the last digit."""

import importlib.util
import json
import shutil

import foreign
import numpy as np
import pandas as pd
import pytest
import torch
from builders import SIZE, use_tiny_network, weights

from cskt import adapt
from cskt.data.annotations import read_coco
from cskt.data.boxes import box_of
from cskt.data.labels import read_labels
from cskt.data.pictures import picture_size
from cskt.data.schemes import write_scheme
from cskt.landmarks import SCHEMES
from cskt.models import LandmarkNet, checkpoints

HAS_TABLES = importlib.util.find_spec("tables") is not None
SCHEME = SCHEMES["animalpose5"]
UNLABELED = 10


@pytest.fixture(scope="module")
def home(shared_data, tmp_path_factory):
    """The labels in each format, their pictures and ten others, the list of SLEAP's frames, the scheme, face boxes."""
    root = shared_data / "animalpose"
    if not root.is_dir():
        pytest.skip(f"Animal-Pose's faces are not here: {root}")
    home = tmp_path_factory.mktemp("forty")
    faces = read_coco(root / "annotations/train.json", root / "images", scheme=SCHEME)
    listed = (root / "splits/labeled_40.txt").read_text().split()
    labeled = faces.select(sorted(listed))
    others = faces.table[~faces.table["image"].isin(listed)].iloc[:: len(faces) // UNLABELED][:UNLABELED]
    (home / "pictures").mkdir()
    for path in [*labeled.table["path"], *others["path"]]:
        shutil.copy(path, home / "pictures")
    boxes = pd.concat([labeled.table, others])[["image", *"xywh"]].rename(columns={"image": "img"})
    boxes.to_csv(home / "boxes.csv", index=False)
    names = labeled.table["image"].tolist()
    formats = foreign.write_all(home, names, labeled.landmarks, h5=HAS_TABLES, parts=SCHEME.landmarks)
    (home / "frames.txt").write_text("".join(f"{name}\n" for name in names))
    formats["SLEAP"] = (home / "analysis.csv", {"frames": home / "frames.txt"})
    # .pts files name no landmark, so that all are read with the scheme
    write_scheme(home / "animalpose5.yaml", SCHEME)
    return home, labeled, formats


def test_every_format_gives_the_same_forty_faces(home):
    folder, labeled, formats = home
    points = labeled.landmarks
    assert len(labeled) == 40 and len(formats) >= 7
    rule = [box_of(own, *picture_size(path)) for own, path in zip(points, labeled.table["path"], strict=True)]
    first = None
    for name, (path, how) in formats.items():
        faces = read_labels(path, folder / "pictures", scheme=SCHEME, **how).faces
        assert np.array_equal(faces.landmarks, points, equal_nan=True), name
        assert np.array_equal(faces.boxes, rule), name
        text = faces.table.to_csv(index=False)
        first = first or text
        assert text == first, name
        given = read_labels(path, folder / "pictures", scheme=SCHEME, boxes=folder / "boxes.csv", **how).faces
        assert np.array_equal(given.boxes, labeled.boxes), name


def test_formats_that_name_their_landmarks_propose_the_same_scheme(home):
    folder, _, formats = home
    for name, (path, how) in formats.items():
        if name != ".pts":
            scheme = read_labels(path, folder / "pictures", **how).faces.scheme
            assert (scheme.landmarks, scheme.flip_pairs) == (SCHEME.landmarks, SCHEME.flip_pairs), name
            assert scheme.parts["image_left_eye"] == SCHEME.parts["image_left_eye"], name


@pytest.mark.slow
def test_adapt_gives_the_same_detector_and_report_from_every_format(home, tmp_path, monkeypatch):
    folder, _, formats = home
    use_tiny_network(monkeypatch)
    torch.manual_seed(1)
    checkpoints.save(folder / "human.pt", LandmarkNet("tiny", "animalweb9", 9, SIZE, "softmax"))
    steps = {"FEW_SHOT.STEPS": 2, "METHOD.STEPS": 2, "METHOD.UPDATE_STEPS": 1, "OWN.FOLDS": 2, "OWN.NEXT": 3,
             "FEW_SHOT.BATCH": 4, "METHOD.BATCH_LABELED": 4, "METHOD.BATCH_UNLABELED": 4, "DEVICE": "cpu",
             "MINING.T_NEG": 10.0, "HUMAN.CHECKPOINT": str(folder / "human.pt"), "OWN.IMAGES": str(folder / "pictures"),
             "OWN.SCHEME": str(folder / "animalpose5.yaml"), "OWN.BOXES": str(folder / "boxes.csv")}  # fmt: skip
    found = {}
    for name, (path, how) in formats.items():
        if name in ("DeepLabCut 2.2 CSV", "DeepLabCut H5 table"):
            continue  # further layouts of two formats; their tables are equal too, see above
        out = tmp_path / name.replace(" ", "_")
        own = {"OWN.LABELS": str(path), "OWN.FRAMES": str(how.get("frames", ""))}
        adaptation = adapt.prepare("params/own.yaml", steps | own, out)
        adapt.run(adaptation)
        summary = adapt.write_results(adaptation)
        net = checkpoints.load(out / "checkpoint.pt")
        tables = [(out / file).read_text() for file in ("scores.csv", "pseudo_labels.csv", "next_to_label.csv")]
        inputs = json.loads((out / "inputs.json").read_text())
        # the error is over all forty
        assert len(pd.read_csv(out / "scores.csv").query("run == 'method'")) == 40
        found[name] = (weights(net), summary, tables, inputs, (out / "data" / "labeled.json").read_text())
    first, *others = found.values()
    for name, own in zip(list(found)[1:], others, strict=True):
        assert torch.equal(own[0], first[0]), name
        assert own[1:] == first[1:], name

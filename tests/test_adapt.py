"""From labels and a folder of pictures to a detector: parts, decisions, the whole way, stopped and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import foreign
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from builders import SIZE, unlabeled_faces, use_tiny_network, weights, write_faces
from PIL import Image

from cskt import adapt, config, sheets
from cskt.__main__ import main
from cskt.adapt import job as job_module
from cskt.adapt import results
from cskt.adapt.prepare import _folds
from cskt.adapt.results import _gain, _warning, choose_next, committee_disagreement
from cskt.data.labels import read_labels
from cskt.errors import ConfigError, DataError
from cskt.landmarks import SCHEMES
from cskt.models import LandmarkNet, checkpoints
from cskt.settings import Setting

LABELED, UNLABELED = 6, 8


@pytest.fixture(autouse=True)
def forget():
    """Schemes of one test are not known in the next."""
    before = dict(SCHEMES)
    yield
    SCHEMES.clear()
    SCHEMES.update(before)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Pictures of dotted faces, six of them labeled in every format; boxes of all; an untrained human model."""
    home = tmp_path_factory.mktemp("own")
    faces = write_faces(home / "all", LABELED + UNLABELED)
    points = faces.landmarks[:LABELED, [0, 3, 4, 8]]
    for path in (home / "all" / "images").glob("*.pts"):
        path.unlink()
    (home / "all" / "images").rename(home / "pictures")
    foreign.write_all(home, faces.table["image"].tolist()[:LABELED], points, h5=False)
    (home / "face4.yaml").write_text(
        f"landmarks: [{', '.join(foreign.NAMES)}]\n"
        "same_as: {image_left_eye: left_eye, image_right_eye: right_eye, nose: nose}\n"
    )
    torch.manual_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_network(patch)
        checkpoints.save(home / "human.pt", LandmarkNet("tiny", "animalweb9", 9, SIZE, "softmax"))
    return home


def overrides(home, labels="one.csv", **changes):
    steps = {"FEW_SHOT.STEPS": 3, "METHOD.STEPS": 4, "METHOD.UPDATE_STEPS": 2, "OWN.FOLDS": 2, "OWN.NEXT": 3}
    small = {"FEW_SHOT.BATCH": 4, "METHOD.BATCH_LABELED": 4, "METHOD.BATCH_UNLABELED": 4, "DEVICE": "cpu"}
    place = {"OWN.LABELS": str(home / labels), "OWN.IMAGES": str(home / "pictures"), "MINING.T_NEG": 10.0,
             "OWN.SCHEME": str(home / "face4.yaml"), "HUMAN.CHECKPOINT": str(home / "human.pt"),
             "OWN.BOXES": str(home / "all" / "bbox.csv")}  # fmt: skip
    return steps | small | place | {key.replace("__", "."): value for key, value in changes.items()}


def prepare(home, out, labels="one.csv", **changes):
    return adapt.prepare("params/own.yaml", overrides(home, labels, **changes), out)


@pytest.fixture
def tiny(monkeypatch):
    use_tiny_network(monkeypatch)


# --- preparing


def test_what_was_read_is_laid_down_and_read_back_to_the_last_digit(tiny, home, tmp_path):
    adaptation = prepare(home, tmp_path / "out")
    scheme = adaptation.labels.faces.scheme
    again = read_labels(tmp_path / "out" / "data" / "labeled.json", home / "pictures", scheme=scheme)
    pd.testing.assert_frame_equal(again.faces.table, adaptation.labels.faces.table, check_exact=True)
    assert set(adaptation.unlabeled.table["image"]) == {f"cat_{k}.png" for k in range(LABELED, LABELED + UNLABELED)}
    assert not adaptation.unlabeled.has_landmarks
    cfg = config.load(tmp_path / "out" / "config.yaml")
    assert (cfg.MODEL.NAME, cfg.INPUT.SIZE, cfg.HUMAN.SCHEME) == ("tiny", SIZE, "animalweb9")
    assert "shared with the human model: image_left_eye, image_right_eye, nose" in adaptation.notes


def test_each_label_is_held_out_once_and_never_learned_where_it_is(tiny, home, tmp_path):
    adaptation = prepare(home, tmp_path / "out", OWN__FOLDS=3)
    names = adaptation.labels.faces.table["image"].tolist()
    held_out = {job: names for job, names in adaptation.held_out.items() if job != "final"}
    assert sorted(name for part in held_out.values() for name in part) == names
    for job, left_out in adaptation.held_out.items():
        learned = (tmp_path / "out" / "data" / f"{job}.txt").read_text().split()
        assert sorted([*learned, *left_out]) == names


def faces_named(names, species="cat"):
    table = pd.DataFrame({"image": names, "path": names, "species": species})
    return replace(read_empty(), table=table)


def read_empty():
    from cskt.data.table import Annotations

    return Annotations(pd.DataFrame(), SCHEMES["horse5"], pd.DataFrame())


def test_folds_hold_each_species_evenly():
    names = [f"{species}_{k}.png" for species in ("cat", "dog") for k in range(10)]
    species = [name.split("_")[0] for name in names]
    parts = _folds(faces_named(names, species), 5, seed=0)
    for part in parts.values():
        assert sorted(name.split("_")[0] for name in part) == ["cat", "cat", "dog", "dog"]
    assert parts == _folds(faces_named(names, species), 5, seed=0)
    assert parts != _folds(faces_named(names, species), 5, seed=1)


def test_faces_of_one_video_stay_together_if_there_are_videos_enough():
    names = [f"video{v}/img{k}.png" for v in range(4) for k in range(5)]
    for part in _folds(faces_named(names), 4, seed=0).values():
        assert len({name.split("/")[0] for name in part}) == 1
    assert len(_folds(faces_named(names), 5, seed=0)) == 5
    assert _folds(faces_named(names[:3]), 5, seed=0) == {}
    assert _folds(faces_named(names), 0, seed=0) == {}


def test_faces_of_one_picture_stay_together():
    faces = faces_named([f"a_{k}.png#{n}" for k in range(4) for n in (1, 2)])
    faces = replace(faces, table=faces.table.assign(path=faces.table["image"].str.split("#").str[0]))
    for part in _folds(faces, 4, seed=0).values():
        assert len({name.split("#")[0] for name in part}) == 1


def test_small_faces_in_whole_pictures_are_warned_of(tiny, home, tmp_path):
    notes = prepare(home, tmp_path / "out", OWN__BOXES="").notes
    assert "unlabeled pictures have no face boxes: each whole picture is taken as one" in notes
    (warning,) = [note for note in notes if note.startswith("labeled faces fill")]
    # faces of 20 x 18 px make boxes twice as wide and 2.6 times as high, in pictures of 90 x 70 px
    assert "times smaller than those learned: give --boxes CSV, or --box picture" in warning
    notes = prepare(home, tmp_path / "whole", OWN__BOXES="", OWN__BOX="picture").notes
    assert not [note for note in notes if note.startswith("labeled faces fill")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"HUMAN__CHECKPOINT": ""}, r"a face model to start from is needed: --human CHECKPOINT.* makes one of drawn "
         r"faces .*cskt run notebooks/02_human_model.ipynb .*Without any: --human none"),
        ({"HUMAN__CHECKPOINT": "gone.pt"}, r"gone\.pt: no such checkpoint"),
        ({"OWN__LABELS": ""}, r"give the labels: --labeled PATH .*folder of pictures: --images DIR"),
        ({"OWN__IMAGES": "nowhere"}, r"nowhere: no such folder of pictures"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_with_what_to_do(tiny, home, tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        prepare(home, tmp_path / "out", **changes)
    assert not (tmp_path / "out" / "inputs.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"OWN__FOLDS": 1}, r"--folds 1 \(OWN\.FOLDS\): a cross-validation has two parts or more; 0: none"),
        ({"MODEL__NAME": "unet"}, r"MODEL\.NAME unet: is that of the human model .*human\.pt here, tiny: leave it out"),
        ({"DATA__SCHEME": "animalpose5"}, r"DATA\.SCHEME animalpose5: is that of the labels and pictures here"),
    ],
)
def test_what_contradicts_the_inputs_is_refused(tiny, home, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        prepare(home, tmp_path / "out", **changes)
    assert prepare(home, tmp_path / "out", MODEL__NAME="tiny").cfg.MODEL.NAME == "tiny"


def test_a_folder_of_labeled_pictures_alone_is_refused_unless_labels_are_enough(tiny, home, tmp_path):
    for k in range(LABELED):
        (tmp_path / f"cat_{k}.png").write_bytes((home / "pictures" / f"cat_{k}.png").read_bytes())
    changes = {"OWN__IMAGES": str(tmp_path)}
    with pytest.raises(DataError, match="no picture without a label to learn from; --few-shot-only needs none"):
        prepare(home, tmp_path / "out", **changes)
    assert prepare(home, tmp_path / "out", **changes, OWN__FEW_SHOT_ONLY=True).unlabeled is None


def test_labels_and_unlabeled_pictures_may_lie_in_two_folders(tiny, home, tmp_path):
    """A folder that DeepLabCut labeled, and another one whose pictures are called the same."""
    video, others = tmp_path / "dlc" / "labeled-data" / "video", tmp_path / "others"
    names = foreign.pictures(tmp_path / "dlc", LABELED, deep="labeled-data/video/")
    (video / "CollectedData_Ann.csv").write_text(foreign.deeplabcut_csv(names, foreign.landmarks(LABELED), 3))
    others.mkdir()
    for k in range(UNLABELED):
        name = f"cat_{LABELED + k}.png" if k else "cat_0.png"
        (others / name).write_bytes((home / "pictures" / f"cat_{LABELED + k}.png").read_bytes())
    changes = {"OWN__IMAGES": str(others), "OWN__BOXES": "", "OWN__SCHEME": ""}
    adaptation = prepare(home, tmp_path / "out", OWN__LABELS=str(video), **changes)
    setting = Setting(config.load(tmp_path / "out" / "config.yaml"))
    labeled, unlabeled = setting.annotations("test"), setting.annotations("unlabeled")
    assert labeled.table["image"].tolist() == [f"dlc/{name}" for name in names]
    assert [Path(path) for path in labeled.table["path"]] == [tmp_path / "dlc" / name for name in names]
    assert len(unlabeled) == UNLABELED
    assert {Path(path).parent for path in unlabeled.table["path"]} == {others}
    assert np.array_equal(labeled.landmarks, adaptation.labels.faces.landmarks, equal_nan=True)
    assert sorted(name for part in adaptation.held_out.values() for name in part) == labeled.table["image"].tolist()


def test_without_a_folder_of_pictures_the_one_beside_the_labels_is_taken(tiny, home, tmp_path):
    shutil.copytree(home / "pictures", tmp_path / "images")
    shutil.copy(home / "one.csv", tmp_path)
    adaptation = prepare(home, tmp_path / "out", OWN__LABELS=str(tmp_path / "one.csv"), OWN__IMAGES="")
    assert len(adaptation.labels.faces) == LABELED
    assert len(adaptation.unlabeled) == UNLABELED
    assert {Path(path).parent for path in adaptation.unlabeled.table["path"]} == {tmp_path / "images"}


def test_a_folder_of_another_adaptation_is_not_mixed_with_this_one(tiny, home, tmp_path):
    prepare(home, tmp_path / "out")
    prepare(home, tmp_path / "out", OWN__NEXT=5)  # what is proposed may change
    trained = tmp_path / "out" / "jobs" / "final" / "few_shot.pt"
    trained.parent.mkdir(parents=True)
    trained.write_bytes(b"")
    with pytest.raises(DataError, match=r"with other METHOD\.STEPS: 4 there, 5 now: give another --out"):
        prepare(home, tmp_path / "out", METHOD__STEPS=5)
    with pytest.raises(DataError, match="with other labels, unlabeled pictures: give"):
        (tmp_path / "few.txt").write_text("cat_0.png\ncat_1.png\ncat_2.png\ncat_3.png\n")
        prepare(home, tmp_path / "out", OWN__LIST=str(tmp_path / "few.txt"))


def test_a_folder_in_which_nothing_was_trained_is_taken_over(tiny, home, tmp_path):
    """As --estimate leaves it, or a call that was stopped before its first training."""
    prepare(home, tmp_path / "out")
    (tmp_path / "out" / "jobs" / "final").mkdir(parents=True)
    (tmp_path / "out" / "jobs" / "final" / "log.txt").write_text("stopped")
    adaptation = prepare(home, tmp_path / "out", METHOD__STEPS=5, OWN__FOLDS=3)
    assert list(adaptation.held_out) == ["final", "fold1", "fold2", "fold3"]
    assert config.load(tmp_path / "out" / "config.yaml").METHOD.STEPS == 5
    assert not (tmp_path / "out" / "jobs").exists()


def test_an_option_that_has_come_since_had_its_default(tiny, home, tmp_path):
    prepare(home, tmp_path / "out")
    (tmp_path / "out" / "jobs").mkdir()
    (tmp_path / "out" / "jobs" / "few_shot.pt").write_bytes(b"")
    former = json.loads((tmp_path / "out" / "inputs.json").read_text())
    del former["config"]["MINING"]["T_POS"]
    (tmp_path / "out" / "inputs.json").write_text(json.dumps(former))
    prepare(home, tmp_path / "out")


def test_two_calls_in_one_folder_do_not_meet(tiny, home, tmp_path):
    adaptation = prepare(home, tmp_path / "out")
    holds = (
        "import sys, time; from cskt import locks; locks.hold(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", holds, str(adaptation.out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=config.PROJECT) as other:
        other.stdout.readline()
        for call in (lambda: prepare(home, tmp_path / "out"), lambda: adapt.run(adaptation)):
            with pytest.raises(DataError, match=f"process {other.pid} .* is at work in this folder"):
                call()
        other.kill()
    prepare(home, tmp_path / "out")


def test_what_is_left_out_is_told_with_the_reason(tiny, home, tmp_path):
    shutil.copytree(home / "pictures", tmp_path / "pictures")
    for name in ("cat_0.png", "dot.png"):
        Image.new("RGB", (1, 1)).save(tmp_path / "pictures" / name)
    notes = prepare(home, tmp_path / "out", OWN__IMAGES=str(tmp_path / "pictures"), OWN__BOXES="").notes
    assert "1 labels left out: 'cat_0.png: the picture is a single pixel'" in notes
    told = [f"'{name}: the picture is a single pixel'" for name in ("cat_0.png", "dot.png")]
    assert f"2 pictures left out: {', '.join(told)}" in notes


def test_what_was_drawn_into_a_folder_among_the_pictures_is_no_picture_of_theirs(tiny, home, tmp_path):
    shutil.copytree(home / "pictures", tmp_path / "pictures")
    changes = {"OWN__IMAGES": str(tmp_path / "pictures"), "OWN__BOXES": ""}
    out = tmp_path / "pictures" / "adapted"
    first = prepare(home, out, **changes)
    (out / "sheets").mkdir()
    shutil.copy(tmp_path / "pictures" / "cat_7.png", out / "sheets" / "labels_1.png")
    assert prepare(home, out, **changes).unlabeled.table["image"].tolist() == first.unlabeled.table["image"].tolist()


def test_results_are_not_written_over_the_folder_of_the_pictures(tiny, home, tmp_path):
    shutil.copytree(home / "pictures", tmp_path / "own" / "pictures")
    for out in (tmp_path / "own", tmp_path / "own" / "pictures"):
        with pytest.raises(DataError, match=rf"^{out}: the pictures are in there \({tmp_path}/own/pictures\): give"):
            prepare(home, out, OWN__IMAGES=str(tmp_path / "own" / "pictures"), OWN__FEW_SHOT_ONLY=True)
    assert {path.name for path in (tmp_path / "own").iterdir()} == {"pictures"}


@pytest.mark.parametrize(
    "content", ["", '{"labels": "a', "[]", "{}", "[" * 100_000], ids=["empty", "half", "list", "no key", "deep"]
)
def test_damaged_records_of_an_adaptation_are_told_or_count_as_not_done(tiny, home, tmp_path, content):
    adaptation = prepare(home, tmp_path / "out")
    folder = tmp_path / "out" / "jobs" / "final"
    folder.mkdir(parents=True)
    (folder / "done.json").write_text('{"decisions": {}}')
    assert "final" not in adapt.pending(adaptation)
    (folder / "done.json").write_text(content)
    assert "final" in adapt.pending(adaptation)
    (tmp_path / "out" / "inputs.json").write_text(content)
    with pytest.raises(DataError, match=r"inputs\.json: damaged: delete .*out, or give another --out"):
        prepare(home, tmp_path / "out")


# --- decisions, disagreement, the next pictures


def test_decisions_are_read_and_another_word_is_refused(tmp_path):
    path = tmp_path / "pseudo_labels.csv"
    assert adapt.decisions(path) == {}
    path.write_text("image,decision,x\nb.png,Reject ,1\na.png,,2\nc.png,accept,3\nd.png,drop,4\n")
    assert adapt.decisions(path) == {"b.png": "reject", "c.png": "accept", "d.png": "drop"}
    path.write_text("image,decision\na.png,\nb.png,maybe\n")
    with pytest.raises(DataError, match=r"line 3: expected decision accept, reject, drop or nothing, found 'maybe'"):
        adapt.decisions(path)
    # as spreadsheets save it, and one that says two things of a picture
    for text, message in (
        ("image\na.png\n", "line 1: expected columns image, decision"),
        ("image;decision\na.png;drop\n", "line 1: its fields are parted by semicolons"),
        ("image,decision\nk\u00e4fer.png,drop\n", "line 2: not UTF-8"),
        ('image,decision\n"a.png,drop\n', "line 2: not CSV"),
        ("image,decision\na.png,drop\na.png,accept\n", "line 3: image 'a.png' stands already on line 2"),
    ):
        path.write_bytes(text.encode("cp1252"))
        with pytest.raises(DataError, match=message):
            adapt.decisions(path)
        with pytest.raises(DataError, match=message):
            results.shown_pseudo_labels(tmp_path)


def test_disagreement_is_the_distance_from_the_mean_of_the_networks():
    landmarks = np.zeros((2, 2, 2, 2))
    landmarks[0, 1] = [[6.0, 8.0], [0.0, 0.0]]  # one network, second picture: 10 px off in the first of two landmarks
    assert committee_disagreement(landmarks, np.array([50.0, 50.0])) == pytest.approx([0, 0.05])


def test_the_next_pictures_disagree_most_and_do_not_look_alike():
    data = unlabeled_faces(6)
    crops = np.array(data.crops)
    crops[3] = crops[1]
    # dots on a plain ground all look alike: give each its own ground
    rng = np.random.default_rng(0)
    for row in (0, 1, 2, 4, 5):
        crops[row] = rng.integers(0, 255, (1, 6, 6, 1)).repeat(8, 1).repeat(8, 2).repeat(3, 3)[0, :48, :48]
    crops[3] = crops[1]
    data = replace(data, crops=crops)
    apart = np.array([0.1, 0.5, 0.2, 0.4, np.nan, 0.3])
    assert choose_next(data, apart, 3).tolist() == [1, 5, 2]
    # the picture that looks like another comes when no other is left, one that is not to be chosen never
    assert choose_next(data, apart, 6).tolist() == [1, 5, 2, 0, 3]


@pytest.fixture
def mined(tmp_path, monkeypatch):
    """Fourteen pictures, thirteen of them positives, and sheets of two that are written down instead of drawn."""
    faces = write_faces(tmp_path / "faces", 14)
    table = faces.table[["image", *[name for name in faces.table if name.endswith(("_x", "_y"))]]].iloc[::-1]
    table.insert(0, "row", range(1, 15))
    table.insert(2, "decision", "")
    table.insert(3, "category", ["positive"] * 13 + ["semi_hard"])
    table.to_csv(tmp_path / "pseudo_labels.csv", index=False)
    drawn = []
    monkeypatch.setattr(sheets, "pages", lambda rows: np.array_split(np.arange(rows), -(-rows // 2)))
    monkeypatch.setattr(sheets, "gallery", lambda shown, *rest: drawn.append((shown["image"].tolist(), rest[-1])))
    monkeypatch.setattr(sheets, "save", lambda axes, path: path.write_bytes(b""))
    return SimpleNamespace(out=tmp_path, unlabeled=faces.without_landmarks(), drawn=drawn)


def test_all_pseudo_labels_are_on_the_sheets_under_their_rows_in_the_table(mined):
    written = adapt.write_pseudo_label_sheets(mined)
    assert [path.name for path in written] == [f"pseudo_labels_{k}.png" for k in range(1, 8)]
    names = [name for images, _ in mined.drawn for name in images]
    titles = [title for _, titles in mined.drawn for title in titles]
    row = pd.read_csv(mined.out / "pseudo_labels.csv").set_index("image")["row"]
    assert names == [f"cat_{k}.png" for k in range(13, 0, -1)]
    assert titles == [f"{row[name]}: {name}\nas mined" for name in names]
    # a person may sort the table, and decide: the rows stay, and sheets that are not needed any more go
    table = pd.read_csv(mined.out / "pseudo_labels.csv").sort_values("image")
    table["category"] = ["positive"] * 3 + ["semi_hard"] * 11
    table.to_csv(mined.out / "pseudo_labels.csv", index=False)
    mined.drawn.clear()
    assert len(adapt.write_pseudo_label_sheets(mined)) == 2
    assert mined.drawn[0][1][0] == f"{row['cat_0.png']}: cat_0.png\nas mined"
    assert sorted(path.name for path in mined.out.glob("*.png")) == ["pseudo_labels_1.png", "pseudo_labels_2.png"]


def test_the_panel_writes_decisions_into_the_table_and_nothing_else(mined):
    before = (mined.out / "pseudo_labels.csv").read_text().splitlines()
    panel = adapt.DecisionPanel(mined)
    assert panel.rows.options[0] == ("1  cat_13.png  as mined", "cat_13.png")
    assert len(panel.rows.options) == 13
    panel.rows.value = ["cat_13.png", "cat_1.png"]
    panel.buttons["reject"].click()
    assert adapt.decisions(mined.out / "pseudo_labels.csv") == {"cat_1.png": "reject", "cat_13.png": "reject"}
    after = (mined.out / "pseudo_labels.csv").read_text().splitlines()
    assert [line.replace("reject", "") for line in after] == before
    assert panel.rows.options[0] == ("1  cat_13.png  reject", "cat_13.png")
    assert panel.message.value == "13 pseudo-labels: 0 accept, 2 reject, 0 drop, 11 as mined."
    panel.rows.value = ["cat_1.png"]
    panel.buttons[""].click()
    assert adapt.decisions(mined.out / "pseudo_labels.csv") == {"cat_13.png": "reject"}
    (mined.out / "pseudo_labels.csv").unlink()
    panel.buttons["drop"].click()
    assert "no such table" in panel.message.value
    with pytest.raises(DataError, match="found 'maybe'"):
        adapt.decide(mined.out / "pseudo_labels.csv", [], "maybe")


# --- what the report says


def of_runs(**errors):
    """A scores table of runs with these errors, an image each."""
    return pd.concat([pd.DataFrame({"run": run, "image": [f"{k}.png" for k in range(len(own))], "nme": own})
                      for run, own in errors.items()])  # fmt: skip


def test_what_the_unlabeled_pictures_did_is_said_with_its_direction():
    assert "raised the error by 0.50 points (95 % interval -0.20 to 1.00," in _gain(-0.5, -1.0, 0.2, 0.1)
    assert "lowered the error by 0.50 points (95 % interval -0.20 to 1.00," in _gain(0.5, -0.2, 1.0, 0.1)
    for nothing in (0.001, -0.001, 0.0):
        told = _gain(nothing, -0.001, 0.001, 0.9)
        assert "left the error as it was (95 % interval 0.00 to 0.00," in told


def test_a_detector_that_does_not_beat_the_mean_shape_is_warned_of():
    mean = np.linspace(0.1, 0.2, 20)
    worse = _warning(of_runs(mean_shape=mean, few_shot=mean, method=2 * mean), "method")
    assert "**Warning: do not trust this detector. Its error, 30.00 %, is above that of the mean shape" in worse
    assert "without looking at the picture, 15.00 %.**" in worse
    assert "is above" in _warning(of_runs(mean_shape=mean, method=mean), "method"), "no better is not better"
    sometimes = np.where(np.arange(20) % 2, 0.5 * mean, 1.45 * mean)
    assert "is not surely below" in _warning(of_runs(mean_shape=mean, method=sometimes), "method")
    assert _warning(of_runs(mean_shape=mean, method=0.7 * mean), "method") == ""
    assert _warning(of_runs(method=2 * mean), "method") == "", "there is nothing to hold it against"


# --- the whole way


@pytest.fixture(scope="module")
def finished(home, tmp_path_factory):
    """An adaptation that is done, in this process."""
    before = dict(SCHEMES)
    out = tmp_path_factory.mktemp("done") / "out"
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_network(patch)
        adaptation = prepare(home, out)
        adapt.run(adaptation)
        summary = adapt.write_results(adaptation)
    SCHEMES.clear()
    SCHEMES.update(before)
    return adaptation, summary


@pytest.mark.slow
def test_the_error_of_each_label_is_of_a_network_that_had_not_learned_it(finished):
    adaptation, summary = finished
    scores = pd.read_csv(adaptation.out / "scores.csv")
    names = adaptation.labels.faces.table["image"].tolist()
    for run in ("mean_shape", "few_shot", "method"):
        own = scores[scores["run"] == run]
        assert own["image"].tolist() == names
        assert summary[f"{run}_nme"] == pytest.approx(own["nme"].mean())
        for name, fold in zip(own["image"], own["fold"], strict=True):
            assert name in adaptation.held_out[fold]
            assert name not in (adaptation.out / "data" / f"{fold}.txt").read_text().split()
    few, method = (scores.loc[scores["run"] == run, "nme"].to_numpy() for run in ("few_shot", "method"))
    assert summary["gain"] == pytest.approx((few - method).mean())
    assert summary["gain_low"] <= summary["gain"] <= summary["gain_high"]


@pytest.mark.slow
def test_results_are_there_for_a_person(tiny, finished):
    adaptation, _ = finished
    out = adaptation.out
    report = (out / "report.md").read_text()
    assert report.startswith("# A detector from 6 labels and 8 unlabeled pictures")
    assert "those on which the networks of the cross-validation are farthest apart" in report
    assert "| with the unlabeled pictures |" in report
    assert "**Warning: do not trust this detector." in report, "it was trained for a few steps"
    for name in ("worst_labels.png", "pseudo_labels_1.png", "next_to_label.png"):
        assert (out / name).stat().st_size > 5000
    table = pd.read_csv(out / "pseudo_labels.csv")
    assert set(table["image"]) == set(adaptation.unlabeled.table["image"])
    assert table["decision"].isna().all()
    assert table["row"].tolist() == list(range(1, 9))
    assert "what mining took for sure (category positive), all 3 on the sheets" in report
    # the share of positives that was asked for, 0.3 of eight, and they stand first
    assert table["category"].tolist()[:4] == ["positive"] * 3 + ["semi_hard"]
    chosen = pd.read_csv(out / "next_to_label.csv")
    assert chosen["disagreement"].is_monotonic_decreasing
    assert set(chosen["image"]) <= set(adaptation.unlabeled.table["image"])
    final = checkpoints.load(out / "checkpoint.pt")
    assert final.spec["landmarks"] == 4
    assert torch.equal(weights(final), weights(checkpoints.load(out / "jobs" / "final" / "method.pt")))


@pytest.mark.slow
def test_every_format_gives_the_same_detector_and_error_to_the_last_digit(tiny, home, finished, tmp_path):
    adaptation, summary = finished
    first = weights(checkpoints.load(adaptation.out / "checkpoint.pt"))
    for name in ("three.csv", "analysis.csv", "result.json", "pts"):
        again = prepare(home, tmp_path / name, name)
        adapt.run(again)
        assert adapt.write_results(again) == summary, name
        assert torch.equal(weights(checkpoints.load(tmp_path / name / "checkpoint.pt")), first), name
        for table in ("scores.csv", "next_to_label.csv", "pseudo_labels.csv"):
            assert (tmp_path / name / table).read_text() == (adaptation.out / table).read_text()


@pytest.mark.slow
def test_what_was_stopped_anywhere_goes_on_to_the_same_end(tiny, home, finished, tmp_path, monkeypatch):
    steps, real = [], job_module.Counted.step

    def counted(self, step, lr, generator):
        steps.append(step)
        if len(steps) in (2, 9, 14):  # in few-shot training, in the method, in the training of a fold
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, step, lr, generator)

    monkeypatch.setattr(job_module.Counted, "step", counted)
    stops = 0
    while True:
        adaptation = prepare(home, tmp_path / "out")
        try:
            adapt.run(adaptation)
            break
        except SystemExit as stop:
            assert stop.code == 143
            stops += 1
    assert stops == 3
    assert len(steps) == 3 * (3 + 4)  # no step was taken twice
    assert adapt.write_results(adaptation) == finished[1]
    assert not list((tmp_path / "out").rglob("resume.pt"))
    assert adapt.pending(adaptation) == []


@pytest.mark.slow
def test_decisions_of_a_person_are_honored_and_only_that_stage_is_done_again(tiny, home, finished, tmp_path):
    adaptation = prepare(home, tmp_path / "out")
    adapt.run(adaptation, until="mining")
    assert not (tmp_path / "out" / "jobs" / "final" / "method.pt").exists()
    assert [path.name for path in adapt.write_pseudo_label_sheets(adaptation)] == ["pseudo_labels_1.png"]
    adapt.run(adaptation)
    first = weights(checkpoints.load(tmp_path / "out" / "jobs" / "final" / "method.pt"))
    assert torch.equal(first, weights(checkpoints.load(finished[0].out / "checkpoint.pt")))
    few_shot = (tmp_path / "out" / "jobs" / "final" / "few_shot.pt").stat().st_mtime_ns

    path = tmp_path / "out" / "pseudo_labels.csv"
    table = pd.read_csv(path)
    table["decision"] = ["reject", "drop", "reject", "accept", *[""] * (UNLABELED - 4)]
    table.to_csv(path, index=False)
    assert adapt.pending(adaptation) == ["final", "fold1", "fold2"]
    adapt.run(adaptation)
    second = weights(checkpoints.load(tmp_path / "out" / "jobs" / "final" / "method.pt"))
    assert not torch.equal(first, second)
    assert (tmp_path / "out" / "jobs" / "final" / "few_shot.pt").stat().st_mtime_ns == few_shot
    pool = pd.read_csv(tmp_path / "out" / "jobs" / "final" / "method" / "metrics.csv")["pool"].iloc[-1]
    assert pool == 1 * 2 / 4  # one picture, from the third of four steps on
    adapt.write_results(adaptation)
    assert table["image"][1] not in pd.read_csv(tmp_path / "out" / "next_to_label.csv")["image"].tolist()
    assert pd.read_csv(path)["decision"].fillna("").tolist() == table["decision"].tolist()


@pytest.mark.slow
def test_without_a_human_model_and_from_labels_alone(tiny, home, tmp_path):
    changes = {"HUMAN__CHECKPOINT": "none", "OWN__FEW_SHOT_ONLY": True, "MODEL__NAME": "tiny", "INPUT__SIZE": SIZE,
               "MODEL__WEIGHTS": "", "MODEL__FROZEN": 0}  # fmt: skip
    adaptation = prepare(home, tmp_path / "out", **changes)
    adapt.run(adaptation)
    summary = adapt.write_results(adaptation)
    assert summary["stage"] == "few_shot"
    assert "method_nme" not in summary
    assert pd.read_csv(tmp_path / "out" / "jobs" / "final" / "mining.csv")["human_disagreement"].isna().all()
    assert len(pd.read_csv(tmp_path / "out" / "next_to_label.csv")) == 3


@pytest.mark.slow
def test_a_detector_of_ones_own_can_be_the_start_of_the_next(tiny, home, finished, tmp_path):
    """Its scheme is known from its checkpoint alone, in a process that has not seen the scheme file."""
    start = {"HUMAN__CHECKPOINT": str(finished[0].out / "checkpoint.pt"), "OWN__FEW_SHOT_ONLY": True, "OWN__FOLDS": 0}
    adaptation = prepare(home, tmp_path / "out", **start)
    assert "shared with the human model: image_left_eye, image_right_eye, nose" in adaptation.notes
    del SCHEMES["face4"]
    adapt.run(adaptation)
    assert adapt.write_results(adaptation)["stage"] == "few_shot"
    report = (tmp_path / "out" / "report.md").read_text()
    assert report.startswith("# A detector from 6 labels alone\n\nNo cross-validated error")
    assert "those on which the answer changes most when the picture is mirrored" in report  # there is one network
    assert "every setting (few-shot training, seed 0)" in report


@pytest.mark.slow
def test_the_command_with_two_processes_gives_what_one_gives(home, tmp_path, capsys):
    torch.manual_seed(0)
    human = tmp_path / "human.pt"
    checkpoints.save(human, LandmarkNet("unet_small", "animalweb9", 9, SIZE, "softmax"))
    command = ["adapt", "--labeled", home / "one.csv", "--images", home / "pictures", "--human", human,
               "--boxes", home / "all" / "bbox.csv", "--folds", "2", "--next", "2",
               "--scheme", home / "face4.yaml"]  # fmt: skip
    keys = ("FEW_SHOT.STEPS", "FEW_SHOT.BATCH", "METHOD.STEPS", "METHOD.BATCH_LABELED", "METHOD.BATCH_UNLABELED")
    command += [part for key in keys for part in ("--set", f"{key}=2")] + ["--set", "MINING.T_NEG=10.0"]
    summaries = []
    for workers in ("2", "1"):
        out = tmp_path / f"out{workers}"
        assert main([*map(str, command), "--out", str(out), "--workers", workers, "--set", "DEVICE=cpu"]) == 0
        summaries.append(json.loads((out / "summary.json").read_text()))
    assert summaries[0] == summaries[1]
    out = capsys.readouterr().out
    assert "time         about 1 min: 3 trainings, 2 at a time, each 2 steps of" in out
    assert "# A detector from 6 labels and 8 unlabeled pictures" in out
    # a second call has nothing left to do
    assert main([*map(str, command), "--out", str(tmp_path / "out2"), "--set", "DEVICE=cpu"]) == 0
    assert "time  " not in capsys.readouterr().out


@pytest.mark.slow
def test_the_notebook_shows_the_way_and_ends_with_the_same_numbers(tiny, home, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(adapt, "workers_for", lambda cfg: 1)  # other processes do not know the tiny network
    cells = json.loads((config.PROJECT / "notebooks" / "demo_own_data.ipynb").read_text())["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names |= {"overrides": overrides(home), "run_dir": str(tmp_path / "own" / "demo")}
    plt.close("all")
    summary = json.loads((tmp_path / "own" / "demo" / "summary.json").read_text())
    assert {name: summary[name] for name in finished[1]} == finished[1]
    assert {path.stem for path in (tmp_path / "own" / "demo" / "figures").glob("*.png")} == {
        "labels",
        "cumulative_error",
    }

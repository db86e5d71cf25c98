"""The commands for a person's own animals, as they run them."""

from contextlib import redirect_stdout
from io import StringIO

import foreign
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cskt import config, sheets
from cskt.__main__ import main
from cskt.adapt.prepare import example
from cskt.data import sample
from cskt.data.labels import read_labels
from cskt.data.schemes import read_scheme


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Ten pictures with labels in DeepLabCut's CSV, checked: one has its eyes swapped, one picture is missing."""
    home = tmp_path_factory.mktemp("own")
    names = foreign.pictures(home / "pictures", 10)
    points = foreign.landmarks(10)
    points[4, [0, 1]] = points[4, [1, 0]]
    (home / "labels.csv").write_text(foreign.deeplabcut_csv([*names, "gone.png"], [*points, points[0] + 1]))
    with redirect_stdout(StringIO()) as out:
        status = main(f"data check {home}/labels.csv --images {home}/pictures --out {home}/out".split())
    return home, status, out.getvalue().splitlines()


def test_check_says_what_was_found_and_what_looks_wrong(checked):
    home, status, lines = checked
    assert status == 1
    told = {line[:13].strip(): line[13:] for line in lines}
    assert told["format"] == "DeepLabCut or Lightning Pose CSV"
    assert told["faces"] == f"10 in 10 pictures; 10 pictures in {home}/pictures"
    assert told["species"] == "cat 10"
    assert told["landmarks"] == "left_eye 10, right_eye 10, nose 10, chin 9"
    assert told["missing"] == "1 of 40 landmarks"
    assert told["flip pairs"] == "left_eye / right_eye (proposed from the names)"
    assert told["places"].startswith("image_right_eye is left_eye, image_left_eye is right_eye, nose is nose")
    assert told["note"] == "boxes: 10 derived from the landmarks by AnimalWeb's rule"
    assert told["left out"] == f"gone.png: no such picture in {home}/pictures"
    assert told["look at"] == "cat_4.png: left/right swapped (left_eye / right_eye)"
    assert told["in all"] == "10 faces can be used, 1 left out, 1 labels to look at"


def test_check_writes_a_contact_sheet_and_tables_that_can_be_read_back(checked):
    home, _, _ = checked
    out = home / "out"
    assert Image.open(out / "contact_sheet.png").width > 500
    assert pd.read_csv(out / "findings.csv")["image"].tolist() == ["cat_4.png"]
    assert pd.read_csv(out / "problems.csv")["image"].tolist() == ["gone.png"]
    again = read_labels(out / "labels.csv", home / "pictures", scheme=read_scheme(out / "scheme.yaml")).faces
    first = read_labels(home / "labels.csv", home / "pictures").faces
    pd.testing.assert_frame_equal(again.table, first.table, check_exact=True)
    assert again.scheme == first.scheme


def test_check_of_good_labels_ends_with_status_0_in_a_folder_named_after_them(checked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sheets, "labels", lambda *_: None)
    monkeypatch.setattr(sheets, "save", lambda _, path: path.write_bytes(b""))
    (tmp_path / "good.csv").write_text(
        foreign.deeplabcut_csv([f"cat_{k}.png" for k in range(10)], foreign.landmarks(10))
    )
    assert main(f"data check good.csv --images {checked[0]}/pictures".split()) == 0
    assert (tmp_path / "check_good" / "contact_sheet.png").is_file()


def test_check_leaves_an_edited_scheme_as_it_is(checked, tmp_path):
    home, _, _ = checked
    edited = "# my words\n" + (home / "out" / "scheme.yaml").read_text()
    (tmp_path / "scheme.yaml").write_text(edited)
    arguments = f"--images {home}/pictures --scheme {tmp_path}/scheme.yaml --out {tmp_path}"
    assert main(["data", "check", f"{home}/labels.csv", *arguments.split()]) == 1
    assert (tmp_path / "scheme.yaml").read_text() == edited
    assert (tmp_path / "labels.csv").is_file()


def test_check_leaves_other_labels_in_its_folder_as_they_are(checked, capsys):
    home = checked[0]
    before = (home / "labels.csv").read_bytes()
    assert main(f"data check {home}/out/labels.csv --images {home}/pictures --out {home}".split()) == 2
    assert f"{home}/labels.csv: is there, and not from a former check" in capsys.readouterr().err
    assert (home / "labels.csv").read_bytes() == before


def test_check_of_a_damaged_file_is_one_line_and_status_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("scorer,a\n")
    assert main(["data", "check", "labels.csv"]) == 2
    err = capsys.readouterr().err
    assert (
        err == "cskt data check: error: labels.csv: expected header lines scorer, bodyparts and coords; found scorer\n"
    )


@pytest.mark.parametrize(
    ("command", "least"),
    [
        ("adapt --out o --workers -2", 1),
        ("adapt --out o --workers 0", 1),
        ("adapt --out o --folds=-1", 0),
        ("adapt --out o --next many", 0),
        ("data sample --out o --unlabeled -5", 0),
        ("data sample --out o --labeled 0", 1),
        ("data sample --out o --labeled 2.5", 1),
    ],
)
def test_a_count_must_be_a_whole_number_that_makes_sense(command, least, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 2
    assert f"expected a whole number of {least} or more, found" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["data check", "data sample", "data collect"])
def test_each_command_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert f"example: python -m cskt {command} " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_a_sample_that_is_stopped_half_way_can_be_drawn_again(tmp_path, monkeypatch, stop):
    """As the notebook does it, which takes a sample that is there as it is."""

    def half(folder, names, seed):
        (folder / names[0]).write_bytes(b"half")
        raise stop

    def whole(folder, names, seed):
        for name in names:
            Image.new("RGB", (30, 20)).save(folder / name)
            lines = "\n".join(["1 2"] * 9)
            (folder / name).with_suffix(".pts").write_text(f"version: 1\nn_points: 9\n{{\n{lines}\n}}\n")
        return [np.array([0.0, 0, 30, 20])] * len(names)

    monkeypatch.setattr(sample, "draw_images", half)
    cfg = config.load("params/own.yaml")
    with pytest.raises(stop):
        example(cfg, tmp_path / "own")
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    assert not list((tmp_path / "own").iterdir())
    monkeypatch.setattr(sample, "draw_images", whole)
    paths = example(cfg, tmp_path / "own")
    assert len(read_labels(paths["OWN.LABELS"], paths["OWN.IMAGES"]).faces) == 40
    assert example(cfg, tmp_path / "own") == paths
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


@pytest.mark.slow
def test_a_sample_is_drawn_with_labels_that_agree_in_both_formats(tmp_path, capsys):
    assert main(f"data sample --out {tmp_path / 'own'} --labeled 3 --unlabeled 2".split()) == 0
    own = tmp_path / "own"
    first, second = (read_labels(own / name, own / "pictures", boxes=own / "boxes.csv").faces
                     for name in ("labels.csv", "labels.json"))  # fmt: skip
    pd.testing.assert_frame_equal(first.table, second.table, check_exact=True)
    assert len(first) == 3
    assert len(list((own / "pictures").iterdir())) == 5
    test = read_labels(own / "test.json", own / "test").faces
    assert len(test) == 60
    assert np.isfinite(test.landmarks).all()
    assert main(f"data sample --out {own}".split()) == 2
    assert "holds something already" in capsys.readouterr().err


def test_what_an_option_and_set_both_give_is_refused(capsys):
    assert main(["adapt", "--labeled", "labels.csv", "--folds", "3", "--set", "OWN.FOLDS=5", "--out", "out"]) == 2
    told = "cskt adapt: error: OWN.FOLDS: given by --set and by the option that is for it: give it once\n"
    assert capsys.readouterr().err == told

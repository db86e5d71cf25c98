"""The explorer: which runs can be looked at, what is picked of them, two methods image by image; and its panel."""

import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from builders import write_faces
from PIL import Image

from cskt import config, explorer, figures_explorer
from cskt.data.table import with_landmarks
from cskt.errors import DataError
from cskt.explorer_panel import Explorer
from cskt.predict import score

IMAGES = 6
# run and seed -> how far each image's prediction is from the truth, image pixels
RUNS = {
    ("few_shot", 0): [1, 2, 3, 4, 5, 6],
    ("few_shot", 1): [2, 2, 2, 2, 2, 2],
    ("meta_cskt_corrected", 0): [2, 2, 2, 2, 9, 1],
}
SCORES = pd.DataFrame(
    {
        "image": list("abcde"),
        "species": ["cat", "cat", "dog", "dog", "dog"],
        "family": "any",
        "group": ["known", "known", "unknown", "unknown", "unknown"],
        "nme": [0.1, 0.4, 0.2, np.nan, 0.3],
    }
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A setting with three finished runs, one without predictions and one that has not finished."""
    home = tmp_path_factory.mktemp("explored")
    faces = write_faces(home / "faces", IMAGES)
    place = {"DATA.ROOT": str(home / "faces"), "DATA.TEST": ["all.txt"], "DATA.ZOO_IMAGES": 0, "CACHE": str(home)}
    for (run, seed), away in RUNS.items():
        folder = home / "outputs" / "zoo" / run / f"seed{seed}"
        folder.mkdir(parents=True)
        config.dump(config.load("params/zoo.yaml", place | {"SEED": seed}), folder / "config.yaml")
        found = faces.landmarks + np.array(away, dtype=float)[:, None, None] * [1.0, 0.0]
        predictions = with_landmarks(faces.table[["image", "species", "family"]], faces.scheme, found)
        predictions.to_csv(folder / "predictions.csv", index=False)
        score(predictions, faces).assign(group="known").to_csv(folder / "scores.csv", index=False)
        (folder / "summary.json").write_text(json.dumps({"run": run, "seed": seed}))
    for run, file in (("mining", "summary.json"), ("uda", "scores.csv")):
        (home / "outputs" / "zoo" / run / "seed0").mkdir(parents=True)
        (home / "outputs" / "zoo" / run / "seed0" / file).write_text("")
    return home / "outputs"


@pytest.fixture
def panel(outputs, tmp_path):
    return Explorer(outputs, "zoo", tmp_path / "saved")


# --- tables


def test_runs_that_have_finished_with_scores_and_predictions_can_be_looked_at(outputs, tmp_path):
    assert explorer.choices(outputs / "zoo") == {"few_shot": [0, 1], "meta_cskt_corrected": [0]}
    assert explorer.settings(outputs) == ["zoo"]
    assert explorer.settings(tmp_path) == []
    with pytest.raises(DataError, match=r"no finished run 'few_shot' of seed 7.*few_shot \(seed 0, 1\)"):
        explorer.read(outputs / "zoo", "few_shot", 7)


def test_the_truth_is_that_of_the_runs_own_config(outputs):
    faces = explorer.truth(outputs / "zoo", "few_shot", 0)
    scores, predictions = explorer.read(outputs / "zoo", "few_shot", 0)
    again = score(predictions, faces)
    assert again["nme"].to_numpy() == pytest.approx(scores["nme"].to_numpy())


@pytest.mark.parametrize(
    ("how", "images"),
    [
        ({}, "abce"),
        ({"species": ["dog"]}, "ce"),
        ({"group": "known"}, "ab"),
        ({"low": 0.2, "high": 0.3}, "ce"),
        ({"species": ["cat"], "low": 0.2}, "b"),
    ],
)
def test_images_are_picked_by_species_group_and_error(how, images):
    assert "".join(explorer.pick(SCORES, **how)["image"]) == images


def test_cases_come_in_the_order_that_is_asked_for():
    picked = explorer.pick(SCORES)
    assert "".join(explorer.first(picked, 3)["image"]) == "bec"
    assert "".join(explorer.first(picked, 9, "best first")["image"]) == "aceb"
    assert sorted(explorer.first(picked, 9, "at random")["image"]) == list("abce")


def test_two_methods_are_paired_by_image_whatever_their_order():
    other = SCORES.assign(nme=[0.2, 0.3, 0.2, 0.1, 0.5]).iloc[::-1]
    pairs = explorer.pair(SCORES, other)
    assert "".join(pairs["image"]) == "abce"  # d has no error under the first
    assert pairs["difference"].to_numpy() == pytest.approx([0.1, -0.1, 0.0, 0.2])
    numbers = explorer.compare(pairs)
    assert (numbers["images"], numbers["first_better"], numbers["second_better"]) == (4, 2, 1)
    assert numbers["difference"] == pytest.approx(0.05)
    assert numbers["difference_low"] < 0.05 < numbers["difference_high"]
    assert np.isnan(explorer.compare(pairs.iloc[:1])["p_value"])
    with pytest.raises(DataError, match="different images \\('e'\\)"):
        explorer.pair(SCORES, other[other["image"] != "e"])


def test_images_on_which_two_methods_differ_most_come_first():
    pairs = explorer.pair(SCORES, SCORES.assign(nme=[0.2, 0.25, 0.2, 0.1, 0.5]))
    assert "".join(explorer.apart(pairs, 9)["image"]) == "eba"
    assert "".join(explorer.apart(pairs, 9, "the first is better")["image"]) == "ea"
    assert "".join(explorer.apart(pairs, 1, "the second is better")["image"]) == "b"


# --- figures


def test_each_image_is_one_mark_on_the_side_of_the_better_method():
    pairs = explorer.pair(SCORES, SCORES.assign(nme=[0.2, 0.3, 0.1, 0.1, 0.5]))
    ax = figures_explorer.errors_against(pairs, ("old", "new"))
    second, first = (marks.get_offsets() for marks in ax.collections)
    assert second.data == pytest.approx(np.array([[40, 30], [20, 10]]))
    assert first.data == pytest.approx(np.array([[10, 20], [30, 50]]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["new is better (2)", "old is better (2)"]
    line = figures_explorer.sorted_differences(pairs, ("old", "new")).lines[0]
    assert line.get_ydata() == pytest.approx([-10, -10, 10, 20])
    plt.close("all")


def test_an_image_stands_once_under_each_method(outputs):
    folder = outputs / "zoo"
    tables = {run: explorer.read(folder, run, 0) for run in ("few_shot", "meta_cskt_corrected")}
    pairs = explorer.pair(*(scores for scores, _ in tables.values()))
    shown = explorer.apart(pairs, 4)
    predictions = {run: own for run, (_, own) in tables.items()}
    axes = figures_explorer.side_by_side(explorer.truth(folder, "few_shot", 0), shown, predictions, columns=3)
    assert axes.shape == (4, 3)
    titles = [[ax.get_title() for ax in row] for row in axes]
    assert titles[0] == [f"cat, {100 * error:.1f} %" for error in shown["first"][:3]]
    assert titles[3] == [f"cat, {100 * shown['second'][3]:.1f} %", "", ""]
    plt.close("all")


# --- the panel


@pytest.mark.slow
def test_the_panel_opens_with_the_worst_cases_and_follows_its_controls(panel):
    assert panel.message.value == ""
    assert panel.controls["run"].value == "meta_cskt_corrected"
    assert panel.shown["nme"].is_monotonic_decreasing and len(panel.shown) == IMAGES
    before = panel._panes["cases"].value
    panel.controls["run"].value = "few_shot"
    assert panel.controls["seed"].options == (0, 1)
    assert panel._panes["cases"].value != before
    panel.controls["error"].value = (0, 100 * panel.shown["nme"].iloc[3])
    assert len(panel.shown) == 3
    panel.controls["species"].value = ("cat",)
    assert "3 of 6 images" in panel._told["cases"].value
    assert Image.open(io.BytesIO(panel._panes["cases"].value)).format == "PNG"
    assert plt.get_fignums() == []


@pytest.mark.slow
def test_the_panel_compares_two_runs_and_saves_what_it_shows(panel):
    panel.compare("few_shot", "meta_cskt_corrected")
    assert panel.shown["image"].tolist()[:2] == ["cat_5.png", "cat_4.png"]
    assert "The first is better on 2 images, the second on 3" in panel._told["methods"].value
    written = panel.save()
    assert [path.name for path in written] == ["scatter.png", "differences.png", "gallery.png", "methods.csv"]
    assert len(pd.read_csv(written[-1])) == len(panel.shown) == 5
    panel.compare("few_shot", "few_shot")
    assert "Choose a second run" in panel._told["methods"].value
    panel.controls["second_seed"].value = 1
    assert panel.shown["image"].tolist()[0] == "cat_5.png"


@pytest.mark.slow
def test_what_is_missing_or_broken_is_told_in_the_panel(outputs, tmp_path, panel):
    empty = Explorer(tmp_path, "zoo", tmp_path)
    assert "make reproduce</code> makes those of the zoo (in about 40 minutes" in empty.message.value
    assert empty._body.layout.display == "none"
    panel.controls["run"].value = "few_shot"
    scores = Path(outputs / "zoo" / "few_shot" / "seed1" / "scores.csv")
    scores.rename(tmp_path / "scores.csv")
    panel.controls["seed"].value = 1
    assert "no finished run" in panel.message.value
    (tmp_path / "scores.csv").rename(scores)
    panel.controls["seed"].value = 0
    assert panel.message.value == ""


@pytest.mark.slow
def test_the_notebook_shows_the_panel(outputs, tmp_path):
    notebook = json.loads((config.PROJECT / "notebooks" / "explorer.ipynb").read_text())
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names["run_dir"] = str(outputs / "zoo" / "explorer")
    assert len(names["panel"].shown) == IMAGES
    # nothing is written until a person asks for it
    assert not (outputs / "zoo" / "explorer").exists()

"""Notebook 03 on a zoo of a few pictures: what it writes down, and that it goes on where it was stopped."""

import json

import numpy as np
import pandas as pd
import pytest
from test_notebooks_run import execute

from cskt import confusion, training

pytestmark = pytest.mark.slow

DRAWS, LABELS = 2, 3


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A tiny setting with a human model: its folder and its overrides."""
    home = tmp_path_factory.mktemp("confusion")
    zoo = str(home / "zoo")
    tiny = {"DATA.ROOT": zoo, "DATA.ZOO_IMAGES": 195, "HUMAN.ROOTS": [zoo], "CACHE": str(home / "cache")}
    tiny |= {"DEVICE": "cpu", "INPUT.SIZE": 32, "HUMAN_MODEL.STEPS": 2}
    # only the families of two species have as many as 12 faces
    tiny |= {
        "CONFUSION.STEPS": 8,
        "CONFUSION.BATCH": 8,
        "CONFUSION.DRAW_SIZE": LABELS,
        "CONFUSION.DRAWS": DRAWS,
        "CONFUSION.MIN_IMAGES": 12,
    }
    execute("01_data", home / "tiny" / "data", tiny)
    execute("02_human_model", home / "tiny" / "human_model", tiny)
    return home / "tiny", tiny


@pytest.fixture(scope="module")
def run_dir(setting):
    folder, tiny = setting
    execute("03_species_confusion", folder / "species_confusion", tiny)
    return folder / "species_confusion"


def test_every_group_and_the_random_one_has_a_model_for_each_draw(run_dir):
    models = {path.parent.name for path in run_dir.glob("models/*/errors.csv")}
    assert models == {f"{model}_{draw}" for model in ("Canidae", "Felidae", "random") for draw in range(DRAWS)}
    draws = pd.read_csv(run_dir / "draws.csv")
    assert draws.groupby(["model", "draw"])["image"].nunique().eq(LABELS).all()
    left_out = pd.read_csv(run_dir / "left_out.csv", index_col="family")["images"]
    assert len(left_out) == 8
    assert left_out.between(1, 11).all()
    summary = json.loads((run_dir / "summary.json").read_text())
    assert (summary["groups"], summary["left_out"]) == (2, 8)
    assert not list(run_dir.rglob("resume.pt"))


def test_the_matrix_is_that_of_the_models_errors_without_their_draws(run_dir):
    cells = pd.read_csv(run_dir / "matrix.csv").set_index(["landmarks", "tested", "tuned"]).sort_index()
    draws = pd.read_csv(run_dir / "draws.csv")
    means = []
    for draw in range(DRAWS):
        errors = pd.read_csv(run_dir / "models" / f"Canidae_{draw}" / "errors.csv")
        own = draws[(draws["model"] == "Canidae") & (draws["draw"] == draw)]["image"]
        tested = errors[(errors["tested"] == "Canidae") & ~errors["image"].isin(own)]
        assert len(tested) == (errors["tested"] == "Canidae").sum() - LABELS
        means.append(tested)
    # the human model's error of the same images, from the share
    cell = cells.loc[("shared", "Canidae", "Canidae")]
    human = cell["gain"] / cell["share"]
    assert human - cell["gain"] == pytest.approx(np.mean([part["shared"].mean() for part in means]))
    # people have all nine landmarks of the zoo: the two versions are one
    assert cells.loc["shared", "gain"].to_numpy() == pytest.approx(cells.loc["all", "gain"].to_numpy())


def test_the_tables_fit_together_and_every_figure_is_there(run_dir):
    errors = pd.read_csv(run_dir / "group_errors.csv")
    assert set(errors["model"]) == set(confusion.REFERENCES)
    assert set(errors["tested"]) == {"Canidae", "Felidae"}
    helpers = pd.read_csv(run_dir / "helpers.csv").set_index("group")
    cells = pd.read_csv(run_dir / "matrix.csv").query("landmarks == 'shared'")
    off = cells.set_index(["tested", "tuned"])["gain"]
    assert helpers.loc["Felidae", "best_helper"] == "Canidae"
    assert helpers.loc["Felidae", "best_gain"] == pytest.approx(off["Felidae", "Canidae"])
    figures = {path.stem for path in (run_dir / "figures").glob("*.png")}
    assert figures == {"group_errors", "matrix_of_five", "matrix_clustered", "matrix_all_landmarks"}


def test_a_stopped_run_trains_only_what_is_not_done(setting, run_dir, monkeypatch):
    tiny = setting[1]
    before = (run_dir / "matrix.csv").read_text()
    (run_dir / "summary.json").unlink()
    (run_dir / "models" / "Felidae_1" / "errors.csv").unlink()
    trained = []
    train = training.train
    monkeypatch.setattr(training, "train", lambda *a, **k: trained.append(k["folder"].name) or train(*a, **k))
    execute("03_species_confusion", run_dir, tiny)
    assert trained == ["Felidae_1"]
    assert (run_dir / "matrix.csv").read_text() == before

"""11_ap10k on whole animals in a few steps: what it writes down, and that it fits together."""

import json

import numpy as np
import pandas as pd
import pytest
from test_notebooks_run import execute

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bodies(tmp_path_factory):
    """The run of 11_ap10k on a few drawn bodies."""
    home = tmp_path_factory.mktemp("bodies")
    tiny = {"DATA.ROOT": str(home / "bodies"), "DATA.BODY_IMAGES": 80, "CACHE": str(home / "cache"), "DEVICE": "cpu",
            "INPUT.SIZE": 32, "GENERALIZATION.STEPS": 2, "GENERALIZATION.SHOTS": ["0", "2"], "GENERALIZATION.FEW": 8,
            "FEW_SHOT.STEPS": 2, "SUPERVISED.STEPS": 2, "METHOD.STEPS": 4, "METHOD.UPDATE_STEPS": 2,
            "MINING.T_NEG": 9.0}  # fmt: skip
    execute("11_ap10k", home / "zoo_bodies" / "bodies" / "seed0", tiny, "params/zoo_bodies.yaml")
    return home / "zoo_bodies" / "bodies" / "seed0"


def test_each_species_and_each_family_is_held_out_with_and_without_labels(bodies):
    results = pd.read_csv(bodies / "results.csv")
    assert results.groupby(["protocol", "shots"]).size().to_dict() == {
        ("inter", 0): 4, ("inter", 2): 4, ("intra", 0): 8, ("intra", 2): 8,
    }  # fmt: skip
    seen = pd.read_csv(bodies / "models" / "all_all_0" / "scores.csv")
    cats = results[(results["name"] == "cat") & (results["shots"] == 0)].iloc[0]
    assert cats["seen"] == pytest.approx(seen.loc[seen["species"] == "cat", "nme"].mean())


def test_meta_cskt_finds_17_landmarks_and_all_models_have_an_ap(bodies):
    table = pd.read_csv(bodies / "average_precision.csv")
    assert set(table["model"]) == {"supervised", "few_shot", "meta_cskt_corrected"}
    assert table.groupby("model").size().unique().tolist() == [9]
    whole = table[table["category"] == "all"]
    assert (whole["ap_low"] <= whole["ap"]).all() and (whole["ap"] <= whole["ap_high"]).all()
    summary = json.loads((bodies / "summary.json").read_text())
    assert np.isfinite(list(summary["nme"].values())).all() and len(summary["ap"]) == 3
    mined = pd.read_csv(bodies / "mining.csv")
    assert 0 < (mined["category"] == "positive").sum() < len(mined)
    losses = pd.read_csv(bodies / "meta_cskt" / "metrics.csv")
    assert losses["pool"].max() > 0

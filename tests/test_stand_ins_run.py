"""The settings of one species, from data to comparison, in a few steps: the stand-in macaques, and the horse data set.

The horses are dots in the layout of `release_data`; AnimalWeb's horses are those of the zoo.
"""

import numpy as np
import pandas as pd
import pytest
from builders import SHAPE, dots
from PIL import Image
from test_notebooks_run import IMAGES, STEPS, execute

from cskt import grids, paper
from cskt.data.horse import write_lists

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Overrides that make a setting small, with a zoo for the human model."""
    home = tmp_path_factory.mktemp("stand_ins")
    zoo = str(home / "zoo")
    execute("01_data", home / "zoo_first" / "data", {"DATA.ROOT": zoo, "DATA.ZOO_IMAGES": IMAGES, "HUMAN.ROOTS": [zoo],
                                                     "CACHE": str(home / "cache"), "INPUT.SIZE": 32})  # fmt: skip
    # an untrained model disagrees with itself more than T_neg allows
    small = {
        "DEVICE": "cpu",
        "INPUT.SIZE": 32,
        "METHOD.UPDATE_STEPS": 2,
        "MINING.T_NEG": 9.0,
        "CACHE": str(home / "cache"),
    }
    return home, STEPS | small | {"HUMAN.ROOTS": [zoo]}


def run_all(folder, overrides, config, rows):
    """All runs of a setting up to the comparison, with some rows of a grid."""
    execute("01_data", folder / "data", overrides, config)
    execute("02_human_model", folder / "human_model", overrides, config)
    execute("04_few_shot", folder / "few_shot" / "seed0", overrides, config)
    execute("04_few_shot", folder / "supervised" / "seed0", overrides | {"TRAIN_ON": "train"}, config)
    execute("05_mining", folder / "mining" / "seed0", overrides, config)
    for row in ("meta_cskt_published", "meta_cskt_corrected", *rows):
        execute("06_meta_cskt", folder / row / "seed0", overrides | grids.read()[row].overrides, config)
    execute("07_evaluate", folder / "evaluate", overrides, config)


def test_the_macaque_stand_in_runs_on_one_species(tiny):
    home, overrides = tiny
    folder = home / "zoo_macaque"
    place = {"DATA.ROOT": str(home / "zoo"), "DATA.ZOO_IMAGES": IMAGES}
    run_all(folder, overrides | place, "params/zoo_macaque.yaml", [])
    results = pd.read_csv(folder / "evaluate" / "results.csv")
    assert set(results["group"]) == {"all", "known"}
    scores = pd.read_csv(folder / "meta_cskt_corrected" / "seed0" / "scores.csv")
    assert set(scores["species"]) == {"macaque"}
    mined = pd.read_csv(folder / "mining" / "seed0" / "mining.csv")
    assert set(mined["species"]) == {"capuchin"}
    assert not (mined["category"] == "positive").any()  # T_pos is 0
    table = paper.side_by_side("macaque", {"macaque": paper.Place(folder, "all")}, {"macaque": "test"})
    assert table.loc["Meta-CSKT, corrected", "macaque"] == pytest.approx(scores["nme"].mean())
    assert table.loc["Meta-CSKT", "published_macaque"] == 0.0296


def test_the_horse_setting_runs_on_faces_in_the_layout_of_release_data(tiny):
    home, overrides = tiny
    root = home / "release_data"
    rng = np.random.default_rng(0)
    for k in range(24):
        nine = (SHAPE + rng.normal(0, 0.03, SHAPE.shape)) * 96
        five = np.stack([nine[[0, 1]].mean(axis=0), nine[[2, 3]].mean(axis=0), *nine[[4, 5, 6]]])
        for kind in ("im", "npy"):
            (root / "horse" / kind / "some").mkdir(parents=True, exist_ok=True)
        Image.fromarray(dots(five, 96, 96)).save(root / "horse" / "im" / "some" / f"{k}.jpg")
        np.save(root / "horse" / "npy" / "some" / f"{k}.npy", np.column_stack([five, [1, 1, 1, k % 3 > 0, 1]]))
    write_lists(root, test=6, val=4, few=4)
    (home / "zoo" / "lists").mkdir(exist_ok=True)
    (home / "zoo" / "lists" / "all.txt").write_text((home / "zoo" / "splits" / "unlabeled.txt").read_text())
    folder = home / "horse"
    places = {"DATA.ROOT": str(root), "DATA.UNLABELED_ROOT": str(home / "zoo"), "HUMAN.CHECKPOINT": "",
              "HUMAN.SCHEME": "animalweb9", "MODEL.NAME": "unet_small", "MODEL.OUTPUT": "softmax"}  # fmt: skip
    run_all(folder, overrides | places, "params/horse.yaml", ["horse_corrected_detached"])
    scores = {
        run: pd.read_csv(folder / run / "seed0" / "scores.csv") for run in ("few_shot", "horse_corrected_detached")
    }
    assert len(scores["few_shot"]) == 6
    errors = [name for name in scores["few_shot"] if name.endswith("_error")]
    assert [name.removesuffix("_error") for name in errors] == [
        "left_eye",
        "right_eye",
        "nose",
        "mouth_left",
        "mouth_right",
    ]
    # a corner of the mouth that is not visible has no error, and takes no part in the mean
    missing = scores["few_shot"]["mouth_left_error"].isna()
    assert missing.sum() == sum(int(name.split("/")[-1][:-4]) % 3 == 0 for name in scores["few_shot"]["image"])
    table = paper.side_by_side("horse", {"horse": paper.Place(folder, "all")})
    assert table.loc["corrected, no feedback", "horse"] == pytest.approx(
        scores["horse_corrected_detached"]["nme"].mean()
    )
    assert np.isnan(table.loc["published, no feedback (fault 13)", "horse"])

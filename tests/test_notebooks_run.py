"""The notebooks, one after the other, on a zoo of a few pictures: what they write down, and that it fits together.

The cells are executed in this process, which spares each notebook a kernel; papermill is tested in test_execution.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cskt import files, grids, runs
from cskt.agreement import compare, results
from cskt.data.zoo import UNKNOWN_SPECIES
from cskt.predict import summarize

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
GOLDEN = Path(__file__).resolve().parent / "golden"
TOLERANCE = 1e-4  # of golden tables, relative and absolute; see tests/golden/README.md
MOVED = 0.04  # share of rows that may be farther off: none of losses.csv, one of scores.csv, four of mining.csv
# fewer steps than make sense
STEPS = {"HUMAN_MODEL.STEPS": 2, "FEW_SHOT.STEPS": 2, "SUPERVISED.STEPS": 2, "METHOD.STEPS": 4}
IMAGES = 195
VARIANTS = ("published", "corrected", "improved")
# all but UDA as published by its own authors: it is to be a gap
BASELINES = {
    **{name: {"METHOD.NAME": name} for name in ("pseudo_label", "fixmatch", "scarcenet", "mean_teacher")},
    "fixmatch_released": {"METHOD.NAME": "fixmatch", "METHOD.VARIANT": "published"},
    "uda_released": {"METHOD.NAME": "uda", "METHOD.VARIANT": "published"},
}

pytestmark = pytest.mark.slow


def execute(notebook: str, run_dir: Path, overrides: dict, config: str = "params/zoo.yaml") -> dict:
    """Execute the cells of a notebook with these parameters and return the names they leave."""
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names |= {"config": config, "overrides": overrides, "run_dir": str(run_dir)}
    plt.close("all")
    return names


def tiny_setting(home: Path) -> dict:
    """Overrides of the zoo's params file: a zoo of few pictures in `home`, and few steps."""
    zoo = str(home / "zoo")
    place = {"DATA.ROOT": zoo, "DATA.ZOO_IMAGES": IMAGES, "HUMAN.ROOTS": [zoo], "CACHE": str(home / "cache")}
    # float32, since other processors compute in bfloat16 otherwise or not at all
    place |= {"DEVICE": "cpu", "PRECISION": "float32"}
    tiny = place | STEPS | {"INPUT.SIZE": 32, "METHOD.UPDATE_STEPS": 2, "METHOD.SELECT_STEPS": 2}
    # few pictures are positives of an untrained model, none would be at the usual thresholds
    return tiny | {"MINING.T_POS": 0.3, "MINING.T_NEG": 0.4}


def core_runs(home: Path, variants: tuple[str, ...] = VARIANTS) -> Path:
    """The runs that all others start from, and variants of the method, of seed 0; returns their folder."""
    tiny, folder = tiny_setting(home), home / "tiny"
    execute("01_data", folder / "data", tiny)
    execute("02_human_model", folder / "human_model", tiny)
    execute("04_few_shot", folder / "few_shot" / "seed0", tiny)
    execute("05_mining", folder / "mining" / "seed0", tiny)
    for variant in variants:
        execute("06_meta_cskt", folder / f"meta_cskt_{variant}" / "seed0", tiny | {"METHOD.VARIANT": variant})
    return folder


def drawn_already(run, ax, name, dpi=150):
    """Stands for `runs.Run.save_figure`: the name of a figure, and nothing in it."""
    path = run.dir / "figures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The folder of a tiny setting with all its runs, two seeds each."""
    home = tmp_path_factory.mktemp("suite")
    tiny, folder = tiny_setting(home), core_runs(home)
    execute("08_label_lists", folder / "label_lists" / "seed0", tiny)
    with pytest.MonkeyPatch.context() as patch:
        # the notebooks that ran above, with other numbers: drawing would take twice as long as all the rest
        patch.setattr("cskt.runs.Run.save_figure", drawn_already)
        for seed in (0, 1):
            own = tiny | {"SEED": seed}
            execute("04_few_shot", folder / "supervised" / f"seed{seed}", own | {"TRAIN_ON": "train"})
        execute("04_few_shot", folder / "few_shot" / "seed1", own)
        execute("05_mining", folder / "mining" / "seed1", own)
        for variant in VARIANTS:
            execute("06_meta_cskt", folder / f"meta_cskt_{variant}" / "seed1", own | {"METHOD.VARIANT": variant})
        for name, overrides in BASELINES.items():
            execute("06_meta_cskt", folder / name / "seed0", tiny | overrides)
        # of ablation, sweeps and budget one run each; all others are gaps
        few = {"DATA.LABELED": str(folder / "label_lists" / "seed0" / "hard_10.txt")}
        execute("04_few_shot", folder / "few_shot_hard_10" / "seed0", tiny | few)
        execute("04_few_shot", folder / "few_shot_without_human" / "seed0", tiny | {"FEW_SHOT.START": "weights"})
        for run in ("ls", "t_pos_03"):
            execute("06_meta_cskt", folder / run / "seed0", tiny | grids.read()[run].overrides)
    execute("07_evaluate", folder / "evaluate", tiny)
    execute("08_ablation", folder / "ablation", tiny)
    execute("09_baselines", folder / "baselines", tiny)
    few = {"SELECTION.STEPS": 2, "SELECTION.BUDGETS": ["10", "30"], "SELECTION.SHAPE_STEPS": 2,
           "SELECTION.AUXILIARY_STEPS": 2, "MINING.T_NEG": 9.0}  # fmt: skip
    none = {
        "UNSUPERVISED.STEPS": 2,
        "UNSUPERVISED.SIZE": 32,
        "UNSUPERVISED.BATCH": 4,
        "UNSUPERVISED.POINTS": 4,
        "UNSUPERVISED.BUDGETS": ["1", "5"],
    }
    execute("12_unsupervised_landmarks", folder / "unsupervised" / "seed0", tiny | none)
    execute("13_web_pseudo_labels", folder / "selection" / "seed0", tiny | few)
    unseen = {"GENERALIZATION.STEPS": 1, "GENERALIZATION.SHOTS": ["0"]}
    for seed in range(2):
        execute("11_ap10k", folder / "generalization" / f"seed{seed}", tiny | unseen | {"SEED": seed})
    execute("14_neighbours", folder / "neighbours", tiny)
    execute("10_paper_figures", folder / "paper_figures", tiny | {"RELEASED": str(home / "nowhere")})
    return folder


def test_every_run_is_done_and_has_figures(outputs):
    table = runs.collect(outputs.name, outputs.parent)
    seeds = table.groupby("run")["seed"].apply(list).to_dict()
    twice = ("few_shot", "supervised", "mining", "generalization", *(f"meta_cskt_{variant}" for variant in VARIANTS))
    once = ("data", "human_model", "evaluate", "label_lists", "few_shot_hard_10", "ls", "t_pos_03", "ablation")
    once += ("few_shot_without_human",)
    once += ("baselines", *BASELINES, "paper_figures", "selection", "unsupervised", "neighbours")
    assert seeds == {run: [0] for run in once} | {run: [0, 1] for run in twice}
    for summary in outputs.rglob("summary.json"):
        assert list((summary.parent / "figures").glob("*.png")), summary


def test_another_process_makes_the_same_tables_and_networks_bit_for_bit(outputs, tmp_path):
    """From drawing the pictures, by two processes, to the last table; what was run before in a process has no part."""
    code = "import sys, pathlib, test_notebooks_run as t; t.core_runs(pathlib.Path(sys.argv[1]), ('corrected',))"
    path = os.pathsep.join(map(str, (NOTEBOOKS.parent, NOTEBOOKS.parent / "tests")))
    environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "agg", "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=NOTEBOOKS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = ["data", "human_model", "few_shot/seed0", "mining/seed0", "meta_cskt_corrected/seed0"]
    compared = 0
    for name in names:
        assert compare(outputs / name, tmp_path / "tiny" / name) == [], name
        compared += len(results(outputs / name))
    assert compared >= 3 * len(names)


def test_two_processes_of_torchrun_execute_a_notebook_as_one_does(outputs, tmp_path):
    """Whose files are those of one process, but for the rounding of sums over the batch."""
    setting = tmp_path / "tiny"
    for run in ("few_shot", "mining", "human_model"):
        shutil.copytree(outputs / run, setting / run)
    overrides = tiny_setting(outputs.parent) | {"METHOD.VARIANT": "corrected"}
    sets = [part for key, value in overrides.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    folder = setting / "meta_cskt_corrected" / "seed0"
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cskt", "run"]
    command = [sys.executable, *together, "notebooks/06_meta_cskt.ipynb", "--config", "params/zoo.yaml"]
    command += [*sets, "--out", str(folder)]
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=NOTEBOOKS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    alone = outputs / "meta_cskt_corrected" / "seed0"
    files = [{str(file.relative_to(path)) for file in path.rglob("*")} for path in (alone, folder)]
    assert files[1] - files[0] == {"executed.ipynb", "log.txt"}, "nothing of the second process is left"
    one, two = (pd.read_csv(path / "metrics.csv").drop(columns="seconds") for path in (alone, folder))
    pd.testing.assert_frame_equal(two, one, rtol=1e-3, atol=1e-5)
    one, two = (pd.read_csv(path / "scores.csv")["nme"] for path in (alone, folder))
    assert two.to_numpy() == pytest.approx(one.to_numpy(), rel=0.01)


def golden_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """What the core runs of a tiny setting came to: name -> table."""
    scores, losses = {}, {}
    for run in ("few_shot", *(f"meta_cskt_{variant}" for variant in VARIANTS)):
        scores[run] = pd.read_csv(folder / run / "seed0" / "scores.csv").set_index("image")["nme"]
        losses[run] = pd.read_csv(folder / run / "seed0" / "metrics.csv").drop(columns=["seconds", "step"]).iloc[-1]
    mining = pd.read_csv(folder / "mining" / "seed0" / "mining.csv").drop(columns=["species", "family"])
    return {
        "scores": pd.DataFrame(scores).reset_index(),
        "losses": pd.DataFrame(losses).rename_axis("loss").reset_index(),
        "mining": mining,
    }


def test_tables_are_the_golden_ones(outputs):
    """tests/golden/README.md says what they are, how far they may be off, and how they are renewed."""
    for name, table in golden_tables(outputs).items():
        file = GOLDEN / f"{name}.csv"
        if os.environ.get("GOLDEN") == "renew":
            files.write_text(file, table.to_csv(index=False, float_format="%.7g"))
        golden = pd.read_csv(file)
        assert list(table) == list(golden) and len(table) == len(golden), file.name
        moved = np.zeros(len(table), dtype=bool)
        for column, expected in golden.items():
            numbers = pd.api.types.is_numeric_dtype(expected)
            how = {"rtol": TOLERANCE, "atol": TOLERANCE, "equal_nan": True}
            moved |= ~(np.isclose(table[column], expected, **how) if numbers else table[column].eq(expected).to_numpy())
        assert moved.mean() <= MOVED, pd.concat({file.name: golden[moved], "now": table[moved]}).to_string()


def test_the_data_run_counts_the_zoo(outputs):
    counts = pd.read_csv(outputs / "data" / "counts.csv", index_col="species")
    assert counts[["train", "val", "test", "human_train", "human_test"]].to_numpy().sum() == IMAGES
    assert counts.loc["human", "train"] == 0
    assert (counts.loc[list(UNKNOWN_SPECIES), "labeled"] == 0).all()


def test_scores_are_those_of_the_predictions_and_summaries_those_of_the_scores(outputs):
    folder = outputs / "few_shot" / "seed1"
    scores = pd.read_csv(folder / "scores.csv")
    errors = scores[[name for name in scores if name.endswith("_error")]]
    assert errors.mean(axis=1).to_numpy() == pytest.approx(scores["nme"].to_numpy())
    assert set(scores.loc[scores["group"] == "unknown", "species"]) == set(UNKNOWN_SPECIES)
    summary = json.loads((folder / "summary.json").read_text())
    unknown = summarize(scores[scores["group"] == "unknown"], prefix="unknown_")
    assert {name: summary[name] for name in unknown} == pytest.approx(unknown)


def test_few_shot_and_full_training_start_alike_and_end_apart(outputs):
    few, full = (pd.read_csv(outputs / run / "seed0" / "predictions.csv") for run in ("few_shot", "supervised"))
    assert (few["image"] == full["image"]).all()
    assert not np.allclose(few.filter(like="_x"), full.filter(like="_x"))


def test_few_shot_training_without_the_human_model_does_not_read_it(outputs):
    folders = [outputs / run / "seed0" for run in ("few_shot", "few_shot_without_human")]
    reads = [json.loads((folder / "provenance.json").read_text())["inputs"] for folder in folders]
    assert [set(inputs) for inputs in reads] == [{"faces", "human_model"}, {"faces"}]
    of_human, without = (pd.read_csv(folder / "predictions.csv").filter(like="_x") for folder in folders)
    assert not np.allclose(of_human, without)


def test_mining_knows_no_landmark_and_meta_training_goes_by_it(outputs):
    table = pd.read_csv(outputs / "mining" / "seed0" / "mining.csv")
    assert list(table) == ["image", "species", "family", "human_disagreement", "flip_disagreement", "category"]
    positive = set(table.loc[table["category"] == "positive", "image"])
    summary = json.loads((outputs / "meta_cskt_corrected" / "seed0" / "summary.json").read_text())
    assert summary["positive"] == len(positive) > 0
    labeled = set((outputs.parent / "zoo" / "splits" / "labeled_40.txt").read_text().split())
    # every positive that has no label gets a pseudo-label at the first update, halfway through these four steps
    assert summary["last"]["pool"] == len(positive - labeled) / 2 > 0


def test_the_results_hold_each_method_beside_the_three_lines(outputs):
    results = pd.read_csv(outputs / "evaluate" / "results.csv").set_index(["landmarks", "run", "group"])
    methods = {"few_shot", "supervised", *(f"meta_cskt_{variant}" for variant in VARIANTS)}
    assert {run for landmarks, run, _ in results.index if landmarks == "all"} == methods | {
        "mean_shape",
        "median_shape",
    }
    assert {run for landmarks, run, _ in results.index if landmarks == "shared"} == methods | {"human_model"}
    assert {run for landmarks, run, _ in results.index if landmarks == "jittered"} == methods | {"mean_shape"}
    row = results.loc[("all", "meta_cskt_corrected", "unknown")]
    parts = [
        pd.read_csv(outputs / "meta_cskt_corrected" / f"seed{k}" / "scores.csv").query("group == 'unknown'")["nme"]
        for k in (0, 1)
    ]
    assert row["nme"] == pytest.approx(np.mean(parts))
    assert (row["seeds"], row["images"]) == (2, len(parts[0]))
    few, full = (results.loc[("all", run, "unknown"), "nme"] for run in ("few_shot", "supervised"))
    assert row["reduction"] == pytest.approx(1 - row["nme"] / few)
    assert row["ratio"] == pytest.approx(row["nme"] / full)


def test_the_ablation_shows_what_is_there_and_names_what_is_not(outputs):
    ladder = pd.read_csv(outputs / "ablation" / "ladder.csv").set_index(["run", "group"])
    scores = pd.read_csv(outputs / "ls" / "seed0" / "scores.csv")
    assert ladder.loc[("ls", "all"), "nme"] == pytest.approx(scores["nme"].mean())
    assert ladder.loc[[("ls_lu", "all")], "nme"].isna().all()
    components = pd.read_csv(outputs / "ablation" / "components.csv").set_index(["run", "group"])
    both = {
        run: np.mean([pd.read_csv(outputs / run / f"seed{k}" / "scores.csv")["nme"].mean() for k in (0, 1)])
        for run in ("meta_cskt_published", "meta_cskt_corrected")
    }
    difference = components.loc[("meta_cskt_published", "all"), "difference"]
    assert difference == pytest.approx(both["meta_cskt_published"] - both["meta_cskt_corrected"])
    missing = json.loads((outputs / "ablation" / "summary.json").read_text())["missing"]
    assert {"ls_lu", "without_feedback", "t_neg_10", "few_shot_hard_20"} < set(missing)
    assert not {"ls", "t_pos_03", "few_shot_hard_10"} & set(missing)


def test_label_lists_are_training_images_of_the_species_of_their_class(outputs):
    folder = outputs / "label_lists" / "seed0"
    classes = json.loads((folder / "summary.json").read_text())["classes"]
    errors = json.loads((folder / "summary.json").read_text())["human_nme"]
    assert max(errors[one] for one in classes["easy"]) < min(errors[one] for one in classes["hard"])
    hard = (folder / "hard_10.txt").read_text().split()
    train = (outputs.parent / "zoo" / "splits" / "train.txt").read_text().split()
    assert len(hard) == 10 and set(hard) < set(train)
    assert {name.rsplit("_", 1)[0] for name in hard} == set(classes["hard"])
    labeled = pd.read_csv(outputs / "few_shot_hard_10" / "seed0" / "scores.csv")
    assert set(labeled.loc[labeled["group"] == "known", "species"]) == set(classes["hard"])


def test_the_baselines_are_held_against_meta_cskt_and_a_missing_one_is_a_gap(outputs):
    results = pd.read_csv(outputs / "baselines" / "results.csv")
    results = results[results["reference"] == "meta_cskt_corrected"].set_index(["run", "group"])
    summary = json.loads((outputs / "baselines" / "summary.json").read_text())
    assert summary["missing"] == ["uda"]
    for group in ("all", "known", "unknown"):
        assert np.isnan(results.loc[("uda", group), "nme"])
        part = [pd.read_csv(outputs / run / "seed0" / "scores.csv") for run in ("fixmatch", "meta_cskt_corrected")]
        errors = [own["nme"] if group == "all" else own.loc[own["group"] == group, "nme"] for own in part]
        row = results.loc[("fixmatch", group)]
        assert row["seeds"] == 1
        assert row["nme"] == pytest.approx(errors[0].mean())
        assert row["difference"] == pytest.approx((errors[0] - errors[1]).mean())
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    cost = pd.read_csv(outputs / "baselines" / "cost.csv").set_index("run")
    assert cost.loc["meta_cskt_corrected", "to_corrected"] == 1.0
    assert cost.loc[list(BASELINES), ["seconds_per_step", "peak_memory_mib"]].gt(0).all(axis=None)
    assert "uda" not in cost.index, "what has not run has no cost"
    two = cost.loc[["meta_cskt_improved", "meta_cskt_improved, last stage"]]
    assert two["steps"].iloc[1] == 2 * two["steps"].iloc[0]
    expected = two["seconds"].sum() / cost.loc["meta_cskt_corrected", "seconds"]
    assert two["to_corrected"].iloc[0] == pytest.approx(expected)


def test_a_run_without_what_it_needs_says_which_run_to_make(tmp_path):
    with pytest.raises(runs.RunError, match="run 'few_shot' has to be done first"):
        execute("06_meta_cskt", tmp_path / "tiny" / "meta_cskt_corrected" / "seed0", {})


def test_the_paper_has_every_table_and_figure_with_gaps_where_nothing_ran(outputs):
    home = outputs / "paper_figures"
    tables = {path.stem for path in (home / "tables").glob("*.tex")}
    assert tables == {"animalweb", "fig_1b", "macaque", "horse", "feedback", "ablation", "ssl", "contradictions"}
    figures = {path.stem for path in (home / "figures").glob("*.pdf")}
    assert figures == {
        *("animalweb", "fig_1a", "fig_1b", "macaque", "horse", "ablation", "ssl", "contradictions"),
        *(f"supplement_{number}" for number in (1, 2, 3, 4, 5, "6_known", "6_unknown")),
    }
    ablation = pd.read_csv(home / "tables" / "ablation.csv", index_col="method")
    means = (
        pd.read_csv(outputs / "evaluate" / "results.csv").query("landmarks == 'all'").set_index(["run", "group"])["nme"]
    )
    for group in ("known", "unknown"):
        assert ablation.loc["few-shot only", group] == pytest.approx(means["few_shot", group])
        assert ablation.loc["+ include positives", group] == pytest.approx(means["meta_cskt_corrected", group])
    assert list(ablation.index[ablation["known"].isna()]) == ["+ L_u", "+ L_f", "+ exclude negatives"]
    # the sweep is the reference and the one run beside it, of the seed that both have
    assert pd.read_csv(home / "t_pos.csv")["value"].tolist() == [0.03, 0.3] * 2


def test_pseudo_labels_are_chosen_learned_and_held_against_the_truth(outputs):
    scores = pd.read_csv(outputs / "selection" / "seed0" / "criteria.csv")
    labeled = set((outputs.parent / "zoo" / "splits" / "labeled_40.txt").read_text().split())
    train = set((outputs.parent / "zoo" / "splits" / "train.txt").read_text().split())
    assert set(scores["image"]) == train - labeled
    quality = pd.read_csv(outputs / "selection" / "seed0" / "quality.csv").set_index(["criterion", "budget"])
    assert len(quality) == 5 * 2 + 1 and quality.loc[("all", len(scores)), "images"] == len(scores)
    errors = pd.read_csv(outputs / "selection" / "seed0" / "errors.csv").set_index(["criterion", "budget"])["nme"]
    summary = json.loads((outputs / "neighbours" / "summary.json").read_text())
    assert summary["selection"]["cf_mt_30"] == pytest.approx(errors["cf_mt", 30])
    table = pd.read_csv(outputs / "neighbours" / "against_mining.csv").set_index(["criterion", "budget"])
    assert len(table) == len(errors) and table["difference"].isna().sum() == 2, "mining has nothing to be held against"
    row = table.loc[("cf_cm", 10)]
    assert row["difference"] == pytest.approx(errors["cf_cm", 10] - errors["mining", 10])
    assert row["difference_low"] <= row["difference"] <= row["difference_high"] and row["nme_low"] < row["nme_high"]


def test_discovered_points_are_regressed_to_landmarks_of_people_and_animals(outputs):
    table = pd.read_csv(outputs / "unsupervised" / "seed0" / "budgets.csv")
    train = (outputs.parent / "zoo" / "splits" / "train.txt").read_text().split()
    animals = table[table["faces"] == "animals"].groupby("labels").size()
    assert animals.to_dict() == {1: 10, 5: 10, len(train): 1}
    assert np.isfinite(table[["forward", "backward"]].to_numpy()).all()
    bridge = json.loads((outputs / "unsupervised" / "seed0" / "summary.json").read_text())["bridge"]
    assert bridge["from discovered points"] != bridge["from the usual weights"]
    start = pd.read_csv(outputs / "unsupervised" / "seed0" / "start.csv").iloc[0]
    assert start["difference"] == pytest.approx(bridge["from discovered points"] - bridge["from the usual weights"])
    assert start["difference_low"] < start["difference"] < start["difference_high"]
    beside = pd.read_csv(outputs / "unsupervised" / "seed0" / "beside.csv").set_index("way")["nme"]
    own = pd.read_csv(outputs / "few_shot" / "seed0" / "scores.csv")["nme"].mean()
    assert beside["few_shot"] == pytest.approx(own), "of its own seed alone"


def test_the_seeds_of_the_neighbours_are_averaged(outputs):
    found = [pd.read_csv(outputs / "generalization" / f"seed{seed}" / "results.csv") for seed in range(2)]
    together = pd.read_csv(outputs / "neighbours" / "held_out.csv")
    for column in ("nme", "seen", "excess"):
        assert together[column].to_numpy() == pytest.approx((found[0][column] + found[1][column]).to_numpy() / 2)
    assert (found[0]["nme"] != found[1]["nme"]).any()
    start = pd.read_csv(outputs / "neighbours" / "start.csv").iloc[0]
    alone = pd.read_csv(outputs / "unsupervised" / "seed0" / "start.csv").iloc[0]
    assert start["difference"] == pytest.approx(alone["difference"]) and start["seeds"] == 1

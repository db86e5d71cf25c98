"""The run folder: what is written, when a run goes on, when it starts anew, when it is refused."""

import json
import shutil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml

from cskt import config, runs


@pytest.fixture
def load(tmp_path):
    """Return a function that resolves a small params file with some overrides."""
    params = tmp_path / "params" / "tiny.yaml"
    params.parent.mkdir()
    params.write_text("SETTING: tiny\n")
    return lambda **overrides: config.load(params, overrides)


def test_a_run_is_done_when_its_summary_is_there_and_not_before(tmp_path, load):
    folder = tmp_path / "outputs" / "tiny" / "few_shot" / "seed3"
    run = runs.start(folder, load(SEED=3), inputs={"data": "abc"})
    assert not (folder / "summary.json").exists()
    run.finish({"nme": np.float64(0.125), "gap": float("nan")})
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["setting"], summary["run"], summary["seed"]) == ("tiny", "few_shot", 3)
    assert (summary["nme"], summary["gap"]) == (0.125, None)


def test_provenance_names_code_environment_seed_and_inputs(tmp_path, load):
    runs.start(tmp_path / "human_model", load(SEED=5), inputs={"data": "abc"})
    provenance = json.loads((tmp_path / "human_model" / "provenance.json").read_text())
    assert provenance["seed"] == 5
    assert provenance["inputs"] == {"data": "abc"}
    assert provenance["packages"]["numpy"] == np.__version__
    assert {"commit", "dirty", "device", "lock", "python", "started"} <= provenance.keys()


def test_the_written_config_loads_again_to_the_same_config(tmp_path, load):
    cfg = load(SEED=7)
    runs.start(tmp_path / "run", cfg)
    assert config.load(tmp_path / "run" / "config.yaml") == cfg


def test_a_stopped_run_goes_on_with_its_files(tmp_path, load):
    runs.start(tmp_path / "run", load())
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"step 40")
    runs.start(tmp_path / "run", load())
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == b"step 40"


def test_a_finished_run_starts_anew_and_its_former_files_are_kept_once(tmp_path, load):
    folder = tmp_path / "run"
    for step in (b"first", b"second", b"third"):
        run = runs.start(folder, load())
        assert not (folder / "checkpoint.pt").exists(), "a finished training must not be taken up again"
        assert not (folder / "summary.json").exists(), "the run is not done while it is done again"
        (folder / "checkpoint.pt").write_bytes(step)
        run.finish({})
    assert (folder / "former" / "checkpoint.pt").read_bytes() == b"second"
    assert not (folder / "former" / "former").exists()


def test_a_finished_run_whose_summary_the_graph_has_deleted_starts_anew(tmp_path, load):
    run = runs.start(tmp_path / "run", load())
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"old")
    (tmp_path / "run" / "executed.ipynb").write_text("{}")
    run.finish({}).unlink()
    runs.start(tmp_path / "run", load())
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize("change", ["config", "inputs"])
def test_a_stopped_run_that_is_given_something_else_starts_anew(tmp_path, load, change):
    runs.start(tmp_path / "run", load(SEED=0), inputs={"few_shot": "a"})
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"old")
    seed, source = (1, "a") if change == "config" else (0, "b")
    runs.start(tmp_path / "run", load(SEED=seed), inputs={"few_shot": source})
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert (tmp_path / "run" / "former" / "checkpoint.pt").read_bytes() == b"old"


def test_a_finished_run_with_another_config_is_not_overwritten(tmp_path, load):
    runs.start(tmp_path / "run", load(SEED=0)).finish({"nme": 0.1})
    with pytest.raises(runs.RunError, match="SEED: 0 there, 1 now"):
        runs.start(tmp_path / "run", load(SEED=1))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["nme"] == 0.1


def test_an_option_that_has_come_since_makes_no_other_config_while_it_has_its_default(tmp_path, load):
    runs.start(tmp_path / "run", load()).finish({"nme": 0.1})
    path = tmp_path / "run" / "config.yaml"
    before = yaml.safe_load(path.read_text())
    del before["METHOD"]["DISTILL"]
    path.write_text(yaml.safe_dump(before))
    with pytest.raises(runs.RunError, match=r"\(METHOD.DISTILL: 0.0 there, 1.0 now\)"):
        runs.start(tmp_path / "run", load(**{"METHOD.DISTILL": 1.0}))
    runs.start(tmp_path / "run", load())
    assert (tmp_path / "run" / "former" / "summary.json").exists()
    # one that is no more was another config
    runs.start(tmp_path / "run", load()).finish({})
    path.write_text(yaml.safe_dump(before | {"GONE": 1}))
    with pytest.raises(runs.RunError, match=r"\(GONE: 1 there, nothing now\)"):
        runs.start(tmp_path / "run", load())


def test_a_summary_may_not_say_which_run_it_is(tmp_path, load):
    run = runs.start(tmp_path / "run", load())
    with pytest.raises(ValueError, match="seed"):
        run.finish({"seed": 4})


@pytest.mark.slow
def test_figures_are_saved_as_png_and_as_a_pdf_without_date(tmp_path, load):
    run = runs.start(tmp_path / "run", load())
    figure, axes = plt.subplots(1, 2)
    for name, shown in {"axes": axes, "ax": axes[0], "figure": figure}.items():
        assert run.save_figure(shown, name).read_bytes().startswith(b"\x89PNG")
    pdfs = [(tmp_path / "run" / "figures" / f"{name}.pdf").read_bytes() for name in ("axes", "ax", "figure")]
    plt.close(figure)
    assert pdfs[0].startswith(b"%PDF")
    assert pdfs[0] == pdfs[1] == pdfs[2]


def test_a_saved_table_reads_back(tmp_path, load):
    table = pd.DataFrame({"image": ["a"], "nme": [0.5]})
    path = runs.start(tmp_path / "run", load()).save_table(table, "scores")
    pd.testing.assert_frame_equal(pd.read_csv(path), table)


def test_collecting_gives_one_row_per_finished_run(tmp_path, load):
    outputs = tmp_path / "outputs"
    for seed, nme in ((1, 0.3), (0, float("nan"))):
        run = runs.start(outputs / "tiny" / "few_shot" / f"seed{seed}", load(SEED=seed))
        run.finish({"nme": nme, "species": {"cat": 0.25}})
    runs.start(outputs / "tiny" / "data", load()).finish({"images": 12})
    runs.start(outputs / "tiny" / "meta_cskt" / "seed0", load())  # never finished
    table = runs.collect("tiny", outputs)
    assert table[["run", "seed"]].to_numpy().tolist() == [["data", 0], ["few_shot", 0], ["few_shot", 1]]
    np.testing.assert_array_equal(table["nme"], [np.nan, np.nan, 0.3])
    np.testing.assert_array_equal(table["species.cat"], [np.nan, 0.25, 0.25])


DAMAGED = [b'{"run": "few_sh', b"", b"\xff", b"{}", b"null", b'{"run": "few_shot", "seed": "x"}',
           b'{"run": "few_shot"}', b'{"run": "few_shot", "seed": 0, "note": "\\ud800"}',
           b'{"run": "few_shot", "seed": 0, "commit": 7}']  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_summary_makes_a_run_that_is_not_done_and_is_named(tmp_path, load, capsys, content):
    outputs = tmp_path / "outputs"
    for seed in (0, 1):
        run = runs.start(outputs / "tiny" / "few_shot" / f"seed{seed}", load(SEED=seed))
        run.save_table(pd.DataFrame({"nme": [0.5]}), "scores")
        run.finish({"nme": 0.5})
    damaged = outputs / "tiny" / "few_shot" / "seed0" / "summary.json"
    damaged.write_bytes(content)
    assert runs.collect("tiny", outputs)["seed"].tolist() == [1]
    assert capsys.readouterr().out.startswith(f"{damaged}: damaged, so its run counts as not done")
    assert runs.collect_tables(outputs / "tiny", "scores")["seed"].tolist() == [1]
    assert list(runs.collect_configs(outputs / "tiny")) == ["few_shot"]
    (outputs / "tiny" / "few_shot" / "seed1" / "summary.json").unlink()
    with pytest.raises(runs.RunError, match="no finished run"):
        runs.collect("tiny", outputs)


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.yaml", "SETTING: [a"), ("config.yaml", ""), ("config.yaml", "- 1"), ("config.yaml", "A: &a\n  B: *a\n"),
     ("provenance.json", "{"), ("provenance.json", "[]"), ("provenance.json", None),
     ("provenance.json", '{"inputs": {}, "earlier": 5}'), ("provenance.json", '{"inputs": {}, "earlier": {"a": 1}}'),
     ("provenance.json", '{"inputs": {}, "earlier": null}'), ("provenance.json", '{"inputs": {}, "earlier": ["a"]}')],
)  # fmt: skip
def test_a_run_folder_whose_records_are_damaged_is_refused_in_one_line(tmp_path, load, name, content):
    runs.start(tmp_path / "run", load())
    (tmp_path / "run" / name).unlink()
    if content is not None:
        (tmp_path / "run" / name).write_text(content)
    with pytest.raises(runs.RunError, match=rf"^{tmp_path}/run/{name}: missing or damaged: delete {tmp_path}/run, or"):
        runs.start(tmp_path / "run", load())


def test_a_run_that_is_there_twice_is_not_counted_twice(tmp_path, load):
    setting = tmp_path / "outputs" / "tiny"
    runs.start(setting / "few_shot" / "seed0", load()).finish({"nme": 0.5})
    shutil.copytree(setting / "few_shot" / "seed0", setting / "few_shot_before" / "seed0")
    with pytest.raises(runs.RunError, match=f"both hold run few_shot, seed 0: move one out of {setting}$"):
        runs.collect("tiny", tmp_path / "outputs")


def test_collecting_nothing_says_how_to_make_it(tmp_path):
    with pytest.raises(runs.RunError, match="make reproduce SETTING=zoo"):
        runs.collect("zoo", tmp_path)


def finished(folder, load, **files):
    """Make a finished run with some files in its folder."""
    run = runs.start(folder, load(SEED=int(folder.name.removeprefix("seed")) if "seed" in folder.name else 0))
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    run.finish({})


def test_an_earlier_run_is_found_with_or_without_a_seed_of_its_own(tmp_path, load):
    setting = tmp_path / "tiny"
    finished(setting / "human_model", load, checkpoint_pt="human")
    for seed in (0, 1):
        finished(setting / "few_shot" / f"seed{seed}", load, checkpoint_pt=f"few {seed}")
    here = setting / "mining" / "seed1"
    assert runs.upstream(here, "human_model").read_text() == "human"
    assert runs.upstream(here, "few_shot").read_text() == "few 1"
    assert runs.upstream(setting / "evaluate", "few_shot").read_text() == "few 0"


def test_an_earlier_run_that_is_not_done_is_named(tmp_path, load):
    setting = tmp_path / "tiny"
    runs.start(setting / "few_shot" / "seed0", load())
    (setting / "few_shot" / "seed0" / "checkpoint.pt").write_text("half")
    with pytest.raises(runs.RunError, match=r"'few_shot' has to be done first.*`make reproduce SETTING=tiny`"):
        runs.upstream(setting / "mining" / "seed0", "few_shot")


def test_tables_of_all_runs_stand_one_below_the_other(tmp_path, load):
    setting = tmp_path / "tiny"
    finished(setting / "mining" / "seed0", load)
    for seed in (1, 0):
        finished(setting / "few_shot" / f"seed{seed}", load, scores_csv=f"image,nme\na,0.{seed + 1}\n")
    table = runs.collect_tables(runs.setting_folder(setting / "few_shot" / "seed0"), "scores")
    assert table.to_dict("list") == {"run": ["few_shot"] * 2, "seed": [0, 1], "image": ["a", "a"], "nme": [0.1, 0.2]}
    finished(setting / "other" / "seed0", load, scores_csv="image,nme\na,0.9\n")
    assert runs.collect_tables(setting, "scores", ["few_shot"]).equals(table)
    with pytest.raises(runs.RunError, match=r"no finished run under .* has a weights"):
        runs.collect_tables(setting, "weights")

"""Grids are read as the runs they name; a mistake in one is told with the file, the entry and the nearest name."""

import shlex
from pathlib import Path

import pytest

from cskt import config, grids
from cskt.errors import ConfigError

PARAMS = Path(__file__).resolve().parents[1] / "params"
RUNS = grids.read()

FIRST = "few_shot: {notebook: 04_few_shot}\n"


@pytest.fixture
def read(tmp_path):
    """Return a function that writes the given grids and reads them, with the settings zoo and macaque."""

    def write_and_read(**contents):
        (tmp_path / "grids").mkdir()
        for setting in ("zoo", "macaque"):
            (tmp_path / f"{setting}.yaml").touch()
        for name, content in contents.items():
            (tmp_path / "grids" / f"{name}.yaml").write_text(content)
        return grids.read(tmp_path / "grids")

    return write_and_read


def test_an_entry_is_a_run_with_its_folder_and_its_options(read):
    fixmatch = """fixmatch:
      notebook: 06_meta_cskt
      set: {METHOD.NAME: fixmatch, METHOD.LR: 1e-4, METHOD.AUGMENT: false, DATA.TRAIN: [a b.txt]}
      needs: [few_shot]
      settings: [zoo]
    """
    entries = read(suite=FIRST, baselines=fixmatch)
    assert list(entries) == ["fixmatch", "few_shot"]
    entry = entries["fixmatch"]
    assert (entry.grid, entry.folder) == ("baselines", "outputs/{setting}/fixmatch/seed{seed}")
    # what the command line makes of the options are the overrides again
    pairs = shlex.split(entry.options.format(seed=2))[1::2]
    assert config.parse_overrides(pairs) == {**entry.overrides, "SEED": 2}
    assert entry.overrides["METHOD.LR"] == 1e-4
    assert entry.is_of("zoo") and not entry.is_of("macaque")
    assert entries["few_shot"].is_of("macaque")


def test_a_run_for_all_seeds_has_a_folder_and_no_seed(read):
    entry = read(suite="data: {notebook: 01_data, per_seed: false}")["data"]
    assert (entry.folder, entry.options) == ("outputs/{setting}/data", "")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            "mining: {notebook: 05_mining, needs: [few_shto]}",
            "mining: needs: no run 'few_shto'; did you mean 'few_shot'?",
        ),
        ("mining: {notebook: 05_mining, needs: [zo/few_shot]}", "no setting 'zo'; did you mean 'zoo'?"),
        ("mining: {notebook: 05_mining, settings: [maqaque]}", "no setting 'maqaque'; did you mean 'macaque'?"),
        ("table: {notebook: 08_ablation, beside: {zoo: maqaque}}", "beside: no setting 'maqaque'; did you mean"),
        ("table: {notebook: 08_ablation, shows: [swiet]}", "shows: no grid 'swiet'; did you mean 'suite'?"),
        (FIRST, "run few_shot is already one of the grid more"),
        ("a: {notebook: x}\na: {notebook: y}", "a is there twice"),
        ("mining: {notebook: 05_mining, need: [few_shot]}", "unknown key 'need'; did you mean 'needs'?"),
        ("mining: {notebook: 05_mining, needs: few_shot}", "needs must be a list, got 'few_shot'"),
        ("mining: {needs: [few_shot]}", "expected `notebook: NAME`"),
        ("mining: {notebook: 05_mining, set: {MINING: {T_POS: 0.1}}}", "dotted keys, `MINING.KEY: value`"),
    ],
)
def test_a_mistake_is_told_with_file_and_entry(read, grid, message):
    with pytest.raises(ConfigError, match=r"more.yaml|suite.yaml") as error:
        read(suite=FIRST, more=grid)
    assert message in str(error.value)


@pytest.mark.parametrize("entry", RUNS.values(), ids=RUNS)
def test_each_run_of_the_project_has_a_notebook_and_a_config(entry):
    assert (PARAMS.parent / "notebooks" / f"{entry.notebook}.ipynb").is_file()
    overrides = {
        key: value.format(setting="zoo", seed=0) if isinstance(value, str) else value
        for key, value in entry.overrides.items()
    }
    loaded = config.load(PARAMS / "zoo.yaml", overrides)
    for key, value in overrides.items():
        node = loaded
        for part in key.split("."):
            node = node[part]
        assert node == value


def changed(overrides, setting="zoo"):
    """What a run's config has otherwise than that of the full method."""
    plain = config.load(PARAMS / f"{setting}.yaml", RUNS["meta_cskt_corrected"].overrides)
    own = config.load(PARAMS / f"{setting}.yaml", overrides)
    return {
        f"{section}.{key}": value
        for section, node in own.items()
        if isinstance(node, dict)
        for key, value in node.items()
        if value != plain[section][key]
    }


ORDER = [f"METHOD.{key}" for key in config.DEFAULTS["METHOD"]]


def test_each_row_of_the_ablation_has_one_part_of_the_full_method_more():
    parts = {
        "ls": "METHOD.UNSUPERVISED",
        "ls_lu": "METHOD.FEEDBACK",
        "ls_lu_lf": "METHOD.EXCLUDE_NEGATIVES",
        "ls_lu_lf_negatives": "METHOD.INCLUDE_POSITIVES",
    }
    assert grids.runs_of(RUNS, "ablation", "zoo") == list(parts)
    left_out = list(parts.values())
    for run in parts:
        assert list(changed(RUNS[run].overrides)) == sorted(left_out, key=ORDER.index)
        left_out.pop(0)


def test_each_component_and_each_threshold_is_one_change_of_the_full_method():
    for setting in ("zoo", "animalpose"):
        for grid in ("components", "sweeps"):
            for run in grids.runs_of(RUNS, grid, setting):
                assert len(changed(RUNS[run].overrides, setting)) == 1, run
    # the published thresholds (spec 1.11) beside the setting's own
    swept = grids.values_of(RUNS, "MINING.T_NEG", "animalpose")
    assert sorted({*swept.values(), 0.2}) == [0.1, 0.15, 0.2, 0.3, 0.4, 0.5]
    swept = grids.values_of(RUNS, "MINING.T_POS", "zoo")
    assert {0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07} < set(swept.values())

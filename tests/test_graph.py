"""The graph knows what is missing and what is out of date (dry runs; nothing is executed)."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# each run after those it needs
SHARED_FIRST = ("data", "human_model")
PER_SEED = ("few_shot", "supervised", "mining", "meta_cskt_published", "meta_cskt_corrected", "meta_cskt_improved")
SHARED_LAST = ("evaluate",)
# a grid beside the suite: one row, one seed of another, and the table that shows them
ROWS = """
row:
  notebook: 06_meta_cskt
  needs: [few_shot, mining]
one_seed:
  notebook: 06_meta_cskt
  needs: [few_shot, mining]
  seeds: 1
elsewhere:
  notebook: 06_meta_cskt
  settings: [macaque]
"""
TABLE = "table: {notebook: 07_evaluate, per_seed: false, needs: [few_shot], shows: [rows]}"

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path):
    """A copy of the project without library and outputs, and of the grids only the suite."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for name in ("notebooks", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "params", tmp_path / "params", ignore=shutil.ignore_patterns("grids"))
    (tmp_path / "params" / "grids").mkdir()
    shutil.copy(ROOT / "params" / "grids" / "suite.yaml", tmp_path / "params" / "grids")
    return tmp_path


def dry_run(project, *arguments):
    command = [sys.executable, "-m", "snakemake", "-n", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def planned(output, others=("html",)):
    """Return run -> number of jobs, from Snakemake's table of job counts; the pages, if asked for, among them."""
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0].splitlines()[3:]
    counts = {line.split()[0]: int(line.split()[1]) for line in table if line.strip()}
    return {run: count for run, count in counts.items() if run not in ("all", "animalpose_paper", *others)}


def finish(project, *folders):
    """Write the summaries of runs, each a second newer than the one before."""
    for second, folder in enumerate(folders):
        path = project / "outputs" / folder / "summary.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"folder": "{folder}"}}')
        # in the future: newer than the copied notebooks
        os.utime(path, (path.stat().st_mtime + second + 10,) * 2)


def suite(setting, seeds):
    """The folders of all runs of the suite, each after those it needs."""
    per_seed = (*PER_SEED, *["supervised_known"] * (setting == "animalpose_unknown"))
    runs = [*SHARED_FIRST, *(f"{run}/seed{seed}" for run in per_seed for seed in range(seeds)), *SHARED_LAST]
    return [f"{setting}/{run}" for run in runs]


def test_a_fresh_clone_needs_every_run_once_or_once_per_seed(project):
    status, output = dry_run(project, "--config", "setting=zoo", "seeds=2")
    assert status == 0, output
    assert planned(output) == dict.fromkeys(SHARED_FIRST + SHARED_LAST, 1) | dict.fromkeys(PER_SEED, 2)


def test_nothing_is_done_again_and_a_missing_summary_takes_those_along_that_need_it(project):
    finish(project, *suite("zoo", 2))
    status, output = dry_run(project, "--config", "setting=zoo", "seeds=2")
    assert status == 0, output
    assert planned(output) == {}

    (project / "outputs" / "zoo" / "mining" / "seed1" / "summary.json").unlink()
    _, output = dry_run(project, "--config", "setting=zoo", "seeds=2")
    assert planned(output) == dict.fromkeys(("mining", *PER_SEED[3:], "evaluate"), 1)


def test_a_plain_call_finds_nothing_to_do_when_the_zoo_is_done(project):
    """All grids, with the zoo of whole animals that is made along, which has one seed as well."""
    shutil.copytree(ROOT / "params" / "grids", project / "params" / "grids", dirs_exist_ok=True)
    _, output = dry_run(project)
    made = re.findall(r"output: (outputs/\S+)/summary.json", output)
    assert "outputs/zoo_bodies/bodies/seed0" in made and not [name for name in made if name.endswith("seed1")]
    finish(project, *[name.removeprefix("outputs/") for name in made])
    for name in ("zoo", "zoo_bodies"):
        page = project / "outputs" / name / "report" / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text("")
        os.utime(page, (page.stat().st_mtime + 10_000,) * 2)
    for options in ((), ("--config", "seeds=1")):
        assert planned(dry_run(project, *options)[1], others=()) == {}


def test_the_paper_is_two_settings_three_seeds_and_all_grids(project):
    (project / "params" / "grids" / "rows.yaml").write_text(ROWS)
    (project / "params" / "grids" / "table.yaml").write_text(TABLE)
    status, output = dry_run(project, "animalpose_paper")
    assert status == 0, output
    once, thrice = (*SHARED_FIRST, *SHARED_LAST, "one_seed", "table"), (*PER_SEED, "row")
    # a line that only a setting with unknown species has
    assert planned(output) == dict.fromkeys(once, 2) | dict.fromkeys(thrice, 6) | {"supervised_known": 3}

    rows = [*(f"row/seed{seed}" for seed in range(3)), "one_seed/seed0", "table"]
    for setting in ("animalpose", "animalpose_unknown"):
        finish(project, *suite(setting, 3), *(f"{setting}/{row}" for row in rows))
    _, output = dry_run(project, "animalpose_paper")
    assert planned(output) == {}
    # one setting of it, with fewer seeds
    _, output = dry_run(project, "--config", "setting=animalpose", "seeds=1")
    assert planned(output) == {}


def test_a_table_is_made_again_after_a_run_that_it_shows(project):
    (project / "params" / "grids" / "rows.yaml").write_text(ROWS)
    (project / "params" / "grids" / "table.yaml").write_text(TABLE)
    finish(project, *suite("zoo", 1), "zoo/one_seed/seed0", "zoo/table")
    status, output = dry_run(project)
    assert status == 0, output
    assert planned(output) == {"row": 1, "table": 1}


def test_a_run_of_a_later_seed_does_not_wait_for_what_has_one_seed(project):
    (project / "params" / "grids" / "rows.yaml").write_text(ROWS)
    table = TABLE.replace("per_seed: false, ", "").replace("}", ", settings: [animalpose]}")
    (project / "params" / "grids" / "table.yaml").write_text(table)
    status, output = dry_run(project, "--config", "setting=animalpose", "grids=rows,table")
    assert status == 0, output
    counts = planned(output)
    assert (counts["table"], counts["row"], counts["one_seed"]) == (3, 3, 1)


def test_a_table_is_made_again_after_a_run_of_the_setting_beside_its_own(project):
    (project / "params" / "grids" / "rows.yaml").write_text(ROWS)
    table = TABLE.replace("}", ", settings: [animalpose], beside: {animalpose: animalpose_unknown}}")
    (project / "params" / "grids" / "table.yaml").write_text(table)
    rows = [*(f"row/seed{seed}" for seed in range(3)), "one_seed/seed0"]
    settings = ("animalpose", "animalpose_unknown")
    runs = [run for one in settings for run in (*suite(one, 3), *(f"{one}/{row}" for row in rows))]
    finish(project, *runs, "animalpose/table")
    _, output = dry_run(project, "animalpose_paper")
    assert planned(output) == {}
    (project / "outputs" / "animalpose_unknown" / "row" / "seed2" / "summary.json").unlink()
    _, output = dry_run(project, "animalpose_paper")
    assert planned(output) == {"row": 1, "table": 1}


def test_the_pages_are_made_last_and_again_after_any_run(project):
    finish(project, *suite("zoo", 1))
    page = project / "outputs" / "zoo" / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("")
    os.utime(page, (page.stat().st_mtime + 1000,) * 2)
    _, output = dry_run(project)
    assert planned(output, others=()) == {}
    finish(project, *["zoo/nothing"] * 2000, "zoo/mining/seed0")  # newer than the page
    _, output = dry_run(project, "--config", "gaps=1")
    assert planned(output, others=()) == {"html": 1}


def test_a_table_can_be_made_of_the_runs_that_are_there(project):
    (project / "params" / "grids" / "rows.yaml").write_text(ROWS)
    (project / "params" / "grids" / "table.yaml").write_text(TABLE)
    finish(project, *suite("zoo", 1), "zoo/one_seed/seed0")
    status, output = dry_run(project, "--config", "gaps=1")
    assert status == 0, output
    assert planned(output) == {"table": 1}
    finish(project, *suite("zoo", 1), "zoo/one_seed/seed0", "zoo/table")
    _, output = dry_run(project, "--config", "gaps=1")
    assert planned(output) == {}


def test_a_setting_without_a_plan_of_its_own_is_the_suite(project):
    (project / "params" / "grids" / "rows.yaml").write_text(ROWS)
    _, output = dry_run(project, "--config", "setting=macaque", "seeds=1")
    assert planned(output).keys() == {*SHARED_FIRST, *PER_SEED, *SHARED_LAST}
    _, output = dry_run(project, "--config", "setting=macaque", "seeds=1", "grids=rows")
    assert planned(output).keys() >= {"row", "one_seed", "elsewhere"}


def test_a_mistake_in_a_grid_stops_the_graph(project):
    (project / "params" / "grids" / "rows.yaml").write_text("row: {notebook: 06_meta_cskt, needs: [few_shto]}")
    status, output = dry_run(project)
    assert status != 0
    assert "rows.yaml: row: needs: no run 'few_shto'; did you mean 'few_shot'?" in output


def test_an_unknown_setting_is_told_with_the_known_ones(project):
    status, output = dry_run(project, "--config", "setting=zo")
    assert status != 0
    assert "no setting 'zo'" in output
    assert "zoo" in output.split("known are")[1]

"""The report of a setting as pages: what they show is what the runs wrote, and every link leads somewhere."""

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import builders
import pandas as pd
import pytest
from PIL import Image

from cskt import config, pages
from cskt.errors import DataError
from cskt.pages.notebook import last_lines, notebook_html

# a PNG of one pixel, as a live figure leaves it
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Page(HTMLParser):
    """The addresses and names in a page, and its text."""

    def __init__(self, path):
        super().__init__()
        self.path, self.links, self.names, self.words = path, [], set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.links += [own[key] for key in ("href", "src") if own.get(key)]
        self.names |= {own["id"]} if "id" in own else set()

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def broken_links(folder: Path) -> list[str]:
    """The addresses in a folder's pages that lead nowhere, or out of this computer."""
    found = {path.name: Page(path) for path in folder.glob("*.html")}
    broken = []
    for name, page in found.items():
        for link in page.links:
            parts = urlparse(link)
            if parts.scheme == "data":
                continue
            target = folder / unquote(parts.path) if parts.path else page.path
            names = found[target.name].names if target.name in found else set()
            if parts.scheme or not target.is_file() or (parts.fragment and parts.fragment not in names):
                broken.append(f"{name}: {link}")
    return broken


def execute(folder, notebook, question, cells=(), name="executed.ipynb", summary=None, seconds=60.0):
    """Leave behind what a run does."""
    (folder / "figures").mkdir(parents=True)
    heading = {"cell_type": "markdown", "metadata": {}, "source": f"# {question}"}
    builders.write_notebook(folder / name, heading, *cells, papermill={"input_path": f"notebooks/{notebook}.ipynb"})
    run = folder.parent.name if folder.name.startswith("seed") else folder.name
    (folder / "log.txt").write_text("done")
    note = {"commit": "0123456789abcdef", "dirty": False, "device": "cpu", "started": "2026-11-21T10:00:00+00:00"}
    (folder / "provenance.json").write_text(json.dumps(note))
    if summary is not None:
        identity = {"run": run, "seed": 0, "seconds": seconds, "commit": note["commit"], "dirty": False}
        (folder / "summary.json").write_text(json.dumps(identity | summary))
    return folder


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A setting with a run that all seeds share, two seeds of a method, one failure and a comparison."""
    home = tmp_path_factory.mktemp("pages") / "zoo"
    data = execute(home / "data", "01_data", "What is there?", summary={"images": 7})
    Image.new("RGB", (300, 100)).save(data / "figures" / "contact sheet.png")
    pd.DataFrame({"a": [1]}).to_csv(data / "counts #1.csv", index=False)
    for seed, error in enumerate((0.071, 0.073)):
        numbers = {"nme": error, "known_nme": None, "unknown_nme": 0.084}
        run = execute(home / "few_shot" / f"seed{seed}", "04_few_shot", "How well?", summary=numbers)
        Image.new("RGB", (30, 30)).save(run / "figures" / "losses.png")
        (run / "figures" / "losses.pdf").write_text("")
    (home / "few_shot" / "seed0" / "former").mkdir()
    execute(home / "uda" / "seed0", "06_meta_cskt", "Is <it> better?", name="failed.ipynb")
    # several numbers under a name that is one number elsewhere
    execute(home / "selection" / "seed0", "13_web_pseudo_labels", "Which labels?", summary={"nme": {"kp_conf_10": 0.1}})
    evaluate = execute(home / "evaluate", "07_evaluate", "Which is best?", summary={})
    row = {"landmarks": "all", "images": 400, "seeds": 2, "nme_low": 0.066, "nme_high": 0.077, "nme_sd": 0.001,
           "fr08": 0.29, "auc20": 0.65}  # fmt: skip
    lower = {"reduction": 0.176, "reduction_low": 0.13, "reduction_high": 0.222, "p_value": 0.001}
    rows = [{"run": "few_shot", "group": "all", "nme": 0.072} | row,
            {"run": "meta_cskt_corrected", "group": "all", "nme": 0.0588} | row | lower]  # fmt: skip
    pd.DataFrame(rows).to_csv(evaluate / "results.csv", index=False)
    pages.write_pages(home)
    return home


@pytest.mark.slow
def test_every_link_leads_to_a_file_or_a_place_in_a_page(setting):
    report = setting / "report"
    assert broken_links(report) == []
    index = Page(report / "index.html")
    linked = {unquote(link) for link in index.links}
    # all that the runs wrote can be reached, whatever its name
    for file in ("data/counts #1.csv", "data/figures/contact sheet.png", "few_shot/seed1/figures/losses.pdf",
                 "few_shot/seed1/log.txt", "evaluate/results.csv", "evaluate/provenance.json"):  # fmt: skip
        shown = f"../{file}" in linked
        assert shown or file.startswith("few_shot/seed1/figures"), file


def test_the_links_of_a_broken_page_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id=x><a href="#x"></a><a href="#y"></a><img src="no.png"><a href="http://a"></a>'
    )
    assert broken_links(tmp_path) == ["a.html: #y", "a.html: no.png", "a.html: http://a"]


@pytest.mark.slow
def test_the_report_shows_the_numbers_of_the_runs(setting):
    text = Page(setting / "report" / "index.html").text
    assert "all test species (400 images)" in text
    assert "Meta-CSKT, corrected 5.88 6.60 to 7.70 ± 0.10, n = 2 29.0 % 0.650 17.6 % (13.0 to 22.2) 0.001" in text
    assert "few-shot only, seed 1 7.30 %" in text
    assert "5 done, 1 failed" in text
    assert "0123456789" in text
    assert "Is <it> better?" in text  # escaped


@pytest.mark.slow
def test_runs_come_by_notebook_and_a_failure_is_among_them(setting):
    found = pages.collect(setting)
    assert [(page.run, page.seed, page.state) for page in found] == [
        ("data", None, "done"),
        ("few_shot", 0, "done"),
        ("few_shot", 1, "done"),
        ("uda", 0, "failed"),
        ("evaluate", None, "done"),
        ("selection", 0, "done"),
    ]
    assert pages.facts(found)["hours"] == pytest.approx(5 / 60)
    assert pages.chapters(found)[1]["shown"].label == "few-shot only, seed 0"


@pytest.mark.slow
def test_a_page_of_a_run_that_is_gone_goes_too_and_a_run_asked_for_again_is_not_done(setting, tmp_path):
    home = tmp_path / "zoo"
    run = execute(home / "data", "01_data", "What?", summary={})
    (home / "report").mkdir()
    (home / "report" / "gone.html").write_text("")
    (run / "summary.json").unlink()
    assert pages.write_pages(home) == home / "report" / "index.html"
    assert sorted(path.name for path in (home / "report").iterdir()) == ["data.html", "index.html", "style.css"]
    assert pages.collect(home)[0].state == "running"
    (run / "failed.ipynb").write_text((run / "executed.ipynb").read_text())
    os.utime(run / "failed.ipynb", (run.stat().st_mtime + 10,) * 2)
    assert pages.collect(home)[0].state == "failed"


@pytest.mark.slow
def test_damaged_files_of_runs_are_told_and_the_others_shown(tmp_path, capsys):
    for run in ("cut", "summary", "provenance"):
        execute(tmp_path / run / "seed0", "04_few_shot", "How well?", summary={"nme": 0.5})
    (tmp_path / "cut" / "seed0" / "executed.ipynb").write_text('{"cells": [')
    (tmp_path / "summary" / "seed0" / "summary.json").write_text("")
    (tmp_path / "provenance" / "seed0" / "provenance.json").write_text("{")
    found = pages.collect(tmp_path)
    assert {page.run: page.state for page in found} == {"summary": "running", "provenance": "done"}
    assert pages.facts(found)["devices"] == ["cpu"]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{tmp_path}/cut/seed0/executed.ipynb: damaged, so this run is left out")
    assert told[1].startswith(f"{tmp_path}/summary/seed0/summary.json: damaged, so its run counts as not done")


def test_a_run_whose_time_is_unknown_is_shown_without_one(tmp_path):
    """As of a clock that was set back while it ran (`runs.Run.finish`)."""
    execute(tmp_path / "zoo" / "a", "01_data", "What?", summary={}, seconds=None)
    execute(tmp_path / "zoo" / "b", "01_data", "What?", summary={}, seconds=7200)
    pages.write_pages(tmp_path / "zoo")
    assert pages.facts(pages.collect(tmp_path / "zoo"))["hours"] == 2.0
    assert "120.0" in Page(tmp_path / "zoo" / "report" / "index.html").text


@pytest.mark.parametrize("content", [b"", b"run,group\nfew_shot,all\n", b"run\n\xff\n", b'run\n"'])
def test_a_damaged_table_of_results_is_named(tmp_path, content):
    run = execute(tmp_path / "zoo" / "evaluate", "07_evaluate", "How well?", summary={})
    (run / "results.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"evaluate/results\.csv: damaged, or "):
        pages.write_pages(tmp_path / "zoo")


@pytest.mark.parametrize(
    "odd", [{"started": 3}, {"commit": 5}, {"commit": ["c"]}, {"device": ["cpu"]}, {"device": None}]
)
def test_damaged_records_show_no_time_and_no_day(tmp_path, odd):
    run = execute(tmp_path / "zoo" / "a", "01_data", "What?", summary={}, seconds="x")
    (run / "provenance.json").write_text(json.dumps(json.loads((run / "provenance.json").read_text()) | odd))
    pages.write_pages(tmp_path / "zoo")
    facts = pages.facts(pages.collect(tmp_path / "zoo"))
    assert (facts["hours"], facts["days"], facts["commits"], facts["devices"]) == (0, [], [], [])


def test_nothing_to_show_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no run of this setting.*make reproduce SETTING=nowhere"):
        pages.write_pages(tmp_path / "nowhere")


def test_what_a_setting_is_about_stands_in_its_params_file():
    assert pages.about("zoo").startswith("The embedded zoo")
    assert config.PROJECT.joinpath("params", "zoo.yaml").read_text().startswith("# The embedded zoo")
    assert pages.about("nowhere") == ""


@pytest.mark.slow
def test_a_live_figure_is_the_picture_it_ended_as_and_a_bar_its_last_line(tmp_path):
    widget = {"model_id": "m", "version_major": 2, "version_minor": 0}
    shown = {"application/vnd.jupyter.widget-view+json": widget, "text/plain": "Image(b'')"}
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": shown},
        {"output_type": "stream", "name": "stderr", "text": "step:   1%\rstep: 100%\n"},
        {"output_type": "stream", "name": "stderr", "text": "           \r"},
    ]
    state = {"m": {"model_name": "ImageModel", "state": {}, "buffers": [{"path": ["value"], "data": PIXEL}]}}
    cell, widgets = (
        builders.code_cell("live.image", outputs=outputs),
        {"application/vnd.jupyter.widget-state+json": {"state": state}},
    )
    text = notebook_html(builders.write_notebook(tmp_path / "executed.ipynb", cell, widgets=widgets))
    assert f"data:image/png;base64,{PIXEL}" in text
    assert "Image(b" not in text
    assert "step: 100%" in text and "step:   1%" not in text
    assert "<script" not in text and "http" not in text
    assert last_lines("a\rb") == "b"

"""The report of a setting as pages to open in a browser: results, figures, and every executed notebook.

outputs/<setting>/report/index.html             results, figures and runs, with links to all that the runs wrote
outputs/<setting>/report/<run>[_seed<k>].html   an executed notebook

Notebooks are converted by nbconvert and put into pages by Jinja2 (the templates beside this file). A page needs nothing
from a network; pictures of a notebook are in its page, figures and tables of the runs are linked where they lie.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from cskt import config, files, runs
from cskt.comparison import GROUPS, NAMES
from cskt.errors import DataError
from cskt.files import read_table
from cskt.pages.notebook import first_heading, notebook_html, stylesheet
from cskt.progress import bar, say

# the executed notebook of a run that has ended well, badly, or not yet
_STATES = {"executed.ipynb": "done", "failed.ipynb": "failed", "running.ipynb": "running"}
_FILES = ("config.yaml", "provenance.json", "summary.json", "metrics.csv", "log.txt")
_GROUP_TITLES = {"all": "all test species", "known": "known species", "unknown": "unknown species"}
_RESULT_COLUMNS = ("seeds", "nme", "nme_low", "nme_high", "nme_sd", "fr08", "auc20", "reduction", "reduction_low",
                   "reduction_high", "p_value")  # fmt: skip


@dataclass(frozen=True)
class Link:
    """A file to open, by its path from the report's folder."""

    name: str
    href: str


@dataclass(frozen=True)
class Figure:
    """A figure of a run."""

    name: str
    png: str
    pdf: str | None
    wide: bool


@dataclass(frozen=True)
class Page:
    """One execution of a notebook and what it left.

    Attributes:
        run: its name; `title` is what figures call it.
        seed: None for a run that all seeds share.
        state: "done", "failed" or "running".
        notebook: the notebook's name, 04_few_shot.
        question: its first heading.
        href: its page.
        summary: of a run that is done; else empty.
    """

    folder: Path
    run: str
    seed: int | None
    state: str
    notebook: str
    question: str
    href: str
    summary: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Link] = field(default_factory=list)
    files: list[Link] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """What the run took; None where that is not known, as of a clock that was set back."""
        return self.summary["seconds"] if isinstance(self.summary.get("seconds"), int | float) else None

    @property
    def title(self) -> str:
        return NAMES.get(self.run, self.run.replace("_", " "))

    @property
    def label(self) -> str:
        return self.title if self.seed is None else f"{self.title}, seed {self.seed}"


def write_pages(folder: str | Path) -> Path:
    """Write the report of a setting, of all that has run.

    Args:
        folder: the setting's folder, outputs/<setting>.

    Returns:
        The path of its index.html, which is written last.

    Raises:
        DataError: nothing has run there.
    """
    folder = Path(folder)
    report = folder / "report"
    found = collect(folder)
    if not found:
        raise DataError(
            f"{folder}: no run of this setting has an executed notebook; "
            f"`make reproduce SETTING={folder.name}` makes them"
        )
    files.write_text(report / "style.css", stylesheet() + (Path(__file__).parent / "style.css").read_text())
    for place, page in enumerate(bar(found, desc="pages", unit="notebook", leave=False)):
        around = {"before": found[place - 1] if place else None, "after": [*found, None][place + 1]}
        body = notebook_html(_executed(page.folder))
        text = _template("notebook.html").render(page=page, body=body, setting=folder.name, **around)
        files.write_text(report / page.href, text)
    for old in {path.name for path in report.glob("*.html")} - {page.href for page in found} - {"index.html"}:
        (report / old).unlink()
    text = _template("index.html").render(
        setting=folder.name,
        about=about(folder.name),
        facts=facts(found),
        results=results(folder),
        results_file=_from_report(folder / "evaluate" / "results.csv", folder),
        comparison=next((f for p in found if p.run == "evaluate" for f in p.figures if f.name == "comparison"), None),
        chapters=chapters(found),
        pages=found,
    )
    files.write_text(report / "index.html", text)
    return report / "index.html"


def collect(folder: Path) -> list[Page]:
    """Every execution of a notebook in a setting's folder, by notebook, then in the order of `comparison.NAMES`."""
    pages = []
    for place in [*sorted(folder.glob("*/")), *sorted(folder.glob("*/seed*/"))]:
        executed = _executed(place)
        if executed is None or place.name == "former":
            continue
        content = _content(executed)
        if content is None:
            say(f"{executed}: damaged, so this run is left out: do it again")
        else:
            pages.append(_page(place, executed, content, folder))
    order = {run: number for number, run in enumerate(NAMES)}
    return sorted(pages, key=lambda p: (p.notebook, order.get(p.run, len(order)), p.run, p.seed or 0))


def chapters(pages: Iterable[Page]) -> list[dict[str, Any]]:
    """The executions grouped by the question that their notebook asks.

    Returns:
        For each notebook: its name, question and pages, and `shown`, the one whose figures stand in the report: of the
        corrected variant where there are several methods, else the first that is done.
    """
    found: dict[str, list[Page]] = {}
    for page in pages:
        found.setdefault(page.notebook, []).append(page)
    made = []
    for notebook, own in found.items():
        done = [page for page in own if page.figures] or own
        shown = next((page for page in done if page.run == "meta_cskt_corrected"), done[0])
        made.append({"notebook": notebook, "question": own[0].question, "pages": own, "shown": shown})
    return made


def results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The methods of the `evaluate` run side by side, all landmarks.

    Returns:
        Title of a group of test images -> its rows, with the numbers in percent where they are fractions, and `width`,
        the share of the largest error. Empty where there is no such run.
    """
    path = folder / "evaluate" / "results.csv"
    if not path.is_file() or not (path.parent / "summary.json").is_file():
        return {}
    table = read_table(path, ("run", "group", "landmarks", "images", "nme_high", *_RESULT_COLUMNS))
    table = table[table["landmarks"] == "all"]
    groups = [group for group in GROUPS if group in set(table["group"])]
    made = {}
    for group in groups:
        own = table[table["group"] == group]
        widest = own["nme_high"].max()
        rows = [
            {"run": row["run"], "title": NAMES.get(row["run"], row["run"]), "width": row["nme_high"] / widest}
            | {name: None if pd.isna(row[name]) else row[name] for name in _RESULT_COLUMNS}
            for row in own.to_dict("records")
        ]
        made[f"{_GROUP_TITLES[group]} ({own['images'].iloc[0]:,} images)"] = rows
    return made


def facts(pages: Iterable[Page]) -> dict[str, Any]:
    """What was run: counts, time, commits, devices and days, from the runs' summaries and provenances."""
    pages = list(pages)
    written = [page.folder / "provenance.json" for page in pages]
    notes = [runs.read_record(path) or {} for path in written]
    texts = [[note.get("commit") or "", note.get("started"), note.get("device")] for note in notes]
    notes = [note for note, own in zip(notes, texts, strict=True) if all(isinstance(text, str) for text in own)]
    commits = {
        note["commit"][:10] + (" with changes" if note.get("dirty") else "") for note in notes if note.get("commit")
    }
    days = sorted(note["started"][:10] for note in notes)
    return {
        "states": {state: sum(page.state == state for page in pages) for state in _STATES.values()},
        "seeds": sorted({page.seed for page in pages if page.seed is not None}),
        "hours": sum(page.seconds or 0 for page in pages) / 3600,
        "commits": sorted(commits),
        "devices": sorted({note["device"] for note in notes}),
        "days": list(dict.fromkeys([days[0], days[-1]])) if days else [],
    }


def about(setting: str) -> str:
    """The comment at the head of a setting's params file."""
    path = config.PROJECT / "params" / f"{setting}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    head = []
    for line in lines:
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# ").rstrip())
    return " ".join(head)


def _content(executed: Path) -> dict[str, Any] | None:
    """The content of an executed notebook; None where it is damaged."""
    try:
        content = json.loads(executed.read_text(encoding="utf-8"))
    except ValueError:
        return None
    whole = isinstance(content, dict) and isinstance(content.get("cells"), list) and "metadata" in content
    return content if whole else None


def _page(place: Path, executed: Path, content: dict[str, Any], folder: Path) -> Page:
    seed = re.fullmatch(r"seed(\d+)", place.name)
    run = place.parent.name if seed else place.name
    path = place / "summary.json"
    summary = runs.read_summary(path) if path.is_file() else {}
    source = content["metadata"].get("papermill", {}).get("input_path") or run
    state = _STATES[executed.name]
    if state == "done" and not summary:
        state = "running"  # of an earlier execution: the run was asked for again and has not ended

    tables = sorted([*place.glob("*.csv"), *place.glob("tables/*")])

    def link(path: Path) -> Link:
        return Link(path.name, _from_report(path, folder))

    return Page(
        folder=place,
        run=run,
        seed=int(seed[1]) if seed else None,
        state=state,
        notebook=Path(source).stem,
        question=first_heading(content) or run.replace("_", " "),
        href=f"{run}_{place.name}.html" if seed else f"{run}.html",
        summary=summary,
        figures=[
            Figure(png.stem, _from_report(png, folder), _from_report(png.with_suffix(".pdf"), folder), _is_wide(png))
            for png in sorted(place.glob("figures/*.png"))
        ],
        tables=[link(path) for path in tables if path.name not in _FILES],
        files=[link(place / name) for name in _FILES if (place / name).is_file()],
    )


def _executed(place: Path) -> Path | None:
    """The notebook that tells how a run has ended: that of a failure or one under way is newer than an executed one."""
    there = [place / name for name in _STATES if (place / name).is_file()]
    return max(there, key=lambda path: path.stat().st_mtime) if there else None


def _is_wide(png: Path) -> bool:
    """Whether a figure needs the room of two."""
    from PIL import Image

    with Image.open(png) as picture:
        return picture.width > 2.2 * picture.height


def _from_report(path: Path, folder: Path) -> str | None:
    """The address of a file of the setting as seen from its report; None if there is no such file."""
    return "../" + quote(path.relative_to(folder).as_posix()) if path.is_file() else None


@cache
def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    around = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    around.filters["percent"] = lambda value, digits=2: "" if value is None else f"{100 * value:.{digits}f}"
    around.filters["number"] = lambda value, form="{:.3f}": "" if value is None else form.format(value)
    around.filters["words"] = lambda name: name.replace("_", " ")
    return around.get_template(name)

"""The results in README.md and docs/: tables made from docs/results/, where `evaluate` runs are copied; never typed."""

import re
from pathlib import Path

import pandas as pd

from cskt.comparison import NAMES
from cskt.errors import DataError
from cskt.files import write_text

# run -> its tables that are kept, and what their files in docs/results/ are called after the setting
PUBLISHED = {
    "evaluate": {"results": ""},
    "species_confusion": {"matrix": "_species_confusion_matrix", "group_errors": "_species_confusion_errors"},
    "ablation": {"ladder": "_ablation", "components": "_components", "improved": "_improved"},
    "baselines": {"results": "_baselines", "cost": "_baselines_cost"},
}


def results_table(results: pd.DataFrame, group: str, landmarks: str = "all") -> str:
    """One group of an `evaluate` run's results as a Markdown table, in percent.

    Args:
        results: from `comparison.compare`, with the column landmarks.
        group: "all", "known" or "unknown".
        landmarks: "all", or "shared" (those that people have too).
    """
    rows = results[(results["group"] == group) & (results["landmarks"] == landmarks)]
    lines = [
        "| method | seeds | NME % (95 % interval) | over seeds | FR@0.08 | FR@0.10 | AUC@0.2 | below few-shot by | "
        "of fully supervised |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows.itertuples():
        cells = [
            NAMES.get(row.run, row.run),
            f"{row.seeds}",
            f"{100 * row.nme:.2f} ({100 * row.nme_low:.2f} to {100 * row.nme_high:.2f})",
            _text(100 * row.nme_sd, "± {:.2f}"),
            f"{100 * row.fr08:.1f}",
            f"{100 * row.fr10:.1f}",
            f"{row.auc20:.3f}",
            _text(
                100 * row.reduction,
                f"{{:.1f}} % ({100 * row.reduction_low:.1f} to {100 * row.reduction_high:.1f}), p = {row.p_value:.2g}",
            ),
            _text(row.ratio, "{:.2f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def matrix_table(matrix: pd.DataFrame, landmarks: str = "shared") -> str:
    """A species-confusion matrix as a Markdown table, in points of NME (percent); in brackets where it is unclear.

    Args:
        matrix: the `matrix.csv` of a `species_confusion` run.
        landmarks: "shared" (those that people have too) or "all".
    """
    cells = matrix[matrix["landmarks"] == landmarks]
    tuned = list(cells["tuned"].unique())
    lines = [f"| tested on | {' | '.join(tuned)} |", "|---" * (len(tuned) + 1) + "|"]
    for tested, own in cells.groupby("tested", sort=False):
        own = own.set_index("tuned").loc[tuned]
        texts = [
            f"({100 * cell.gain:+.1f})" if cell.verdict == "unclear" else f"{100 * cell.gain:+.1f}"
            for cell in own.itertuples()
        ]
        lines.append(f"| {tested} | {' | '.join(texts)} |")
    return "\n".join(lines)


def against_table(compared: pd.DataFrame, group: str) -> str:
    """One group of an ablation or of the baselines as a Markdown table, in percent; what did not run is left out.

    Args:
        compared: a table of `comparison.against`, in which each run has one reference, another run or none.
        group: "all", "known" or "unknown".
    """
    rows = compared[(compared["group"] == group) & compared["nme"].notna()]
    lines = ["| method | seeds | NME % (95 % interval) | points above | what |", "|---|---|---|---|---|"]
    for row in rows.itertuples():
        other = pd.notna(row.difference) and row.reference != row.run  # the reference may be a gap
        points = f"{100 * row.difference:+.2f} ({100 * row.difference_low:.2f} to {100 * row.difference_high:.2f})"
        cells = [
            NAMES.get(row.run, row.run),
            f"{row.seeds:.0f}",
            f"{100 * row.nme:.2f} ({100 * row.nme_low:.2f} to {100 * row.nme_high:.2f})",
            f"{points}, p = {row.p_value:.2g}" if other else "",
            NAMES.get(row.reference, row.reference) if other else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# what a table in a page is called -> how it is made, and how its file in docs/results/ is called after the setting
_TABLES = {
    "results": (results_table, ""),
    "matrix": (matrix_table, "_species_confusion_matrix"),
    "ablation": (against_table, "_ablation"),
    "baselines": (against_table, "_baselines"),
    "improved": (against_table, "_improved"),
}
_PLACE = re.compile(rf"<!-- (?P<what>({'|'.join(_TABLES)}) [^>]*?) -->\n.*?<!-- end -->", flags=re.DOTALL)


def fill(text: str, folder: Path) -> str:
    """Renew every generated table of a Markdown text.

    Args:
        text: the page; a table stands between `<!-- results SETTING GROUP LANDMARKS -->`,
            `<!-- matrix SETTING LANDMARKS -->`, or `<!-- KIND SETTING GROUP -->` with ablation, baselines or improved
            for KIND, and `<!-- end -->`.
        folder: holds the tables that `publish` writes.

    Raises:
        DataError: a table's results are not there.
    """

    def renew(match: re.Match) -> str:
        kind, setting, *which = match["what"].split()
        make, name = _TABLES[kind]
        file = folder / f"{setting}{name}.csv"
        if not file.is_file():
            raise DataError(f"{file}: no results of setting {setting}; `python -m cskt report {setting}` writes them")
        return f"<!-- {match['what']} -->\n{make(pd.read_csv(file), *which)}\n<!-- end -->"

    return _PLACE.sub(renew, text)


def publish(setting: str, outputs: Path, project: Path) -> list[Path]:
    """Copy a setting's results and runs into docs/results/, and renew the tables in README.md and docs/.

    Args:
        setting: a folder of `outputs` with a finished run that has results (`PUBLISHED`).
        outputs: the folder of all settings.
        project: the folder of README.md and docs/.

    Returns:
        The files written. Runs that are not in `outputs` keep the row that they have in `<setting>_runs.csv`.

    Raises:
        DataError: there is no such run.
    """
    from cskt.files import write_csv
    from cskt.runs import collect

    folder = project / "docs" / "results"
    written = []
    for run, tables in PUBLISHED.items():
        if not (outputs / setting / run / "summary.json").is_file():
            continue
        for table, name in tables.items():
            content = pd.read_csv(outputs / setting / run / f"{table}.csv")
            # a table of nothing but gaps says nothing
            if "nme" not in content or content["nme"].notna().any():
                written.append(folder / f"{setting}{name}.csv")
                write_csv(written[-1], content)
    if not written:
        known = ", ".join(PUBLISHED)
        raise DataError(f"{outputs / setting}: no finished run of {known}; see `make reproduce SETTING={setting}`")
    columns = ["setting", "run", "seed", "commit", "dirty", "seconds", "nme", "known_nme", "unknown_nme"]
    runs = folder / f"{setting}_runs.csv"
    table = collect(setting, outputs)
    table = table[[column for column in columns if column in table]]
    if runs.is_file():
        table = pd.concat([pd.read_csv(runs), table]).drop_duplicates(["run", "seed"], keep="last")
    write_csv(runs, table.sort_values(["run", "seed"]))
    pages = [project / "README.md", *sorted((project / "docs").glob("*.md"))]
    pages = [page for page in pages if _PLACE.search(page.read_text(encoding="utf-8"))]
    for page in pages:
        write_text(page, fill(page.read_text(encoding="utf-8"), folder))
    return [*written, runs, *pages]


def _text(value: float, form: str) -> str:
    return "" if pd.isna(value) else form.format(value)

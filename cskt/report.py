"""The results in README.md and docs/: tables made from docs/results/, where `evaluate` runs are copied; never typed."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from cskt.budget import CLASSES
from cskt.comparison import FEEDBACK, NAMES, START, against
from cskt.criteria import NAMES as CRITERIA
from cskt.errors import DataError
from cskt.files import read_table, write_text

# run -> its tables that are kept, and what their files in docs/results/ are called after the setting; of a run with
# seeds, those of all seeds together
PUBLISHED = {
    "evaluate": {"results": ""},
    "species_confusion": {"matrix": "_species_confusion_matrix", "group_errors": "_species_confusion_errors"},
    "ablation": {
        "ladder": "_ablation",
        "components": "_components",
        "improved": "_improved",
        "sweeps": "_sweeps",
        "label_budget": "_label_budget",
    },
    "baselines": {"results": "_baselines", "cost": "_baselines_cost"},
    "selection": {"errors": "_selection", "quality": "_selection_quality"},
    "bodies": {"average_precision": "_precision"},
    "unsupervised": {"budgets": "_unsupervised", "beside": "_unsupervised_beside"},
    "neighbours": {
        "held_out": "_generalization",
        "start": "_unsupervised_start",
        "against_mining": "_selection_against",
    },
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
            _error(row),
            _text(100 * row.nme_sd, "± {:.2f}"),
            f"{100 * row.fr08:.1f}",
            f"{100 * row.fr10:.1f}",
            f"{row.auc20:.3f}",
            _text(
                100 * row.reduction,
                f"{{:.1f}} % ({100 * row.reduction_low:.1f} to {100 * row.reduction_high:.1f}), {_chance(row)}",
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


def against_table(compared: pd.DataFrame, group: str, names: Mapping[str, str] = NAMES) -> str:
    """One group of an ablation or of the baselines as a Markdown table, in percent; what did not run is left out.

    Args:
        compared: a table of `comparison.against`, in which each run has one reference, another run or none.
        group: "all", "known" or "unknown".
        names: what runs are called here.
    """
    rows = compared[(compared["group"] == group) & compared["nme"].notna()]
    lines = ["| method | seeds | NME % (95 % interval) | points above | what |", "|---|---|---|---|---|"]
    for row in rows.itertuples():
        other = pd.notna(row.difference) and row.reference != row.run  # the reference may be a gap
        cells = [
            names.get(row.run, row.run),
            f"{row.seeds:.0f}",
            _error(row),
            f"{_points(row)}, {_chance(row)}" if other else "",
            names.get(row.reference, row.reference) if other else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def sweeps_table(sweeps: pd.DataFrame, group: str) -> str:
    """One group of the thresholds' sweeps as a Markdown table, in percent; what did not run is left out.

    Args:
        sweeps: the `sweeps.csv` of an `ablation` run; the run with the setting's own values is the reference.
        group: "all", "known" or "unknown".
    """
    rows = sweeps[(sweeps["group"] == group) & sweeps["nme"].notna()]
    lines = [
        "| threshold | value | seeds | NME % (95 % interval) | points above the setting's own |",
        "|---|---|---|---|---|",
    ]
    for row in rows.sort_values(["threshold", "value"]).itertuples():
        cells = [
            row.threshold,
            f"{row.value:g}",
            f"{row.seeds:.0f}",
            _error(row),
            "" if row.run == row.reference else f"{_points(row)}, {_chance(row)}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def budget_table(budgets: pd.DataFrame) -> str:
    """Errors by the number of labels and by whose they are as a Markdown table, in percent.

    Args:
        budgets: by `comparison.label_budget`.
    """
    text = [_error(row) for row in budgets.itertuples()]
    table = budgets.assign(text=text).pivot(index="kind", columns="labels", values="text")
    names = {kind: f"few-shot, {kind} species" for kind in (*CLASSES, "all")} | {"Meta-CSKT": "Meta-CSKT, all species"}
    lines = [f"| labels | {' | '.join(f'{labels:g}' for labels in table)} |", "|---" * (len(table.columns) + 1) + "|"]
    for kind in [kind for kind in names if kind in table.index]:
        cells = ["" if pd.isna(cell) else cell for cell in table.loc[kind]]
        lines.append(f"| {' | '.join([names[kind], *cells])} |")
    return "\n".join(lines)


def generalization_table(results: pd.DataFrame) -> str:
    """What an error rises by on a species or a family that is held out, as a Markdown table, in percent.

    Args:
        results: the `held_out.csv` of a `neighbours` run.
    """
    lines = [
        "| held out | in training | labels of it | images | NME % | with all species | points above (95 % interval) |",
        "|---|---|---|---|---|---|---|",
    ]
    trained_on = {"intra": "others of its family too", "inter": "other families"}
    for row in results.itertuples():
        above = f"{100 * row.excess:+.2f}"
        if not pd.isna(row.excess_low):
            above += f" ({100 * row.excess_low:.2f} to {100 * row.excess_high:.2f})"
        cells = [row.name, trained_on[row.protocol], f"{row.shots}", f"{row.images}", f"{100 * row.nme:.2f}"]
        lines.append(f"| {' | '.join([*cells, f'{100 * row.seen:.2f}', above])} |")
    return "\n".join(lines)


def selection_table(errors: pd.DataFrame) -> str:
    """Errors by criterion and number of pseudo-labels as a Markdown table, in percent, means over seeds.

    Args:
        errors: a table of `selection` runs with criterion, budget and nme.
    """
    whole = errors.loc[errors["criterion"] == "all", "budget"]
    table = 100 * errors.pivot_table(index="criterion", columns="budget", values="nme", sort=False)
    lines = [f"| pseudo-labels chosen by | {' | '.join(f'{budget:,}' for budget in table)} |"]
    lines.append("|---" * (len(table.columns) + 1) + "|")
    for criterion, row in table.iterrows():
        name = CRITERIA.get(criterion, f"all {whole.iloc[0]:,}")
        lines.append(f"| {name} | {' | '.join(_text(value, '{:.2f}') for value in row)} |")
    return "\n".join(lines)


def selection_against_table(against: pd.DataFrame) -> str:
    """By how many points each criterion's models err more than those of the paper's mining, as a Markdown table.

    Args:
        against: the `against_mining.csv` of a `neighbours` run.
    """
    against = against.dropna(subset="difference")
    cells = against.assign(text=[_points(row) for row in against.itertuples()])
    whole = against.loc[against["criterion"] == "all", "budget"]
    table = cells.pivot(index="criterion", columns="budget", values="text")
    lines = [f"| pseudo-labels chosen by | {' | '.join(f'{budget:,}' for budget in table)} |"]
    lines.append("|---" * (len(table.columns) + 1) + "|")
    for criterion in [name for name in (*CRITERIA, "all") if name in table.index]:
        name = CRITERIA.get(criterion, f"all {whole.iloc[0]:,}" if len(whole) else criterion)
        lines.append(f"| {name} | {' | '.join('' if pd.isna(text) else text for text in table.loc[criterion])} |")
    return "\n".join(lines)


def precision_table(tables: pd.DataFrame) -> str:
    """AP of models of whole animals, over all categories, as a Markdown table, in percent.

    Args:
        tables: the `average_precision.csv` of `bodies` runs.
    """
    whole = tables.groupby("model", sort=False).head(1)
    lines = ["| model | animals | AP (95 % interval) | AP50 | AP75 | AR |", "|---|---|---|---|---|---|"]
    for row in whole.itertuples():
        ap = f"{100 * row.ap:.1f} ({100 * row.ap_low:.1f} to {100 * row.ap_high:.1f})"
        others = [f"{100 * value:.1f}" for value in (row.ap50, row.ap75, row.ar)]
        lines.append(f"| {' | '.join([NAMES.get(row.model, row.model), f'{row.instances}', ap, *others])} |")
    return "\n".join(lines)


def label_table(budgets: pd.DataFrame, faces: str) -> str:
    """Errors of what was regressed from discovered points, by number of labels, as a Markdown table, in percent.

    Args:
        budgets: the `budgets.csv` of `unsupervised` runs.
        faces: "people" or "animals".
    """
    lines = ["| labels | forward NME % (over draws) | backward NME % (over draws) |", "|---|---|---|"]
    for labels, own in budgets[budgets["faces"] == faces].groupby("labels"):
        cells = []
        for way in ("forward", "backward"):
            mean, low, high = (f"{100 * value:.1f}" for value in (own[way].mean(), own[way].min(), own[way].max()))
            cells.append(f"{mean} ({low} to {high})" if len(own) > 1 else mean)
        lines.append(f"| {labels:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def beside_table(beside: pd.DataFrame) -> str:
    """Errors of other ways to use the labels as a Markdown table, in percent, means over seeds.

    Args:
        beside: the `beside.csv` of `unsupervised` runs: way, labels and nme.
    """
    lines = ["| way | labels | NME % |", "|---|---|---|"]
    for (way, labels), own in beside.groupby(["way", "labels"], sort=False):
        lines.append(f"| {NAMES.get(way, way)} | {labels:,} | {100 * own['nme'].mean():.2f} |")
    return "\n".join(lines)


# what a table in a page is called -> how it is made, and how its file in docs/results/ is called after the setting
_TABLES = {
    "results": (results_table, ""),
    "matrix": (matrix_table, "_species_confusion_matrix"),
    "ablation": (against_table, "_ablation"),
    "baselines": (against_table, "_baselines"),
    "components": (partial(against_table, names=NAMES | {"ls_lu_lf_negatives": "without positives"}), "_components"),
    "improved": (against_table, "_improved"),
    "feedback": (against_table, "_feedback"),
    "start": (against_table, "_start"),
    "sweeps": (sweeps_table, "_sweeps"),
    "label-budget": (budget_table, "_label_budget"),
    "generalization": (generalization_table, "_generalization"),
    "selection": (selection_table, "_selection"),
    "selection-quality": (selection_table, "_selection_quality"),
    "selection-against": (selection_against_table, "_selection_against"),
    "precision": (precision_table, "_precision"),
    "unsupervised": (label_table, "_unsupervised"),
    "unsupervised-beside": (beside_table, "_unsupervised_beside"),
}
_PLACE = re.compile(rf"<!-- (?P<what>({'|'.join(_TABLES)}) [^>]*?) -->\n.*?<!-- end -->", flags=re.DOTALL)


def fill(text: str, folder: Path) -> str:
    """Renew every generated table of a Markdown text.

    Args:
        text: the page; a table stands between `<!-- results SETTING GROUP LANDMARKS -->`,
            `<!-- matrix SETTING LANDMARKS -->`, `<!-- KIND SETTING GROUP -->` with ablation, components, baselines,
            improved, feedback, start or sweeps for KIND, `<!-- unsupervised SETTING FACES -->`, or
            `<!-- KIND SETTING -->` of label-budget, generalization, selection, selection-quality, selection-against,
            unsupervised-beside or precision, and `<!-- end -->`.
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
        return f"<!-- {match['what']} -->\n{make(read_table(file), *which)}\n<!-- end -->"

    return _PLACE.sub(renew, text)


def publish(setting: str, outputs: Path, project: Path) -> list[Path]:
    """Copy a setting's results and runs into docs/results/, and renew the tables in README.md and docs/.

    Args:
        setting: a folder of `outputs` with a finished run that has results (`PUBLISHED`).
        outputs: the folder of all settings.
        project: the folder of README.md and docs/.

    Returns:
        The files written. Runs that are not in `outputs` keep the row that they have in `<setting>_runs.csv`, and their
        column in `<setting>_errors.csv`, the error of each test image by each run.

    Raises:
        DataError: there is no such run.
    """
    from cskt.files import write_csv
    from cskt.runs import RunError, collect, collect_tables

    folder = project / "docs" / "results"
    written = []
    for run, tables in PUBLISHED.items():
        for table, name in tables.items():
            content = _of_run(outputs / setting / run, table)
            # a table of nothing but gaps says nothing
            if content is not None and ("nme" not in content or content["nme"].notna().any()):
                written.append(folder / f"{setting}{name}.csv")
                write_csv(written[-1], content)
    try:
        scores = collect_tables(outputs / setting, "scores")
    except RunError:
        scores = None  # no run of this setting has scored single images
    there = set() if scores is None else set(scores["run"])
    if there & FEEDBACK.keys():
        # few-shot training, and of each variant the run without a feedback before those that are held against it
        references = {
            run: FEEDBACK.get(run) for run in NAMES if run in there and run.startswith(("few_shot", "horse_"))
        }
        written.append(folder / f"{setting}_feedback.csv")
        write_csv(written[-1], against(scores.assign(group="all"), references))
    if there & START.keys():
        written.append(folder / f"{setting}_start.csv")
        write_csv(written[-1], against(scores, {run: with_human for run, with_human in START.items() if run in there}))
    if not written:
        known = ", ".join(PUBLISHED)
        raise DataError(f"{outputs / setting}: no finished run of {known}; see `make reproduce SETTING={setting}`")
    columns = ["setting", "run", "seed", "commit", "dirty", "seconds", "nme", "known_nme", "unknown_nme"]
    runs = folder / f"{setting}_runs.csv"
    table = collect(setting, outputs)
    table = table[[column for column in columns if column in table]]
    if runs.is_file():
        table = pd.concat([read_table(runs), table]).drop_duplicates(["run", "seed"], keep="last")
    write_csv(runs, table.sort_values(["run", "seed"]))
    errors = folder / f"{setting}_errors.csv"
    before = read_table(errors, ("image",)).set_index("image") if errors.is_file() else None
    if there:
        write_csv(errors, image_errors(scores, before).reset_index())
        written.append(errors)
    pages = [project / "README.md", *sorted((project / "docs").glob("*.md"))]
    pages = [page for page in pages if _PLACE.search(page.read_text(encoding="utf-8"))]
    for page in pages:
        write_text(page, fill(page.read_text(encoding="utf-8"), folder))
    return [*written, runs, *pages]


def image_errors(scores: pd.DataFrame, before: pd.DataFrame | None = None) -> pd.DataFrame:
    """The error of each test image by each run, for paired tests by whoever has not the runs.

    Args:
        scores: run, seed, image and nme (fraction of sqrt(w * h)), one row per run and image.
        before: what this function made earlier; its runs stay unless they are among the scores.

    Returns:
        One row per image (the index), one column per run and seed ("few_shot seed0"), fractions to six places.

    Raises:
        DataError: the images are others than before.
    """
    names = scores["run"] + " seed" + scores["seed"].astype(str)
    table = scores.assign(name=names).pivot(index="image", columns="name", values="nme").round(6)
    if before is not None:
        if set(before.index) != set(table.index):
            raise DataError("the test images are others than those whose errors are published: delete the old table")
        kept = before[[name for name in before if name not in table]]
        table = table.join(kept.loc[table.index])
    return table[sorted(table)]


def _of_run(folder: Path, table: str) -> pd.DataFrame | None:
    """A table of a finished run; of a run with seeds, that of all its seeds, with a column that says which."""
    if (folder / "summary.json").is_file():
        # a run of an earlier version may lack a table
        return read_table(folder / f"{table}.csv") if (folder / f"{table}.csv").is_file() else None
    seeds = {int(home.name.removeprefix("seed")): home for home in folder.glob("seed*")}
    parts = {
        seed: read_table(home / f"{table}.csv")
        for seed, home in sorted(seeds.items())
        if (home / "summary.json").is_file() and (home / f"{table}.csv").is_file()
    }
    return pd.concat(parts, names=["seed"]).reset_index("seed").reset_index(drop=True) if parts else None


def _error(row) -> str:
    return f"{100 * row.nme:.2f} ({100 * row.nme_low:.2f} to {100 * row.nme_high:.2f})"


def _points(row) -> str:
    return f"{100 * row.difference:+.2f} ({100 * row.difference_low:.2f} to {100 * row.difference_high:.2f})"


def _chance(row) -> str:
    return f"p = {row.p_value:.2g}" + _text(row.p_seeds, "; over seeds {:.2g}")


def _text(value: float, form: str) -> str:
    return "" if pd.isna(value) else form.format(value)

"""The paper's tables with ours beside: published numbers, the finished runs they are held against, and the gaps.

Which of our runs belongs to which row of the paper stands in `ROWS`. A run that is not there is a gap in a table or
figure, never an error.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cskt import comparison, files, published, runs
from cskt.files import read_table
from cskt.tables import to_latex, to_markdown

GAP, NOTHING = "not run", "–"
_HORSES = tuple(run for run in comparison.NAMES if run.startswith("horse_"))
FEEDBACK = comparison.FEEDBACK
# table -> the paper's row, or a row of ours -> our run; "" where the paper alone has one; run@80 is that run in the
# setting with so many labels: animalweb_80 beside animalweb_40
ROWS = {
    "animalweb": {
        "mean shape in the box": "mean_shape",
        "HG2": "",
        "HG3": "",
        "few-shot only": "few_shot",
        "Meta-CSKT 40": "meta_cskt_published@40",
        "Meta-CSKT 40, corrected": "meta_cskt_corrected@40",
        "Meta-CSKT 40, improved": "meta_cskt_improved@40",
        "Meta-CSKT 80": "meta_cskt_published@80",
        "Meta-CSKT 80, corrected": "meta_cskt_corrected@80",
        "Meta-CSKT 80, improved": "meta_cskt_improved@80",
        "fully supervised": "supervised",
    },
    "macaque": {
        "mean shape in the box": "mean_shape",
        "MDMD, base": "",
        "MDMD, 300-W": "",
        "ViTPose+-B": "",
        "few-shot only": "few_shot",
        "Meta-CSKT": "meta_cskt_published",
        "Meta-CSKT, corrected": "meta_cskt_corrected",
        "Meta-CSKT, improved": "meta_cskt_improved",
    },
    "horse": {comparison.NAMES[run]: run for run in ("mean_shape", "few_shot", *_HORSES, "supervised")},
    "ablation": {
        "few-shot only": "few_shot",
        "L_s": "ls",
        "+ L_u": "ls_lu",
        "+ L_f": "ls_lu_lf",
        "+ exclude negatives": "ls_lu_lf_negatives",
        "+ include positives": "meta_cskt_corrected",
    },
    "ssl": {
        "few-shot only": "few_shot",
        "Pseudo-label": "pseudo_label",
        "UDA": "uda",
        "UDA, as the authors ran it": "uda_released",
        "FixMatch": "fixmatch",
        "FixMatch, as the authors ran it": "fixmatch_released",
        "ScarceNet": "scarcenet",
        "Mean Teacher": "mean_teacher",
        "Meta-CSKT": "meta_cskt_published",
        "Meta-CSKT, corrected": "meta_cskt_corrected",
        "Meta-CSKT, improved": "meta_cskt_improved",
    },
}  # fmt: skip


class Place(NamedTuple):
    """Where the numbers of one column come from: a setting's folder, and "known", "unknown" or "all" test species."""

    folder: Path
    group: str


# --- our runs ---------------------------------------------------------------------------------------------------------


def places(folder: str | Path) -> dict[str, Place]:
    """Where known and unknown species of a setting are tested.

    Args:
        folder: of the setting; one named as it with "_unknown" behind it, if it has a finished run, has the unknown
            species.
    """
    folder = Path(folder)
    sibling = folder.with_name(f"{folder.name}_unknown")
    finished = any(sibling.glob("*/seed*/summary.json"))
    return {"known": Place(folder, "known"), "unknown": Place(sibling if finished else folder, "unknown")}


def scores(place: Place, names: Collection[str] | None = None) -> pd.DataFrame:
    """The scores of a setting's finished runs on one group of test images.

    Args:
        place: which setting and group.
        names: the runs wanted; if None, all.

    Returns:
        run, seed, image, species, family, group and nme; no rows where no run has finished.
    """
    columns = ["run", "seed", "image", "species", "family", "group", "nme"]
    try:
        table = runs.collect_tables(place.folder, "scores").reindex(columns=columns)
    except runs.RunError:
        return pd.DataFrame(columns=columns)
    wanted = table["run"].isin(names) if names is not None else table["group"].notna()
    in_group = table["group"].notna() if place.group == "all" else table["group"] == place.group
    return table[wanted & in_group].reset_index(drop=True)


def results(columns: Mapping[str, Place], names: Collection[str]) -> pd.DataFrame:
    """Mean errors and intervals of runs in several places.

    Args:
        columns: name of a column -> where its numbers come from.
        names: the runs wanted, as in `ROWS`; mean and median shape in the box come from the setting's `evaluate` run.

    Returns:
        One row per column and run that is there: column, run, nme, nme_low, nme_high, nme_sd, seeds and images, as
        `comparison.compare` gives them.
    """
    numbers = ["nme", "nme_low", "nme_high", "nme_sd", "seeds", "images"]
    parts = []
    for column, place in columns.items():
        for labels in {name.partition("@")[2] for name in names}:
            # runs of one setting are compared with each other: they have scored the same images
            wanted = {name.partition("@")[0]: name for name in names if name.partition("@")[2] == labels}
            own = scores(Place(_with_labels(place.folder, labels), place.group), wanted)
            if len(own):
                found = comparison.compare(own)
                found = found[found["group"] == "all"].assign(column=column)
                parts.append(found.assign(run=found["run"].map(wanted)))
        lines = _reference_lines(place)
        parts.append(lines[lines["run"].isin(set(names))].assign(column=column))
    return pd.concat(parts, ignore_index=True).reindex(columns=["column", "run", *numbers])


def _with_labels(folder: Path, labels: str) -> Path:
    """The setting like this one with so many labels; "" is this one, and a name without a number has 40."""
    base = folder.name.removesuffix("_40").removesuffix("_80")
    alike = folder.with_name(f"{base}_{labels}")
    if not labels or alike.is_dir():
        return alike if labels else folder
    return folder.with_name(base) if labels == "40" else alike


def _reference_lines(place: Place) -> pd.DataFrame:
    """The rows of mean and median shape that an `evaluate` run has written."""
    file = place.folder / "evaluate" / "results.csv"
    if not (file.is_file() and (file.parent / "summary.json").is_file()):
        return pd.DataFrame(columns=["run", "group", "landmarks"])
    table = read_table(file, ("run", "group", "landmarks"))
    lines = table["run"].isin(("mean_shape", "median_shape")) & (table["landmarks"] == "all")
    return table[lines & (table["group"] == place.group)]


def confusion(folder: str | Path, name: str) -> pd.DataFrame | None:
    """A table of a setting's `species_confusion` run, of the landmarks that people have too; None if it has not run.

    Args:
        folder: of the setting.
        name: "group_errors" or "matrix", see `cskt.confusion`.
    """
    home = Path(folder) / "species_confusion"
    if not ((home / "summary.json").is_file() and (home / f"{name}.csv").is_file()):
        return None
    table = read_table(home / f"{name}.csv")
    return table[table["landmarks"] == "shared"].drop(columns="landmarks") if "landmarks" in table else table


def gains_beside(ours: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The published confusion matrix with ours beside it, cell by cell.

    Args:
        ours: one row per cell: tested, tuned, gain, gain_low, gain_high (fractions); None if it has not run.

    Returns:
        numbers: one row per published cell: tested, tuned, published, gain, gain_low, gain_high; NaN where we have
            none.
        texts: tested x tuned, "published / ours" in points.
    """
    long = published.table("family_gain").rename_axis("tested").reset_index().melt("tested", var_name="tuned",
                                                                                    value_name="published")  # fmt: skip
    columns = ["gain", "gain_low", "gain_high"]
    own = pd.DataFrame(columns=["tested", "tuned", *columns], dtype=float) if ours is None else ours
    numbers = long.merge(own[["tested", "tuned", *columns]].astype({"tested": str, "tuned": str}), how="left")
    cell = [
        f"{_points(a)} / {NOTHING if np.isnan(b) else _points(b)}" for a, b in numbers[["published", "gain"]].to_numpy()
    ]
    shown = numbers.assign(cell=cell).pivot_table(
        index="tested", columns="tuned", values="cell", aggfunc="first", sort=False
    )
    return numbers.set_index("tested"), shown.rename_axis(index="tested on", columns=None)


# --- tables -----------------------------------------------------------------------------------------------------------


def side_by_side(table: str, columns: Mapping[str, Place], paper: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Put published numbers and ours into one table.

    Args:
        table: of `ROWS`, and of the published ones if it is among them.
        columns: name of a column -> where our numbers come from.
        paper: column -> the published table's column; by default of the same name.

    Returns:
        One row per row: for each column published_<column>, <column>, <column>_low, <column>_high (fractions) and
        <column>_seeds; NaN where there is nothing, and `run`.
    """
    rows = ROWS[table]
    found = results(columns, set(rows.values()) - {""})
    together = pd.DataFrame({"run": list(rows.values())}, index=pd.Index(list(rows), name="method"))
    printed = published.table(table).reindex(list(rows)) if table in published.names() else pd.DataFrame()
    for column in columns:
        source = (paper or {}).get(column, column)
        if source in printed:
            together[f"published_{column}"] = printed[source].to_numpy()
        own = found[found["column"] == column].set_index("run").reindex(list(rows.values()))
        for name, number in (("", "nme"), ("_low", "nme_low"), ("_high", "nme_high"), ("_seeds", "seeds")):
            together[f"{column}{name}"] = own[number].to_numpy(float)
    return together


def texts(table: pd.DataFrame, columns: Mapping[str, str], published_as: str = "published") -> pd.DataFrame:
    """Write a table of `side_by_side` as it shall be read: percent, intervals in brackets, gaps named.

    The last column counts the seeds: "3", or "1 / 3" where the columns differ, in their order.

    Args:
        table: by `side_by_side`.
        columns: its columns -> their headings.
        published_as: heading of the published numbers, before the column's.
    """
    shown = {}
    for column, heading in columns.items():
        if f"published_{column}" in table:
            shown[f"{published_as}, {heading}, %"] = [_percent(value) for value in table[f"published_{column}"]]
    for column, heading in columns.items():
        own = table[[column, f"{column}_low", f"{column}_high"]].to_numpy(float)
        shown[f"ours, {heading}, %"] = [
            (NOTHING if not run else GAP)
            if np.isnan(value)
            else f"{_percent(value)} ({_percent(low)}–{_percent(high)})"
            for run, (value, low, high) in zip(table["run"], own, strict=True)
        ]
    shown["seeds"] = [_seeds(counts) for counts in table[[f"{column}_seeds" for column in columns]].to_numpy(float)]
    return pd.DataFrame(shown, index=table.index)


def effects(columns: Mapping[str, Place], references: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold runs against others on the same images and seeds.

    Args:
        columns: name of a column -> where its numbers come from.
        references: run -> the run it is held against.

    Returns:
        numbers: one row per run and column: run, column, reference, difference (below 0 where the run is better) with
            its paired interval, p_value and seeds, as `comparison.against` gives them; NaN where one has not run.
        texts: run x column, the difference in points.
    """
    names = ["difference", "difference_low", "difference_high", "p_value", "seeds"]
    parts = []
    for column, place in columns.items():
        own = scores(place, {*references, *references.values()})
        found = (
            comparison.against(own, references) if len(own) else pd.DataFrame({"run": list(references), "group": "all"})
        )
        found = found[found["group"] == "all"].reindex(columns=["run", *names])
        parts.append(found.assign(column=column, reference=found["run"].map(references)))
    numbers = pd.concat(parts, ignore_index=True)[["run", "column", "reference", *names]]
    cells = [_effect(*row) for row in numbers[names[:4]].to_numpy(float)]
    called = numbers["run"].map(lambda run: comparison.NAMES.get(run, run))
    shown = numbers.assign(cell=cells, called=called)
    shown = shown.pivot_table(index="called", columns="column", values="cell", aggfunc="first", sort=False)
    return numbers.set_index("run"), shown.rename_axis(index="run", columns=None)


def lowest(
    table: pd.DataFrame, columns: Collection[str], shown: pd.DataFrame, bounds: Collection[str] = ()
) -> pd.DataFrame:
    """Which cells of `texts` hold the lowest error of ours in their column (bool).

    Args:
        table: by `side_by_side`.
        columns: its columns.
        shown: by `texts`, of the same columns.
        bounds: rows that do not compete: those with all labels.
    """
    marks = pd.DataFrame(False, index=shown.index, columns=shown.columns)
    ours = [name for name in shown if name.startswith("ours, ")]
    for column, heading in zip(columns, ours, strict=True):
        rivals = table[column].drop(index=[row for row in bounds if row in table.index]).dropna()
        if len(rivals) > 1:
            marks.loc[rivals.idxmin(), heading] = True
    return marks


def write(folder: str | Path, name: str, table: pd.DataFrame, columns: Mapping[str, str], caption: str,
          bounds: Collection[str] = ("fully supervised",)) -> str:  # fmt: skip
    """Write a table as CSV (its numbers), Markdown and LaTeX (its texts).

    Args:
        folder: of the three files.
        name: theirs, without suffix; LaTeX calls the table `tab:<name>`.
        table: by `side_by_side`.
        columns: its columns -> their headings.
        caption: what it shows.
        bounds: rows that do not compete for the lowest error.

    Returns:
        The Markdown, to be shown.
    """
    shown = texts(table, columns)
    return save(folder, name, table, shown, caption, lowest(table, columns, shown, bounds))


def save(folder: str | Path, name: str, numbers: pd.DataFrame, shown: pd.DataFrame, caption: str,
         bold: pd.DataFrame | None = None) -> str:  # fmt: skip
    """Write numbers as CSV, and the texts that stand for them as Markdown and LaTeX.

    Returns:
        The Markdown.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    page = f"{to_markdown(shown, bold)}\n\n{caption}\n"
    files.write_csv(folder / f"{name}.csv", numbers.reset_index())
    files.write_text(folder / f"{name}.md", page)
    files.write_text(folder / f"{name}.tex", to_latex(shown, caption, f"tab:{name}", bold) + "\n")
    return page


def _seeds(counts: np.ndarray) -> str:
    """Seeds of the columns that have run: one number where they agree."""
    texts = [f"{count:.0f}" for count in counts if not np.isnan(count)]
    return " / ".join(texts if len(set(texts)) > 1 else texts[:1])


def _percent(value: float) -> str:
    return NOTHING if np.isnan(value) else f"{100 * value:.2f}"


def _points(value: float, digits: int = 1) -> str:
    return f"{100 * value:+.{digits}f}".replace("-", "−")


def _effect(difference: float, low: float, high: float, p_value: float) -> str:
    if np.isnan(difference):
        return GAP
    return f"{_points(difference, 2)} ({_points(low, 2)} to {_points(high, 2)}), p = {p_value:.2g}"

"""The paper's tables with ours beside: published numbers, the finished runs they are held against, and the gaps.

`published.csv` holds the numbers of README, slides and supplement, errors as fractions; `precision` says whether one
was printed, read off a curve (to about 0.003), or off a quantized color (to about 0.02). Ours are those of finished
runs; a run that is not there is a gap in a table or figure, never an error.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cskt import comparison, files, runs
from cskt.tables import to_latex, to_markdown

PUBLISHED = Path(__file__).with_name("published.csv")
GAP, NOTHING = "not run", "–"
REFERENCE = "meta_cskt_corrected"  # the run that a sweep varies
# what may differ between the runs of a sweep beside the key that it is along
_INCIDENTAL = {"SEED", "DEVICE", "PRECISION", "THREADS", "CACHE"}


class Place(NamedTuple):
    """Where the numbers of one column come from: a setting's folder, and "known", "unknown" or "all" test species."""

    folder: Path
    group: str


def published(table: str) -> pd.DataFrame:
    """One published table.

    Args:
        table: a value of the first column of `published.csv`.

    Returns:
        Its rows and columns as the file names them, in its order; NaN where nothing was published.
    """
    long = _published(table)
    return long.pivot_table(index="row", columns="column", values="value", sort=False).rename_axis(None, axis=1)


def sources(table: str) -> str:
    """Where a published table comes from, and how its numbers were read."""
    long = _published(table)
    return "; ".join(f"{source} ({precision})" for source, precision in long.groupby(["source", "precision"]).groups)


def _published(table: str) -> pd.DataFrame:
    long = pd.read_csv(PUBLISHED, dtype={"row": str, "column": str})
    if table not in set(long["table"]):
        raise ValueError(f"no published table {table!r}; there are {', '.join(long['table'].unique())}")
    return long[long["table"] == table]


# --- our runs ---------------------------------------------------------------------------------------------------------


def places(folder: str | Path) -> dict[str, Place]:
    """Where known and unknown species of a setting are tested.

    Args:
        folder: of the setting; one named as it with "_unknown" behind it has the unknown species.
    """
    folder = Path(folder)
    sibling = folder.with_name(f"{folder.name}_unknown")
    return {"known": Place(folder, "known"), "unknown": Place(sibling if sibling.is_dir() else folder, "unknown")}


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
        names: the runs wanted; mean and median shape in the box come from the setting's `evaluate` run.

    Returns:
        One row per column and run that is there: column, run, nme, nme_low, nme_high, nme_sd, seeds and images, as
        `comparison.compare` gives them.
    """
    numbers = ["nme", "nme_low", "nme_high", "nme_sd", "seeds", "images"]
    parts = []
    for column, place in columns.items():
        own = scores(place, names)
        if len(own):
            found = comparison.compare(own)
            parts.append(found[found["group"] == "all"].assign(column=column))
        lines = _reference_lines(place)
        parts.append(lines[lines["run"].isin(set(names) - set(own["run"]))].assign(column=column))
    return pd.concat(parts, ignore_index=True).reindex(columns=["column", "run", *numbers])


def _reference_lines(place: Place) -> pd.DataFrame:
    """The rows of mean and median shape that an `evaluate` run has written."""
    file = place.folder / "evaluate" / "results.csv"
    if not (file.is_file() and (file.parent / "summary.json").is_file()):
        return pd.DataFrame(columns=["run", "group", "landmarks"])
    table = pd.read_csv(file)
    lines = table["run"].isin(("mean_shape", "median_shape")) & (table["landmarks"] == "all")
    return table[lines & (table["group"] == place.group)]


# --- tables -----------------------------------------------------------------------------------------------------------


def side_by_side(rows: Mapping[str, str], found: pd.DataFrame, columns: Sequence[str], table: str) -> pd.DataFrame:
    """Put published numbers and ours into one table.

    Args:
        rows: what a row is called -> our run, or "" where we have none. A row that the published table has under the
            same name gets its numbers.
        found: by `results`.
        columns: of `found`; of the same name in the published table, the published numbers.
        table: name of the published table.

    Returns:
        One row per row: for each column published_<column>, <column>, <column>_low, <column>_high (fractions) and
        <column>_seeds; NaN where there is nothing, and `run`.
    """
    paper = published(table).reindex(index=list(rows))
    together = pd.DataFrame({"run": list(rows.values())}, index=pd.Index(list(rows), name="method"))
    for column in columns:
        if column in paper:
            together[f"published_{column}"] = paper[column].to_numpy()
        own = found[found["column"] == column].set_index("run").reindex(list(rows.values()))
        for name, number in (("", "nme"), ("_low", "nme_low"), ("_high", "nme_high"), ("_seeds", "seeds")):
            together[f"{column}{name}"] = own[number].to_numpy()
    return together


def texts(table: pd.DataFrame, columns: Mapping[str, str], published_as: str = "published") -> pd.DataFrame:
    """Write a table of `side_by_side` as it shall be read: percent, intervals in brackets, gaps named.

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
    seeds = table[[f"{column}_seeds" for column in columns]].max(axis=1)
    shown["seeds"] = ["" if np.isnan(count) else f"{count:.0f}" for count in seeds]
    return pd.DataFrame(shown, index=table.index)


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


def save(folder: str | Path, name: str, table: pd.DataFrame, shown: pd.DataFrame, caption: str,
         bold: pd.DataFrame | None = None) -> str:  # fmt: skip
    """Write a table as CSV (its numbers), Markdown and LaTeX (its texts).

    Args:
        folder: of the three files.
        name: theirs, without suffix; LaTeX calls the table `tab:<name>`.
        table: with the numbers, fractions.
        shown: with the texts.
        caption: one sentence, for LaTeX.
        bold: which texts are set in bold.

    Returns:
        The Markdown, to be shown.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    page = to_markdown(shown, bold)
    files.write_csv(folder / f"{name}.csv", table.reset_index())
    files.write_text(folder / f"{name}.md", f"{caption}\n\n{page}\n")
    files.write_text(folder / f"{name}.tex", to_latex(shown, caption, f"tab:{name}", bold) + "\n")
    return page


def _percent(value: float) -> str:
    return NOTHING if np.isnan(value) else f"{100 * value:.2f}"


# --- sweeps -----------------------------------------------------------------------------------------------------------


def runs_along(folder: str | Path, key: str, reference: str = REFERENCE) -> dict[str, object]:
    """Find the finished runs that differ from another in one setting alone.

    Args:
        folder: of the setting.
        key: dotted, of the config.
        reference: the run that the others are held against.

    Returns:
        Name of a run -> its value of the key, the reference among them, from the lowest value to the highest; empty
        if the reference has not finished.
    """
    configs = runs.collect_configs(folder)
    if reference not in configs:
        return {}
    same = _but(configs[reference], key)
    found = {name: own[key] for name, own in configs.items() if _but(own, key) == same and key in own}
    # another notebook's run may have the very same config: only a changed value tells a run of the sweep
    changed = {name: value for name, value in found.items() if name == reference or value != configs[reference][key]}
    return dict(sorted(changed.items(), key=lambda item: item[1]))


def _but(config: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in config.items() if name != key and name not in _INCIDENTAL}

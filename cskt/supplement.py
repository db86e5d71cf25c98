"""What the supplement's figures show, from our runs: sweeps of the mining's thresholds, label budgets, chosen faces."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cskt import comparison, config, mining, published, runs
from cskt.files import read_table
from cskt.paper import Place, results, scores
from cskt.settings import Setting

REFERENCE = "meta_cskt_corrected"  # the run that a sweep varies
# what may differ between the runs of a sweep beside the key that it is along
_INCIDENTAL = {"SEED", "DEVICE", "PRECISION", "THREADS", "CACHE", "DETERMINISTIC"}
# sections of the config that other notebooks read, and a Meta-CSKT run does not
_OF_OTHERS = ("OWN", "CONFUSION", "GENERALIZATION", "SELECTION", "UNSUPERVISED")

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


def sweep(columns: Mapping[str, Place], key: str, category: str) -> pd.DataFrame:
    """The errors of a sweep along a threshold of the mining, and how many images it sorts into a category.

    Args:
        columns: group -> where it is tested (`places`).
        key: MINING.T_NEG or MINING.T_POS.
        category: of `mining.CATEGORIES`, the one to count.

    Returns:
        One row per group and value: group, value, nme, nme_low, nme_high (of the seeds that all values have), images
        (in the category, mean over these seeds) and of (unlabeled images); no rows where fewer than two values have
        run.
    """
    parts = []
    for group, place in columns.items():
        values = runs_along(place.folder, key)
        own = scores(place, values)
        if own["run"].nunique() < 2:
            continue
        seeds = set.intersection(*(set(part["seed"]) for _, part in own.groupby("run")))
        found = comparison.compare(own[own["seed"].isin(seeds)])
        found = found.loc[found["group"] == "all", ["run", "nme", "nme_low", "nme_high"]]
        found = found.assign(group=group, value=found["run"].map(values))
        counts = _sorted_images(place.folder, key, found["value"], seeds)
        counts = counts.groupby(["value", "seed"])["category"].agg(
            images=lambda names: (names == category).sum(), of="size"
        )
        parts.append(found.merge(counts.groupby("value").mean().reset_index(), on="value").sort_values("value"))
    columns = ["group", "value", "nme", "nme_low", "nme_high", "images", "of"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def family_shares(folder: str | Path, key: str, category: str, values: Sequence[float]) -> pd.DataFrame:
    """Which share of each family's unlabeled images a threshold sorts into a category.

    Args:
        folder: of the setting.
        key: MINING.T_NEG or MINING.T_POS.
        category: of `mining.CATEGORIES`.
        values: of the threshold.

    Returns:
        Family x value, means over seeds (fractions); the families from the one on which human and animal model agree
        best; empty where no mining has run.
    """
    images = _sorted_images(folder, key, values)
    if images.empty:
        return pd.DataFrame()
    order = images.groupby("family")["human_disagreement"].mean().sort_values().index
    by_seed = (images["category"] == category).groupby([images["family"], images["value"], images["seed"]]).mean()
    return by_seed.groupby(["family", "value"]).mean().unstack().loc[order, list(values)]


def _sorted_images(
    folder: Path, key: str, values: Sequence[float], seeds: Collection[int] | None = None
) -> pd.DataFrame:
    """The mined images of a setting, sorted anew for each value of a threshold (columns value and category)."""
    given = runs.collect_configs(folder).get("mining")
    if given is None:
        return pd.DataFrame(columns=["seed", "family", "human_disagreement", "value", "category"])
    table = runs.collect_tables(folder, "mining").query("run == 'mining'")
    if seeds is not None:
        table = table[table["seed"].isin(seeds)]
    parts = []
    for value in values:
        limits = {name: given[name] for name in ("MINING.T_POS", "MINING.T_NEG")} | {key: value}
        categories = mining.categorize(table["human_disagreement"], table["flip_disagreement"], *limits.values())
        parts.append(table.assign(value=value, category=categories))
    return pd.concat(parts, ignore_index=True)


def label_budget(folder: str | Path) -> pd.DataFrame:
    """The errors of few-shot training on 10 to 80 labels of easy, medium or hard species, over all test images.

    Returns:
        One row per class and number that has run: difficulty, labels, nme, nme_low, nme_high.
    """
    names = {f"few_shot_{difficulty}_{labels}": (difficulty, int(labels))
             for difficulty, row in published.table("label_budget").iterrows() for labels in row.index}  # fmt: skip
    found = results({"all": Place(Path(folder), "all")}, names)
    found[["difficulty", "labels"]] = [names[run] for run in found["run"]] or None
    order = list(names)
    return found.sort_values("run", key=lambda runs: runs.map(order.index), ignore_index=True)


def _but(given: Mapping[str, object], key: str) -> dict[str, object]:
    own = {name: value for name, value in given.items() if name.split(".")[0] not in _OF_OTHERS}
    return {name: value for name, value in own.items() if name != key and name not in _INCIDENTAL}


# --- faces ------------------------------------------------------------------------------------------------------------


def setting_of(folder: str | Path) -> Setting:
    """The setting that a folder's few-shot runs were made with."""
    return Setting(config.load(runs.upstream(Path(folder) / "any", "few_shot", "config.yaml")))


def spread(place: Place, run: str = "few_shot", count: int = 3) -> list[str]:
    """Choose images by rule and not by eye: from the middle of a run's errors to its worst twentieth, evenly.

    Returns:
        Names of images; none where the run has not finished.
    """
    own = scores(place, [run])
    if own.empty:
        return []
    errors = comparison.seed_average(own).dropna(subset="nme").sort_values("nme", kind="stable")
    return list(errors["image"].iloc[np.round(np.linspace(0.5, 0.95, count) * (len(errors) - 1)).astype(int)])


def first_seed(folder: str | Path, run: str, table: str) -> pd.DataFrame | None:
    """One table of a run's first seed; None where it has not finished."""
    for home in sorted([Path(folder) / run, *(Path(folder) / run).glob("seed*")]):
        if (home / "summary.json").is_file() and (home / f"{table}.csv").is_file():
            return read_table(home / f"{table}.csv")
    return None

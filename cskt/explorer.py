"""Finished runs looked at image by image: which there are, their worst cases, two methods against each other.

Everything here takes and gives tables; `explorer_panel` puts them behind controls, `figures_explorer` draws them.
"""

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from cskt import config, metrics
from cskt.comparison import NAMES
from cskt.data.table import Annotations
from cskt.errors import DataError, some
from cskt.files import read_table
from cskt.settings import Setting

ORDERS = ("worst first", "best first", "at random")
SIDES = ("either way", "the first is better", "the second is better")
_TABLES = ("summary.json", "scores.csv", "predictions.csv", "config.yaml")


def settings(outputs: str | Path) -> list[str]:
    """The settings that have a run to look at, by name.

    Args:
        outputs: the folder that holds one folder per setting.
    """
    return sorted(folder.name for folder in Path(outputs).glob("*/") if choices(folder))


def choices(folder: str | Path) -> dict[str, list[int]]:
    """The runs of a setting that can be looked at: finished, with scores and predictions of the test images.

    Args:
        folder: the setting's folder, outputs/<setting>.

    Returns:
        Name of a run -> its seeds, in the order of `comparison.NAMES`, others after those by name.
    """
    found: dict[str, list[int]] = {}
    for place in Path(folder).glob("*/seed*"):
        seed = re.fullmatch(r"seed(\d+)", place.name)
        if seed and all((place / name).is_file() for name in _TABLES):
            found.setdefault(place.parent.name, []).append(int(seed[1]))
    order = {run: number for number, run in enumerate(NAMES)}
    return {run: sorted(found[run]) for run in sorted(found, key=lambda run: (order.get(run, len(order)), run))}


def read(folder: str | Path, run: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what a run predicted of the test images.

    Returns:
        scores and predictions, one row per image each (`predict.score`, `predict.predict`).

    Raises:
        DataError: there is no such finished run, with those that there are.
    """
    there = choices(folder)
    if seed not in there.get(run, ()):
        known = ", ".join(f"{name} (seed {', '.join(map(str, seeds))})" for name, seeds in there.items())
        raise DataError(
            f"{folder}: no finished run {run!r} of seed {seed} with scores and predictions; there are {known or 'none'}"
        )
    place = Path(folder) / run / f"seed{seed}"
    return read_table(place / "scores.csv", ("image", "nme")), read_table(place / "predictions.csv", ("image",))


def truth(folder: str | Path, run: str, seed: int) -> Annotations:
    """The annotated test faces that a run was scored on, read with the run's own config."""
    return Setting(config.load(Path(folder) / run / f"seed{seed}" / "config.yaml")).annotations("test")


def pick(
    scores: pd.DataFrame,
    species: Collection[str] = (),
    group: str = "all",
    low: float = 0.0,
    high: float = np.inf,
    column: str = "nme",
) -> pd.DataFrame:
    """Keep the images of some species whose error lies in a range.

    Args:
        scores: one row per image.
        species: their names; all if none is named.
        group: "all", "known" or "unknown".
        low, high: the range of the error, fractions, ends included.
        column: the error.

    Returns:
        The rows, in their order; an image without an error (no annotated landmark) is never among them.

    Example:
        >>> table = pd.DataFrame({"image": ["a", "b", "c"], "species": ["cat", "cat", "dog"], "nme": [0.1, 0.3, 0.3]})
        >>> pick(table, ["cat"], low=0.2)["image"].tolist()
        ['b']
    """
    kept = scores[column].between(low, high)
    if len(species):
        kept &= scores["species"].isin(list(species))
    if group != "all":
        kept &= scores["group"] == group
    return scores[kept].reset_index(drop=True)


def first(scores: pd.DataFrame, count: int, order: str = ORDERS[0], seed: int = 0) -> pd.DataFrame:
    """The first images in an order.

    Args:
        scores: one row per image, with nme.
        count: how many at most.
        order: one of `ORDERS`.
        seed: of "at random".
    """
    if order == ORDERS[2]:
        return scores.sample(min(count, len(scores)), random_state=seed).reset_index(drop=True)
    rows = scores.sort_values("nme", ascending=order == ORDERS[1], kind="stable")
    return rows.head(count).reset_index(drop=True)


def pair(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Put two methods' errors of the same images side by side.

    Args:
        one, other: scores tables of the same images, in any order.

    Returns:
        One row per image that has an error, in the order of `one`: image, species, family, group (where the scores
        have it), first and second (nme of each), and difference: second minus first, below 0 where the second is
        better. Fractions.

    Raises:
        DataError: they have not scored the same images.
    """
    if odd := sorted(set(one["image"]) ^ set(other["image"])):
        raise DataError(f"the two runs have scored different images ({some(odd)}): do the older of the two again")
    names = [name for name in ("image", "species", "family", "group") if name in one]
    second = other.set_index("image").loc[one["image"], "nme"].to_numpy()
    table = one[names].assign(first=one["nme"].to_numpy(), second=second, difference=second - one["nme"].to_numpy())
    return table.dropna(subset=["first", "second"]).reset_index(drop=True)


def compare(pairs: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """Reduce the pairs of `pair` to numbers.

    Args:
        pairs: at least one.
        seed: of the resamples.

    Returns:
        images; first and second, the mean errors; difference (second minus first) with the ends of its paired 95 %
        interval over images and the p-value of the paired test, NaN for a single image; first_better and
        second_better, how many images each has the smaller error on; correlation of the two errors.
    """
    errors = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    single = len(pairs) < 2
    low, high = (np.nan, np.nan) if single else metrics.paired_interval(errors[1], errors[0], seed)
    return {
        "images": len(pairs),
        "first": float(errors[0].mean()),
        "second": float(errors[1].mean()),
        "difference": float(pairs["difference"].mean()),
        "difference_low": low,
        "difference_high": high,
        "p_value": np.nan if single else metrics.paired_test(errors[1], errors[0], seed),
        "first_better": int((pairs["difference"] > 0).sum()),
        "second_better": int((pairs["difference"] < 0).sum()),
        "correlation": np.nan if single else float(np.corrcoef(*errors)[0, 1]),
    }


def apart(pairs: pd.DataFrame, count: int, side: str = SIDES[0]) -> pd.DataFrame:
    """The images on which two methods differ most, the largest difference first.

    Args:
        pairs: from `pair`.
        count: how many at most.
        side: one of `SIDES`; of the last two only images on which that method is the better one.
    """
    signed = {SIDES[0]: pairs["difference"].abs(), SIDES[1]: pairs["difference"], SIDES[2]: -pairs["difference"]}[side]
    order = signed[signed > 0].sort_values(ascending=False, kind="stable").index
    return pairs.loc[order[:count]].reset_index(drop=True)

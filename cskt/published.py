"""The numbers that the paper's README, slides and supplement print, from `published.csv`.

Errors are fractions. `precision` says whether a number was printed, read off a curve (digitized, to about 0.003) or off
a color (quantized, to about 0.02). The paper itself was not at hand, so its horse table is not among them.
"""

from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("published.csv")


def table(name: str) -> pd.DataFrame:
    """One published table.

    Args:
        name: a value of the file's first column.

    Returns:
        Its rows and columns as the file names them, in its order; NaN where nothing was published.

    Example:
        >>> table("ssl").loc["UDA"].to_dict()
        {'known': 0.058, 'unknown': 0.0748}
    """
    wide = _long(name).pivot_table(index="row", columns="column", values="value", sort=False)
    return wide.rename_axis(index=None, columns=None)


def names() -> list[str]:
    """The published tables."""
    return list(pd.read_csv(FILE)["table"].unique())


def sources(name: str) -> str:
    """Where a published table comes from, and how its numbers were read.

    Example:
        >>> sources("t_neg_families")
        'supplement, Fig. 3 (digitized)'
    """
    long = _long(name)
    return "; ".join(f"{source} ({precision})" for source, precision in long.groupby(["source", "precision"]).groups)


def _long(name: str) -> pd.DataFrame:
    if name not in names():
        raise ValueError(f"no published table {name!r}; there are {', '.join(names())}")
    long = pd.read_csv(FILE, dtype={"row": str, "column": str})
    return long[long["table"] == name]

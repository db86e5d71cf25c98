"""Contact sheets of a person's own pictures: labels with what looks wrong, pseudo-labels, what to label next."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from cskt import galleries
from cskt.data.schemes import side_of
from cskt.data.table import Annotations
from cskt.files import atomic_path
from cskt.landmarks import Scheme

FACES = 64  # on one sheet


def labels(faces: Annotations, findings: pd.DataFrame, count: int = FACES, seed: int = 0):
    """Show labeled faces, those with findings first, then others drawn at random.

    Args:
        faces: the labels.
        findings: by `label_check.suspicious`.
        count: faces at most.
        seed: of the choice.

    Returns:
        The axes, [rows, columns].
    """
    about = findings.groupby("image", sort=False).apply(_finding, include_groups=False)
    rest = faces.table.loc[~faces.table["image"].isin(about.index), "image"]
    rest = rest.sample(min(len(rest), max(count - len(about), 0)), random_state=seed).sort_values()
    shown = faces.select([*about.index[:count], *rest])
    titles = [about.get(name, "") or name for name in shown.table["image"]]
    return gallery(shown.table, shown.table, faces.scheme, [_short(title) for title in titles])


def gallery(faces: pd.DataFrame, landmarks: pd.DataFrame, scheme: Scheme, titles: list[str]):
    """Show faces with landmarks marked by their side; a line joins the two of a flip pair.

    Args:
        faces: image, path and the box x, y, w, h (image pixels).
        landmarks: of these faces: image, <landmark>_x and <landmark>_y in image pixels.
        scheme: of the landmarks.
        titles: one above each face.

    Returns:
        The axes, [rows, columns].
    """
    left, right = sides(scheme)
    others = [name for name in scheme.landmarks if name not in (*left, *right)]
    kinds = {"left": left, "right": right, "no side": others}
    tables = {
        kind: landmarks[["image", *(f"{name}_{axis}" for name in names for axis in "xy")]]
        for kind, names in kinds.items()
        if names
    }
    return galleries.gallery(faces, tables, titles=titles)


def sides(scheme: Scheme) -> tuple[list[str], list[str]]:
    """The left and the right landmarks of the flip pairs; where names tell no side, a pair's first one is left."""
    left, right = [], []
    for a, b in scheme.flip_pairs:
        one, other = scheme.landmarks[a], scheme.landmarks[b]
        if side_of(one) == "right":
            one, other = other, one
        left.append(one)
        right.append(other)
    return left, right


def short_name(name: str, width: int = 17) -> str:
    """A file's name as wide as a face on a sheet: the middle is left out, as names differ at their ends.

    Example:
        >>> short_name("camera2_2024-05-03_000713.png")
        'camera2_…0713.png'
    """
    name = Path(name).name
    half = (width - 1) // 2
    return name if len(name) <= width else f"{name[: width - 1 - half]}…{name[-half:]}"


def _finding(own: pd.DataFrame) -> str:
    first = own.iloc[0]
    more = f", +{len(own) - 1}" if len(own) > 1 else ""
    return f"{first['finding']}: {first['landmark'] or first['detail']}{more}"


def _short(title: str, width: int = 22, lines: int = 2) -> str:
    wrapped = textwrap.wrap(title, width, break_long_words=True) or [""]
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], wrapped[lines - 1][: width - 2] + " …"]
    return "\n".join(wrapped)


def pages(rows: int, size: int = FACES) -> list[np.ndarray]:
    """Rows of each sheet, as even as can be."""
    return np.array_split(np.arange(rows), max(1, -(-rows // size)))


def save(axes, path: str | Path) -> None:
    """Write a sheet as PNG and close it."""
    import matplotlib.pyplot as plt

    figure = axes.flat[0].figure
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)

"""Label budgets: nested lists of few labeled images, of species that the human model finds easy, medium or hard."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

CLASSES = ("easy", "medium", "hard")


def difficulty(errors: pd.Series) -> dict[str, list[str]]:
    """Split species into three classes of as equal a number as can be, by the human model's error.

    Args:
        errors: mean error of each species, indexed by its name.

    Returns:
        "easy", "medium", "hard" -> species, from the lowest error to the highest. Of what three does not divide, the
        first classes have one more.

    Example:
        >>> difficulty(pd.Series({"horse": 0.3, "macaque": 0.1, "cat": 0.2, "cow": 0.4}))
        {'easy': ['macaque', 'cat'], 'medium': ['horse'], 'hard': ['cow']}
    """
    parts = np.array_split(np.array(errors.sort_values(kind="stable").index, dtype=object), len(CLASSES))
    return {name: part.tolist() for name, part in zip(CLASSES, parts, strict=True)}


def nested_lists(
    faces: pd.DataFrame, species: Collection[str], sizes: Sequence[int], rng: np.random.Generator
) -> dict[int, list[str]]:
    """Draw lists of images of some species, each as even over them as can be, a smaller one part of the next larger.

    Args:
        faces: one row per image: image, species.
        species: those to draw from.
        sizes: of the lists; one for which there are too few images is left out.
        rng: of the draw.

    Returns:
        Size -> names of images.
    """
    wanted = faces[faces["species"].isin(species)]
    drawn = wanted.iloc[rng.permutation(len(wanted))]
    # the first of each species, then the second of each, ...
    turn = drawn.groupby("species").cumcount().to_numpy()
    names = drawn["image"].to_numpy()[np.argsort(turn, kind="stable")]
    return {size: names[:size].tolist() for size in sizes if size <= len(names)}

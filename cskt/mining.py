"""Positive example mining: which unlabeled images to trust, by how much two predictions of each disagree."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cskt.data.datasets import UnlabeledSet
from cskt.data.reading import numbers, read_csv, rows_by_name
from cskt.errors import DataError, some
from cskt.landmarks import SCHEMES, Scheme, combine, shared_landmarks
from cskt.metrics import nme
from cskt.models import LandmarkNet
from cskt.predict import find_landmarks

CATEGORIES = ("hard_negative", "positive", "semi_hard")


def categorize(human_disagreement: np.ndarray, flip_disagreement: np.ndarray, t_pos: float, t_neg: float) -> np.ndarray:
    """Return each image's category.

    Args:
        human_disagreement: NME between human and animal model on the shared landmarks, as a fraction, [N].
        flip_disagreement: NME between the prediction and the un-mirrored prediction of the mirrored image, [N].
        t_pos: human disagreement below which an image is positive.
        t_neg: flip disagreement at or above which an image is a hard negative, whatever the human model says.

    Returns:
        "hard_negative" (left out), "positive" (pseudo-labeled) or "semi_hard" (unlabeled only), [N].

    Raises:
        ValueError: a disagreement is NaN: no comparison would hold for it.

    Source: the published code of Meta-CSKT; "below" is strict for both, so flip == t_neg is a hard negative and
        human == t_pos is semi-hard.

    Example:
        >>> categorize(np.array([0.01, 0.01, 0.05]), np.array([0.2, 0.1, 0.1]), t_pos=0.05, t_neg=0.2).tolist()
        ['hard_negative', 'positive', 'semi_hard']
    """
    human, flip = np.asarray(human_disagreement, dtype=float), np.asarray(flip_disagreement, dtype=float)
    if np.isnan(human).any() or np.isnan(flip).any():
        raise ValueError("a disagreement is NaN: every image needs both to be categorized")
    return np.select([flip >= t_neg, human < t_pos], CATEGORIES[:2], default=CATEGORIES[2])


def disagreements(human: LandmarkNet | None, animal: LandmarkNet, data: UnlabeledSet, **how) -> pd.DataFrame:
    """How much two predictions of each unlabeled image differ, twice: human and animal model, and an image's mirror.

    Args:
        human: the human model, not fine-tuned; None: there is none.
        animal: the few-shot model.
        data: N unlabeled crops.
        how: codec, precision, progress; see `predict.find_landmarks`.

    Returns:
        Columns image, species, family, human_disagreement (over the shared landmarks), flip_disagreement (over all),
        both fractions of sqrt(w * h); N rows. The former is NaN without a human model, or one that shares no landmark.
        Source: spec 1.8.
    """
    of_animal, _ = find_landmarks(animal, data, **how)
    of_mirror, _ = find_landmarks(animal, data, mirrored=True, **how)
    table = data.table[["image", "species", "family"]].reset_index(drop=True)
    table["human_disagreement"] = np.nan
    if human is not None:
        scheme = SCHEMES[human.spec["scheme"]]
        of_human, _ = find_landmarks(human, replace(data, scheme=scheme), **how)
        table["human_disagreement"] = human_disagreement(of_human, scheme, of_animal, data)
    table["flip_disagreement"] = flip_disagreement(of_mirror, of_animal, data)
    return table


def flip_disagreement(of_mirror: torch.Tensor, of_animal: torch.Tensor, data: UnlabeledSet) -> np.ndarray:
    """Distance of two predictions of the same crops, over all landmarks, as a fraction of sqrt(w * h), [N].

    Args:
        of_mirror, of_animal: in the plain crop's pixels, [N, L, 2].
        data: the N crops.
    """
    return nme(of_mirror.numpy(), of_animal.numpy(), _norm_crop(data))


def human_disagreement(
    of_human: torch.Tensor, scheme: Scheme, of_animal: torch.Tensor, data: UnlabeledSet
) -> np.ndarray:
    """Distance of the two models' predictions over the shared landmarks, as a fraction of sqrt(w * h), [N].

    Args:
        of_human: landmarks of `scheme` in the plain crop's pixels, [N, K, 2].
        scheme: what the human model predicts.
        of_animal: landmarks of the data's scheme in the plain crop's pixels, [N, L, 2].
        data: the N crops.

    Returns:
        NaN where the two schemes share no landmark.
    """
    shared = shared_landmarks(scheme, data.scheme)
    return nme(combine(shared.from_a, of_human.numpy()), combine(shared.from_b, of_animal.numpy()), _norm_crop(data))


def _norm_crop(data: UnlabeledSet) -> np.ndarray:
    """sqrt(w * h) of each box in the plain crop's pixels, [N]."""
    return data.norm * data.to_crop[:, 0, 0].numpy()


def at_most(chosen: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return a mask [N] (bool) of at most `most` of the chosen images, drawn at random without regard to anything.

    Args:
        chosen: which images there are to choose from, [N] (bool).
        most: how many at most.
        seed: of the draw.

    Example:
        >>> int(at_most(np.array([True, False, True, True]), most=2, seed=0).sum())
        2
    """
    rows = np.flatnonzero(chosen)
    kept = np.random.default_rng(seed).permutation(rows)[:most]
    return np.isin(np.arange(len(chosen)), kept)


def count_categories(categories: np.ndarray) -> dict[str, int]:
    """Return how many images are in each of `CATEGORIES`."""
    return {category: int((categories == category).sum()) for category in CATEGORIES}


def read_disagreements(
    human_csv: str | Path, flip_csv: str | Path, images: Iterable[str] | None = None
) -> pd.DataFrame:
    """Read the two disagreements of each image.

    Args:
        human_csv: CSV file with columns img (or image) and nme (or shift, disagreement).
        flip_csv: the same for the flip disagreement.
        images: the images wanted; if None, the two files must hold the same images.

    Returns:
        Columns image, human_disagreement, flip_disagreement; in the order of `images`, else of the first file.

    Raises:
        DataError: a file that is not of its layout, an image named twice, without a number, or in one file only.
    """
    human, flip = _read_shifts(human_csv), _read_shifts(flip_csv)
    wanted = list(human if images is None else images)
    if images is None:
        _require(flip, human_csv, human)
    _require(wanted, human_csv, human)
    _require(wanted, flip_csv, flip)
    return pd.DataFrame(
        {
            "image": wanted,
            "human_disagreement": [human[name] for name in wanted],
            "flip_disagreement": [flip[name] for name in wanted],
        }
    )


def _require(names: Collection[str], path: str | Path, found: dict[str, float]) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{path}: no row for {len(missing):,} of {len(names):,} images: {some(missing)}")


def _read_shifts(path: str | Path) -> dict[str, float]:
    table = read_csv(path, ("img|image", "nme|shift|disagreement"))
    rows = rows_by_name(table, "img")
    values = numbers(table, "nme")
    good = np.isfinite(values) & (values >= 0)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(f"{path}, line {table.lines[row]}: expected a fraction of 0 or more, found {values[row]:g}")
    return dict(zip(rows, values.tolist(), strict=True))


class Pool:
    """The current pseudo-labels of the positives.

    Args:
        positive: which of the unlabeled images are positives, [N] (bool).
        landmarks: landmarks per image, L.
    """

    def __init__(self, positive: np.ndarray, landmarks: int):
        self._positive = torch.as_tensor(np.asarray(positive, dtype=bool))
        self._landmarks_crop = torch.full((len(self._positive), landmarks, 2), torch.nan)
        self._size = 0

    @property
    def size(self) -> int:
        """How many images have a pseudo-label."""
        return self._size

    @property
    def positives(self) -> np.ndarray:
        """Rows of the positives, [n]."""
        return self._positive.nonzero()[:, 0].numpy()

    def put(self, rows: np.ndarray, landmarks_crop: torch.Tensor) -> None:
        """Replace the pseudo-labels of the positives among `rows` by landmarks of the crop's pixels, [n, L, 2]."""
        rows = torch.as_tensor(np.asarray(rows))
        taken = self._positive[rows]
        rows, landmarks_crop = rows[taken], landmarks_crop[taken].cpu()
        # counted among these rows alone: each step asks for the size, of a million images too
        others = rows.unique()
        before = self._labeled(others).sum()
        self._landmarks_crop[rows] = landmarks_crop
        self._size += int(self._labeled(others).sum() - before)

    def labels(self) -> tuple[np.ndarray, torch.Tensor]:
        """Rows that have a pseudo-label [n], and a copy of their landmarks [n, L, 2] in the crop's pixels."""
        rows = self._labeled().nonzero()[:, 0]
        return rows.numpy(), self._landmarks_crop[rows]

    def _labeled(self, rows=...):
        """Whether each of the rows has a pseudo-label (bool)."""
        return self._landmarks_crop[rows].isfinite().all(dim=-1).any(dim=-1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"landmarks_crop": self._landmarks_crop}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self._landmarks_crop = state["landmarks_crop"]
        self._size = int(self._labeled().sum())

"""Who helps whom: the human model fine-tuned on one group of animals (a family, or a species) and tested on all.

Everything here works on one long scores table: a row per model, draw and image, with the columns model, draw, image,
tested (the image's group) and nme. The models are the groups, for the human model fine-tuned on a draw of that group's
images, `RANDOM`, for a draw from all animals, and two that were not fine-tuned: `HUMAN` and `SHAPE`, of draw 0.

Source: Meta-CSKT, Fig. 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from cskt import metrics
from cskt.comparison import shared_scores
from cskt.data.table import Annotations, with_landmarks
from cskt.errors import ConfigError, DataError
from cskt.landmarks import Scheme, SharedLandmarks
from cskt.predict import score
from cskt.shapes import fit_shape, place_shape

HUMAN, SHAPE, RANDOM = "human_model", "mean_shape", "random"
REFERENCES = (SHAPE, HUMAN, RANDOM)
# the five of the paper's matrix, from the human-like to the far
PAPER_FAMILIES = ("Cebidae", "Ursidae", "Bovidae", "Phocidae", "Spheniscidae")


class Clusters(NamedTuple):
    """A clustering of the groups of a matrix.

    Attributes:
        names: the groups as `linkage` numbers them.
        linkage: as `scipy.cluster.hierarchy.linkage` gives it; its heights are `top` minus the mutual help.
        top: the largest mutual help of two groups.
        order: the groups' names as the leaves of the tree stand, from the end that the human model knows better.
        label: group -> number of its cluster, counted along `order` from 1.
    """

    names: list[str]
    linkage: np.ndarray
    top: float
    order: list[str]
    label: dict[str, int]


# --- images -----------------------------------------------------------------------------------------------------------


def group_sizes(faces: Annotations, by: str, least: int) -> tuple[pd.Series, pd.Series]:
    """Count the annotated faces of each group, and tell the groups with enough of them from the others.

    Args:
        faces: with landmarks; a face without any does not count.
        by: the column that tells the groups: "family" or "species".
        least: how many faces are enough.

    Returns:
        faces of each group with enough, and of each one left out; both from the largest to the smallest.

    Raises:
        DataError: there are not two groups with enough.
    """
    sizes = _annotated(faces)[by].value_counts()
    if (sizes >= least).sum() < 2:
        few = f"of the groups by {by}, {sizes.to_dict()}, fewer than two have {least} faces"
        raise DataError(f"{few}: there is nobody to share with; CONFUSION says what a group is, and how many it needs")
    return sizes[sizes >= least], sizes[sizes < least]


def draw_images(faces: Annotations, by: str, groups: Sequence[str], labels: int, draws: int, seed: int) -> pd.DataFrame:
    """Draw the images that each model is fine-tuned on: of each group, and of all faces (`RANDOM`).

    A draw follows from the seed, its number and the group's name alone, whatever other groups there are.

    Args:
        faces: with landmarks; a face without any is not drawn.
        by: the column that tells the groups.
        groups: those to draw from.
        labels: images of a draw.
        draws: how many draws of each group.
        seed: of the draws.

    Returns:
        One row per drawn image: model, draw (from 0) and image.

    Raises:
        ConfigError: a group has too few images to be tested on the others of it.
    """
    table = _annotated(faces)
    rows = []
    for model in (*groups, RANDOM):
        images = np.sort(table["image"] if model == RANDOM else table.loc[table[by] == model, "image"])
        if len(images) < labels + 2:
            raise ConfigError(
                f"{model} has {len(images)} images: {labels} cannot be drawn with others left to test; "
                "set CONFUSION.MIN_IMAGES well above CONFUSION.DRAW_SIZE"
            )
        for draw in range(draws):
            order = np.random.default_rng([seed, draw, *model.encode()]).permutation(len(images))
            rows += [(model, draw, image) for image in images[order[:labels]]]
    return pd.DataFrame(rows, columns=["model", "draw", "image"])


def leave_out_drawn(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return the scores without those of a model on the images that it was fine-tuned on (`draw_images`)."""
    key = ["model", "draw", "image"]
    drawn = pd.MultiIndex.from_frame(scores[key]).isin(pd.MultiIndex.from_frame(draws[key]))
    return scores[~drawn].reset_index(drop=True)


# --- errors -----------------------------------------------------------------------------------------------------------


def image_errors(predictions: pd.DataFrame, truth: Annotations, shared: SharedLandmarks, by: str) -> pd.DataFrame:
    """Score a fine-tuned model on the landmarks that people have too, and on all.

    Args:
        predictions: by `predict.predict`, in the animals' scheme.
        truth: of the same images.
        shared: the places that the human scheme (a) and the animals' scheme (b) share.
        by: the column that tells the groups.

    Returns:
        One row per image: image, tested (its group), shared and all (NME, NaN where nothing is annotated).
    """
    return _side_by_side(
        shared_scores(predictions, truth.scheme, truth, shared)["nme"], score(predictions, truth), truth, by
    )


def reference_errors(
    zero_shot: pd.DataFrame, scheme: Scheme, truth: Annotations, fit: Annotations, shared: SharedLandmarks, by: str
) -> pd.DataFrame:
    """Score what was not fine-tuned: the human model, and the mean shape in the box.

    On all landmarks the human model is completed: those it does not know stand at their mean place in the box, which is
    the best that a box and a few labels tell of them. (The fine-tunings start from a head of random weights there;
    subtracting from its error would make a gain of every entry.)

    Args:
        zero_shot: the human model's predictions, by `predict.predict`.
        scheme: the human model's.
        truth: of the same images.
        fit: the few labeled faces whose mean shape it is.
        shared: the places that the human scheme (a) and the animals' scheme (b) share.
        by: the column that tells the groups.

    Returns:
        The tables of `image_errors`, with the columns model (`HUMAN`, `SHAPE`) and draw (0) before theirs.
    """
    truth = truth.select(zero_shot["image"])
    identity = zero_shot[["image", "species", "family"]]
    mean = place_shape(fit_shape(fit.landmarks, fit.boxes), truth.boxes)
    known = Annotations(zero_shot, scheme, truth.problems).convert(truth.scheme).landmarks
    completed = with_landmarks(identity, truth.scheme, np.where(np.isnan(known), mean, known))
    on_shared = shared_scores(zero_shot, scheme, truth, shared)["nme"]
    human = _side_by_side(on_shared, score(completed, truth), truth, by)
    shape = image_errors(with_landmarks(identity, truth.scheme, mean), truth, shared, by)
    both = pd.concat({(HUMAN, 0): human, (SHAPE, 0): shape}, names=["model", "draw"])
    return both.reset_index(["model", "draw"]).reset_index(drop=True)


def _side_by_side(on_shared: pd.Series, on_all: pd.DataFrame, truth: Annotations, by: str) -> pd.DataFrame:
    tested = truth.select(on_all["image"]).table[by]
    columns = {"image": on_all["image"], "tested": tested, "shared": on_shared, "all": on_all["nme"]}
    return pd.DataFrame({name: column.to_numpy() for name, column in columns.items()})


def group_errors(scores: pd.DataFrame, models: Sequence[str] = REFERENCES) -> pd.DataFrame:
    """Average the errors of some models over the images of each group (Fig. 1a).

    Args:
        scores: the long table, without the images of the draws (`leave_out_drawn`).
        models: which.

    Returns:
        One row per model and tested group, the groups from the human model's lowest error to its highest: model,
        tested, nme (mean of the draws' means), its 95 % interval over images and draws nme_low to nme_high, lowest and
        highest draw, images and draws (counts).
    """
    rows = []
    for model in models:
        own = scores[scores["model"] == model]
        for tested in human_order(scores):
            errors = _by_draw(own[own["tested"] == tested], "nme")
            means = np.nanmean(errors, axis=0)
            low, high = metrics.crossed_interval(errors)
            rows.append((model, tested, means.mean(), low, high, means.min(), means.max(), *errors.shape))
    names = ["model", "tested", "nme", "nme_low", "nme_high", "lowest", "highest", "images", "draws"]
    return pd.DataFrame(rows, columns=names)


def human_order(scores: pd.DataFrame) -> list[str]:
    """The tested groups from the lowest mean error of the human model to the highest."""
    human = scores[scores["model"] == HUMAN]
    return list(human.groupby("tested")["nme"].mean().sort_values(kind="stable").index)


def matrix(scores: pd.DataFrame) -> pd.DataFrame:
    """Subtract each fine-tuned model's error from the human model's, group by group (Fig. 1b).

    Args:
        scores: the long table, without the images of the draws (`leave_out_drawn`).

    Returns:
        One row per cell, both groups in the order of `human_order`:
        tested and tuned: the groups;
        gain: mean over draws of the mean over images of NME(human model) - NME(fine-tuned), a fraction; below 0 is a
        loss; with the ends of its 95 % interval over images and draws, gain_low and gain_high, and gain_sd, the
        standard deviation over draws (NaN for one draw);
        share: gain over the human model's mean error on the same images;
        verdict: "helps" or "harms" where the interval is on one side of 0, else "unclear";
        images and draws: counts.

    Raises:
        DataError: a group has no model fine-tuned on it, or fewer than two images to test a model on.
    """
    groups = human_order(scores)
    human = scores[scores["model"] == HUMAN].set_index("image")["nme"]
    tuned = scores[~scores["model"].isin(REFERENCES)]
    tuned = tuned.assign(human=tuned["image"].map(human)).assign(gain=lambda table: table["human"] - table["nme"])
    tuned = dict(list(tuned.dropna(subset="gain").groupby(["tested", "model"])))
    rows = []
    for tested in groups:
        for model in groups:
            cell = tuned.get((tested, model))
            if cell is None or cell.groupby("draw").size().min() < 2:
                raise DataError(f"too few images of {tested} to test a model on that is fine-tuned on {model}")
            gains = _by_draw(cell, "gain")
            means = np.nanmean(gains, axis=0)
            low, high = metrics.crossed_interval(gains)
            rows.append({
                "tested": tested, "tuned": model, "gain": means.mean(), "gain_low": low, "gain_high": high,
                "gain_sd": means.std(ddof=1) if len(means) > 1 else np.nan,
                "share": means.mean() / np.nanmean(_by_draw(cell, "human"), axis=0).mean(),
                "verdict": "helps" if low > 0 else "harms" if high < 0 else "unclear",
                "images": len(gains), "draws": len(means),
            })  # fmt: skip
    return pd.DataFrame(rows)


def square(cells: pd.DataFrame, value: str = "gain", order: Sequence[str] = ()) -> pd.DataFrame:
    """Set one column of a `matrix` out as a square: a row per tested group, a column per fine-tuned one.

    Args:
        cells: by `matrix`.
        value: the column.
        order: of the groups, which may be some of them only; as in the table if empty.
    """
    order = list(order) or list(dict.fromkeys(cells["tested"]))
    return cells.pivot(index="tested", columns="tuned", values=value).loc[order, order]


def five(groups: Sequence[str]) -> list[str]:
    """Choose five groups: the paper's where they are all there, else as far apart as may be in the given order.

    Example:
        >>> five(["cat", "dog", "seal"])
        ['cat', 'dog', 'seal']
        >>> five([*"abcdefghi"])
        ['a', 'c', 'e', 'g', 'i']
    """
    if set(PAPER_FAMILIES) <= set(groups):
        return [name for name in groups if name in PAPER_FAMILIES]
    places = np.linspace(0, len(groups) - 1, min(5, len(groups))).round().astype(int)
    return [groups[place] for place in places]


# --- who helps whom ---------------------------------------------------------------------------------------------------


def mutual_help(cells: pd.DataFrame) -> pd.DataFrame:
    """How much two groups help each other: the mean share of its error that each loses by the other's images.

    Shares, not gains: the far groups have so much to gain that they would be everybody's friends.

    Args:
        cells: by `matrix`.

    Returns:
        A symmetric square; NaN on the diagonal.
    """
    shares = square(cells, "share")
    both = (shares + shares.T) / 2
    return both.mask(np.eye(len(both), dtype=bool))


def cluster(cells: pd.DataFrame) -> Clusters:
    """Put together the groups that help each other most, until what is left would harm on average.

    Average linkage: two clusters are as near as the mean mutual help of a group of one and a group of the other, and
    they stay apart where that is not above 0.

    Args:
        cells: by `matrix`, of at least two groups.
    """
    both = mutual_help(cells)
    names, top = list(both.index), float(np.nanmax(both))
    distances = (top - both).to_numpy(copy=True)
    np.fill_diagonal(distances, 0.0)
    linkage = hierarchy.linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    order = [names[leaf] for leaf in hierarchy.leaves_list(linkage)]
    place = {name: n for n, name in enumerate(dict.fromkeys(cells["tested"]))}
    if place[order[0]] > place[order[-1]]:
        order.reverse()
    if top <= 0:
        return Clusters(names, linkage, top, order, {name: number for number, name in enumerate(order, 1)})
    # the largest distance that is still below `top`: help of exactly 0 joins nobody
    found = dict(zip(names, hierarchy.fcluster(linkage, np.nextafter(top, 0), "distance"), strict=True))
    number = {label: place for place, label in enumerate(dict.fromkeys(found[name] for name in order), 1)}
    return Clusters(names, linkage, top, order, {name: number[found[name]] for name in order})


def helpers(cells: pd.DataFrame, clusters: Clusters) -> pd.DataFrame:
    """Say for each group who helps it and whom it helps.

    Args:
        cells: by `matrix`.
        clusters: of the same matrix.

    Returns:
        One row per group, in the clusters' order: cluster; own_gain, by its own images; best_helper, the other group
        whose images help it most, and best_gain; and of the other groups, how many help it, harm it, are helped by it
        and harmed by it (helped_by, harmed_by, helps, harms; unclear cells in none).
    """
    gains, verdicts = square(cells), square(cells, "verdict")
    alone = np.eye(len(gains), dtype=bool)
    others, verdicts = gains.mask(alone), verdicts.mask(alone)
    table = pd.DataFrame({
        "cluster": pd.Series(clusters.label), "own_gain": pd.Series(np.diag(gains), gains.index),
        "best_helper": others.idxmax(axis=1), "best_gain": others.max(axis=1),
        "helped_by": (verdicts == "helps").sum(axis=1), "harmed_by": (verdicts == "harms").sum(axis=1),
        "helps": (verdicts == "helps").sum(axis=0), "harms": (verdicts == "harms").sum(axis=0),
    })  # fmt: skip
    return table.loc[clusters.order].rename_axis("group").reset_index()


def summarize_matrix(cells: pd.DataFrame) -> dict[str, float]:
    """Reduce a matrix to a few numbers.

    Returns:
        own_gain and other_gain: mean gain of the cells on and off the diagonal; helps, harms and unclear: how many of
        those off it.
    """
    own = cells["tested"] == cells["tuned"]
    counts = cells.loc[~own, "verdict"].value_counts()
    gains = {"own_gain": float(cells.loc[own, "gain"].mean()), "other_gain": float(cells.loc[~own, "gain"].mean())}
    return gains | {verdict: int(counts.get(verdict, 0)) for verdict in ("helps", "harms", "unclear")}


def _annotated(faces: Annotations) -> pd.DataFrame:
    """The rows of the faces that have a landmark at all."""
    return faces.table[np.isfinite(faces.landmarks).all(axis=-1).any(axis=-1)]


def _by_draw(scores: pd.DataFrame, value: str) -> np.ndarray:
    """A column as [N, D], one row per image and one column per draw; NaN where an image was left out of a draw."""
    table = scores.pivot(index="image", columns="draw", values=value)
    if table.empty:
        raise DataError("no scores to average")
    return table.dropna(how="all").to_numpy(float)

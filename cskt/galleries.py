"""Figures made of pictures: faces with landmarks on them, contact sheets, views."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch

from cskt import geometry
from cskt.data.augment import Augmentation
from cskt.data.datasets import LabeledSet, crop_image, labeled_batch, read_image
from cskt.data.table import Annotations
from cskt.species import FROM_HUMAN_TO_BEAK, family_of
from cskt.tables import mathtext

SIDE = 128  # of a picture, pixels
CONTEXT = 1.3  # how much of the picture is shown, as a multiple of the box
EACH = "each"  # face color of landmarks that are to be told apart from each other
# kinds of landmarks: marker, face color, edge color; they differ in shape too, to be told apart in grey
MARKS = {
    "truth": ("o", "none", "white"),
    "prediction": ("X", "#E69F00", "black"),
    "human model": ("^", "#56B4E9", "black"),
    "animal model": ("X", "#E69F00", "black"),
    "3-D shape": ("^", "#56B4E9", "black"),
    "mirror image": ("s", "#CC79A7", "black"),
    "left": ("<", "#E69F00", "black"),
    "right": (">", "#56B4E9", "black"),
    "no side": ("o", "white", "black"),
    "discovered point": ("o", EACH, "white"),  # without names: each has a color of its own
}


def gallery(
    faces: pd.DataFrame,
    landmarks: Mapping[str, pd.DataFrame],
    *,
    titles: Iterable[str] | None = None,
    rows: str | None = None,
    columns: int = 8,
):
    """Show faces with landmarks on them, read anew from their image files.

    Args:
        faces: which: image, path and the box x, y, w, h (image pixels).
        landmarks: kind (one of `MARKS`) -> a table with image, <landmark>_x and <landmark>_y in image pixels, in which
            the faces occur. A thin line joins the same landmark of the first two kinds.
        titles: one above each face.
        rows: the column of `faces` whose values begin a new row each, and are written beside it.
        columns: faces in a row.

    Returns:
        The axes, [rows, columns].
    """
    names = [""] * len(faces) if rows is None else list(faces[rows])
    places, labels = _places(names, columns)
    axes = _grid(len(labels), columns, legend=bool(landmarks))
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label.replace("semi_", "semi-").replace("_", " "), rotation=0, ha="right", va="center")
    tables = {kind: table.set_index("image").loc[faces["image"]] for kind, table in landmarks.items()}
    titles = [""] * len(faces) if titles is None else list(titles)
    for n, (row, place) in enumerate(zip(faces.to_dict("records"), places, strict=True)):
        ax = axes[place]
        image, to_picture = _picture(row)
        _show(ax, image, titles[n])
        _mark(ax, {kind: _moved(table.iloc[n], to_picture) for kind, table in tables.items()})
    _legend(axes, landmarks)
    return axes


def overlays(truth: Annotations, predictions: pd.DataFrame, scores: pd.DataFrame):
    """Show annotated and predicted landmarks of some scored images, each with its error above it.

    Args:
        truth: annotations that hold the images.
        predictions: by `predict.predict`, of those images and others.
        scores: the rows of a scores table to show, in this order.

    Returns:
        The axes, [rows, columns].
    """
    faces = truth.select(scores["image"]).table
    titles = [
        f"{species}, {100 * error:.1f} %" for species, error in zip(scores["species"], scores["nme"], strict=True)
    ]
    return gallery(faces, {"truth": truth.table, "prediction": predictions}, titles=titles)


def steps(
    truth: Annotations, predictions: Mapping[str, pd.DataFrame | None], scores: Mapping[str, pd.DataFrame | None]
):
    """Show the same faces under several models: one row per face, one column per model.

    Args:
        truth: the faces, in the order of the rows.
        predictions: name of a model -> its predictions of those images and others; None where it has not run.
        scores: name of the model -> its scores table.

    Returns:
        The axes, [faces, models].
    """
    axes = _grid(len(truth), len(predictions), legend=True)
    for own, row in zip(axes, truth.table.to_dict("records"), strict=True):
        image, to_picture = _picture(row)
        own[0].set_ylabel(row["species"].replace("_", " "), rotation=0, ha="right", va="center")
        true = _moved(truth.table.set_index("image").loc[row["image"]], to_picture)
        for ax, name in zip(own, predictions, strict=True):
            _show(ax, image, "")
            found, errors = predictions[name], scores[name]
            if found is None or errors is None:
                ax.images[0].set_alpha(0.25)
                ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", va="center", style="italic")
                continue
            _mark(ax, {"truth": true, "prediction": _moved(found.set_index("image").loc[row["image"]], to_picture)})
            error = errors.set_index("image").loc[row["image"], "nme"]
            ax.text(0.97, 0.03, f"{100 * error:.1f} %", transform=ax.transAxes, ha="right", va="bottom",
                    fontsize="small", bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1})  # fmt: skip
    for ax, name in zip(axes[0], predictions, strict=True):
        ax.set_title(mathtext(name), fontsize="medium", pad=3)
    _legend(axes, ["truth", "prediction"])
    return axes


def examples(table: pd.DataFrame, by: str, count: int = 8, seed: int = 0) -> pd.DataFrame:
    """Draw up to `count` rows of each value of a column: of families and species from the human face to the
    beak, of categories from positive to hard negative, of others by name."""
    drawn = table.sample(frac=1, random_state=seed).groupby(by).head(count)
    known = [*map(family_of, FROM_HUMAN_TO_BEAK), *FROM_HUMAN_TO_BEAK, "positive", "semi_hard"]
    order = dict.fromkeys([*known, *sorted(drawn[by].unique())])
    place = {name: n for n, name in enumerate(order)}
    return drawn.sort_values(by, key=lambda names: names.map(place), kind="stable")


def views(data: LabeledSet, augmentations: Mapping[str, Augmentation], count: int = 6, seed: int = 0):
    """Show the plain crop and random views of some labeled faces as the network sees them, landmarks warped along.

    Args:
        data: where they are taken from.
        augmentations: name of the view -> how it is drawn.
        count: faces, one column each.
        seed: of choice and views.

    Returns:
        The axes, [1 + views, count].
    """
    device = torch.device("cpu")
    count = min(count, len(data))
    rows = np.random.default_rng(seed).permutation(len(data))[:count]
    axes = _grid(1 + len(augmentations), count, legend=True)
    for own, (name, augmentation) in zip(axes, {"plain": Augmentation(), **augmentations}.items(), strict=True):
        batch = labeled_batch(data, rows, augmentation, torch.Generator().manual_seed(seed), device)
        own[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, image, points in zip(own, batch.images, batch.landmarks.numpy(), strict=True):
            _show(ax, image.permute(1, 2, 0).numpy(), "")
            _mark(ax, {"truth": points})
    _legend(axes, ["truth"])
    return axes


def _places(names: list[str], columns: int) -> tuple[list[tuple[int, int]], list[str]]:
    """Row and column of each face, and the label of each row; a new name begins a new row."""
    places, labels = [], []
    for n, name in enumerate(names):
        if n == 0 or name != names[n - 1]:
            labels.append(name)
            column = 0
        elif column == columns:
            labels.append("")
            column = 0
        places.append((len(labels) - 1, column))
        column += 1
    return places, labels


def _grid(rows: int, columns: int, legend: bool):
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(rows, columns, figsize=(1.1 * columns + 1.2, 1.2 * rows + 0.3 * legend), squeeze=False,
                           layout="constrained")  # fmt: skip
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    axes.flat[0].figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    return axes


def _picture(row: Mapping) -> tuple[np.ndarray, torch.Tensor]:
    """Cut a face out of its photograph: the picture [SIDE, SIDE, 3] and the transform of image pixels to its own."""
    box = np.array([row[name] for name in "xywh"], dtype=float)
    image = crop_image(read_image(row["path"]), box, round(SIDE / CONTEXT), SIDE)
    to_crop = geometry.crop_matrix(torch.from_numpy(box)[None], round(SIDE / CONTEXT))[0]
    margin = (SIDE - round(SIDE / CONTEXT)) / 2
    to_crop[:, 2] += margin
    return image, to_crop


def _moved(row: pd.Series, matrix: torch.Tensor) -> np.ndarray:
    """The landmarks [L, 2] in one row of a table, moved by a transform; NaN where missing."""
    names = [name for name in row.index if name.endswith(("_x", "_y"))]
    points = torch.from_numpy(row[names].to_numpy(float).reshape(-1, 2).copy())
    return geometry.apply(matrix, points).numpy()


def _show(ax, image: np.ndarray, title: str) -> None:
    ax.imshow(image, interpolation="bilinear")
    ax.set_title(title, fontsize="small", pad=2)
    # landmarks outside the picture are not shown
    ax.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))


def _mark(ax, landmarks: dict[str, np.ndarray]) -> None:
    """Draw kinds of landmarks on a picture, and lines between the first two where they are the same in number."""
    kinds = list(landmarks.values())
    if len(kinds) > 1 and kinds[0].shape == kinds[1].shape:
        for start, end in zip(*kinds[:2], strict=True):
            ax.plot(*np.stack([start, end]).T, color="white", lw=0.8)
    for kind, points in landmarks.items():
        look = _look(kind)
        if look["facecolor"] == EACH:
            look["facecolor"] = [f"C{k % 10}" for k in range(len(points))]
        ax.scatter(*points.T, **look)


def _look(kind: str) -> dict:
    from matplotlib import patheffects

    marker, face, edge = MARKS[kind]
    look = {"marker": marker, "s": 14, "facecolor": face, "edgecolor": edge, "linewidth": 0.7}
    if face == "none":
        # a white ring with black on both sides shows on light and dark pictures
        look |= {"linewidth": 0.9, "path_effects": [patheffects.withStroke(linewidth=2.1, foreground="black")]}
    return look


def _legend(axes, kinds: Iterable[str]) -> None:
    figure = axes.flat[0].figure
    kinds = [kind for kind in kinds if MARKS[kind][1] != EACH]
    handles = [axes.flat[0].scatter([], [], label=kind, **_look(kind)) for kind in kinds]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)

"""Figures of knowledge sharing between groups of animals: errors by group, the matrix of gains, its clustering.

Tables come from `cskt.confusion`; errors and gains are fractions in them and percent in the figures.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cskt import confusion
from cskt.comparison import NAMES
from cskt.figures import PALETTE

# model -> name, color, line style, marker
_MODELS = {
    confusion.SHAPE: (NAMES["mean_shape"], PALETTE["grey"], ":", "X"),
    confusion.HUMAN: (NAMES["human_model"], PALETTE["orange"], "--", "v"),
    confusion.RANDOM: ("fine-tuned on {labels} random images", PALETTE["blue"], "-", "o"),
}
COLORS = "RdBu"  # losses red, gains blue: of the diverging maps of ColorBrewer that the color-blind can read
NUMBERS = 16  # larger matrices hold marks instead of numbers


def group_errors(errors: pd.DataFrame, labels: int, ax=None):
    """Draw the error of each group before and after fine-tuning on animals drawn from all groups (Fig. 1a).

    Args:
        errors: by `confusion.group_errors`.
        labels: images of a draw.
        ax: where to draw.
    """
    groups = list(dict.fromkeys(errors["tested"]))
    many = len(groups) > NUMBERS
    ax = ax or _figure(max(5.5, 2.2 + (0.26 if many else 0.42) * len(groups)), 4.4)[1]
    for place, (model, own) in enumerate(errors.groupby("model", sort=False)):
        name, color, line, marker = _MODELS[model]
        own = own.set_index("tested").loc[groups]
        x = np.arange(len(groups)) + 0.12 * (place - 1)
        middle, low, high = (100 * own[column].to_numpy() for column in ("nme", "nme_low", "nme_high"))
        draws = own["draws"].max()
        label = name.format(labels=labels) + (f" (mean and range of {draws} draws)" if draws > 1 else "")
        if draws > 1:
            ax.fill_between(x, 100 * own["lowest"], 100 * own["highest"], color=color, alpha=0.25, lw=0)
        ax.errorbar(x, middle, yerr=[middle - low, high - middle], color=color, ls=line, lw=1.2, marker=marker, ms=5,
                    elinewidth=1, capsize=2, label=label)  # fmt: skip
    sizes = errors.groupby("tested")["images"].max()
    _names_below(ax, np.arange(len(groups)), [f"{name} (n = {sizes[name]:,})" for name in groups], many)
    # room for the legend above the highest bar
    top = 1.25 * 100 * errors["nme_high"].max()
    ax.set(ylabel="NME, % of √(w·h): mean, 95 % interval", ylim=(0, top), xlim=(-0.5, len(groups) - 0.5))
    ax.grid(axis="y", alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="upper left")
    return ax


def gain_matrix(cells: pd.DataFrame, labels: int, order: Sequence[str] = (), ax=None):
    """Draw the matrix of gains (Fig. 1b): who is tested in rows, whose images the model was fine-tuned on in columns.

    Losses have their sign and are hatched; what is in brackets has an interval that covers 0. A matrix of more than
    `NUMBERS` groups has marks instead: a minus for a loss, a ring for an interval that covers 0.

    Args:
        cells: by `confusion.matrix`.
        labels: images of a draw.
        order: of the groups, which may be some of them only; as in the table if empty.
        ax: where to draw.
    """
    side = _side(len(order) or cells["tested"].nunique())
    ax = ax or _figure(side + 3.4, 0.8 * side + 2)[1]
    _color_bar(_draw_cells(ax, cells, labels, order), ax)
    return ax


def clustered(cells: pd.DataFrame, clusters: confusion.Clusters, labels: int):
    """Draw the matrix in the order of its clustering, with the tree beside it and the clusters framed.

    Args:
        cells: by `confusion.matrix`.
        clusters: by `confusion.cluster`.
        labels: images of a draw.

    Returns:
        The two axes, of the matrix and of the tree.
    """
    side = _side(len(clusters.order))
    _, (ax, tree) = _figure(side + 5.2, 0.8 * side + 2, columns=2, width_ratios=[side + 1.4, 1.5])
    mesh = _draw_cells(ax, cells, labels, clusters.order)
    numbers = np.array([clusters.label[name] for name in clusters.order])
    for number in np.unique(numbers):
        first, last = np.flatnonzero(numbers == number)[[0, -1]]
        size = last + 1 - first
        ax.add_patch(_rectangle(first, first, size, fill=False, ec=PALETTE["black"], lw=2, zorder=3, clip_on=False))
    _draw_tree(tree, clusters)
    _color_bar(mesh, [ax, tree])
    return np.array([ax, tree])


def _draw_cells(ax, cells: pd.DataFrame, labels: int, order: Sequence[str]):
    """Draw the colored and marked cells with their names; return what a color bar needs."""
    squares = {column: confusion.square(cells, column, order) for column in ("gain", "gain_sd", "verdict")}
    groups = list(squares["gain"].index)
    gains, spread = (100 * squares[column].to_numpy(float) for column in ("gain", "gain_sd"))
    sure, count = squares["verdict"].to_numpy() != "unclear", len(groups)
    reach = np.abs(gains).max()
    mesh = ax.pcolormesh(gains, cmap=COLORS, vmin=-reach, vmax=reach, edgecolors="white", lw=0.8)
    for cell in np.ndindex(gains.shape):
        _mark(ax, cell, gains[cell], spread[cell], sure[cell], reach, count)
    sizes = cells[cells["tested"] != cells["tuned"]].groupby("tested")["images"].max()
    _names_below(ax, np.arange(count) + 0.5, groups, count > NUMBERS)
    ax.set_yticks(np.arange(count) + 0.5, [f"{name} (n = {sizes[name]:,})" for name in groups])
    ax.tick_params(length=0)
    ax.set(xlabel=f"fine-tuned on {labels} images of", ylabel="tested on", xlim=(0, count), ylim=(count, 0))
    for spine in ax.spines.values():
        spine.set_visible(False)
    draws = cells["draws"].max()
    over = f"; ±: standard deviation over {draws} draws" if draws > 1 else ""
    words = "ring: the 95 % interval covers 0; minus: a loss"
    if count <= NUMBERS:
        words = f"in brackets: the 95 % interval covers 0; hatched: a loss{over}"
    ax.set_title(words, fontsize="small", loc="left")
    return mesh


def _mark(ax, cell: tuple[int, int], gain: float, spread: float, sure: bool, reach: float, count: int) -> None:
    """Put a cell's number, or its marks, into it."""
    row, column = cell
    color = "white" if abs(gain) > 0.6 * reach else PALETTE["black"]
    if count <= NUMBERS:
        if gain < 0:
            ax.add_patch(_rectangle(column, row, 1, fill=False, hatch="////", ec=(0, 0, 0, 0.22), lw=0))
        text = f"{gain:+.1f}".replace("-", "−").replace("−0.0", "0.0").replace("+0.0", "0.0")
        text = (text if sure else f"({text})") + (f"\n±{spread:.1f}" if np.isfinite(spread) else "")
        size = 9 if count <= 6 else 7.5
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=color, fontsize=size)
        return
    if not sure:
        ax.plot(column + 0.5, row + 0.5, "o", mfc="none", mec=color, ms=5, mew=0.6)
    if gain < 0:
        ax.plot(column + 0.5, row + 0.5, "_", color=color, ms=5, mew=0.9)


def _draw_tree(ax, clusters: confusion.Clusters) -> None:
    """Draw the tree of a clustering, its leaves beside the rows of the matrix."""
    from matplotlib.ticker import MaxNLocator
    from scipy.cluster.hierarchy import dendrogram

    count = len(clusters.order)
    tree = dendrogram(clusters.linkage, no_plot=True)
    for heights, leaves in zip(tree["dcoord"], tree["icoord"], strict=True):
        ax.plot(heights, leaves, color=PALETTE["black"], lw=1.4, solid_joinstyle="miter")
    # scipy puts the first leaf at 5, the next at 15, ...; the order may be the other way round
    straight = clusters.names[tree["leaves"][0]] == clusters.order[0]
    ax.set_ylim((10 * count, 0) if straight else (0, 10 * count))
    ax.set_yticks([])
    # a height is what is missing to the largest help
    end = 1.04 * max(clusters.linkage[-1, 2], clusters.top, 0.01)
    ax.set_xlim(-0.03 * end, end)
    help = MaxNLocator(4).tick_values(clusters.top - end, clusters.top)
    help = help[(clusters.top - end <= help) & (help <= clusters.top)]
    ax.set_xticks([clusters.top - tick for tick in help], [f"{100 * tick:.0f}".replace("-", "−") for tick in help])
    ax.set_xlabel("mutual help, %\nof the human\nmodel's error")
    ax.axvline(clusters.top, color=PALETTE["black"], ls=":", lw=1)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _color_bar(mesh, axes) -> None:
    figure = mesh.axes.figure
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=22)
    bar.set_label("NME of the human model minus fine-tuned,\npoints of %; above 0: fine-tuning helps")
    bar.outline.set_visible(False)


def _names_below(ax, places: np.ndarray, names: Sequence[str], many: bool) -> None:
    angle = {"rotation": 90} if many else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(places, names, **angle)


def _side(count: int) -> float:
    """Width of a matrix of so many groups, inches."""
    return max(2.6, count * (0.86 if count <= 6 else 0.62 if count <= NUMBERS else 0.24))


def _figure(width: float, height: float, columns: int = 1, **ratios):
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", gridspec_kw=ratios)
    sns.despine(figure)
    return figure, axes


def _rectangle(x: float, y: float, side: float, **how):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), side, side, **how)

"""Two methods image by image: errors against each other, sorted differences, the images on which they differ most."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cskt import galleries
from cskt.comparison import NAMES
from cskt.data.table import Annotations, landmark_columns
from cskt.figures import PALETTE, _axes, _plain_log_ticks


def name_of(run: str, seed: int | None = None) -> str:
    """What a run is called, with its seed if one is given."""
    name = NAMES.get(run, run.replace("_", " "))
    return name if seed is None else f"{name}, seed {seed}"


def errors_against(pairs: pd.DataFrame, names: Sequence[str], ax=None):
    """Draw each image's error under one method against its error under another, on logarithmic axes.

    Args:
        pairs: by `explorer.pair`.
        names: of the first and of the second method.
        ax: where to draw.
    """
    ax = _axes(ax, 4.6, 4.4)
    better = pairs["difference"] < 0
    looks = [(better, 1, PALETTE["blue"], "o"), (~better, 0, PALETTE["vermillion"], "^")]
    for rows, who, color, marker in looks:
        ax.scatter(100 * pairs.loc[rows, "first"], 100 * pairs.loc[rows, "second"], s=12, color=color, marker=marker,
                   alpha=0.5, lw=0, label=f"{names[who]} is better ({rows.sum():,})")  # fmt: skip
    both = 100 * pairs[["first", "second"]].to_numpy()
    low, high = both[both > 0].min() / 1.15, both.max() * 1.15
    ax.plot([low, high], [low, high], color=PALETTE["black"], lw=0.8, ls="--")
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set(xlabel=f"NME of {names[0]}, %", ylabel=f"NME of {names[1]}, %")
    _plain_log_ticks(ax.xaxis)
    ax.yaxis.set_major_locator(ax.xaxis.get_major_locator().__class__(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ax.xaxis.get_major_formatter())
    ax.yaxis.set_minor_formatter(ax.xaxis.get_minor_formatter())
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def sorted_differences(pairs: pd.DataFrame, names: Sequence[str], ax=None):
    """Draw the difference of two methods' errors of every image, sorted, with its mean.

    Args:
        pairs: by `explorer.pair`.
        names: of the first and of the second method.
        ax: where to draw.
    """
    ax = _axes(ax, 5.4, 4.4)
    values = 100 * np.sort(pairs["difference"].to_numpy())
    share = 100 * (np.arange(len(values)) + 0.5) / len(values)
    for rows, color in ((values < 0, PALETTE["blue"]), (values >= 0, PALETTE["vermillion"])):
        ax.fill_between(share, values, where=rows, step="mid", color=color, alpha=0.35, lw=0)
    ax.plot(share, values, color=PALETTE["black"], lw=1, drawstyle="steps-mid")
    ax.axhline(0, color=PALETTE["black"], lw=0.6)
    mean, middle = values.mean(), np.median(values)
    ax.axhline(mean, color=PALETTE["black"], lw=1, ls="--", label=f"mean {mean:+.2f}, median {middle:+.2f} points")
    ax.set(xlabel=f"images, % (n = {len(values):,})", xlim=(0, 100))
    ax.set_ylabel(f"NME of {names[1]}\nminus that of {names[0]}, points")
    # most images differ little and a few very much
    reach = max(np.abs(np.quantile(values, [0.01, 0.99])).max(), 1e-9)
    beyond = int((np.abs(values) > 1.05 * reach).sum())
    ax.set_ylim(-1.05 * reach, 1.05 * reach)
    title = f"{beyond} images lie beyond the axis" if beyond else ""
    ax.legend(frameon=False, fontsize="small", loc="upper left", title=title, title_fontsize="small")
    ax.grid(axis="y", alpha=0.3)
    return ax


def side_by_side(truth: Annotations, pairs: pd.DataFrame, predictions: Mapping[str, pd.DataFrame], columns: int = 8):
    """Show images under two methods: the first one's landmarks above, the second one's below, errors over them.

    Args:
        truth: annotations that hold the images.
        pairs: rows of `explorer.pair`, the images to show, in this order.
        predictions: name of the first and of the second method -> its predictions of those images and others.
        columns: images side by side; further ones come in further pairs of rows.

    Returns:
        The axes, [rows, columns].
    """
    names = landmark_columns(truth.scheme)
    faces, found, titles = [], [], []
    for start in range(0, len(pairs), columns):
        shown = pairs.iloc[start : start + columns]
        table = truth.select(shown["image"]).table
        for place, (method, own) in enumerate(predictions.items()):
            # a row of its own for each method and block; the image is named by that row too, as it stands in several
            key = [f"{start}/{method}/{image}" for image in shown["image"]]
            faces.append(table.assign(image=key, method=[_wrapped(method)] * len(key), block=start + place))
            found.append(own.set_index("image").loc[shown["image"], names].assign(image=key))
            errors = shown[("first", "second")[place]]
            titles += [f"{name}, {100 * error:.1f} %" for name, error in zip(shown["species"], errors, strict=True)]
    faces = pd.concat(faces, ignore_index=True)
    tables = {"truth": faces[["image", *names]], "prediction": pd.concat(found, ignore_index=True)}
    return galleries.gallery(faces, tables, titles=titles, rows="method", columns=min(columns, len(pairs)))


def _wrapped(name: str) -> str:
    """A name in short lines, to stand beside a row of pictures."""
    return name.replace(", ", ",\n").replace(" (", "\n(")

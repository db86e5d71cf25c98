"""Curves, histograms and comparisons: every figure that is not made of pictures (those are in `galleries`).

A function takes a table or arrays and, where it draws one panel, an optional `ax`; it returns the axes. Errors come as
fractions and are drawn in percent. Colors are those of Okabe and Ito, which the color-blind tell apart; in grey, line
styles, markers and hatches do.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cskt import metrics
from cskt.comparison import GROUPS, NAMES, seed_average
from cskt.data.table import Annotations
from cskt.shapes import fit_shape

# Okabe and Ito, "Color universal design", 2008
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#7F7F7F",
}
# (color, line style, marker) of the first, second, ... series of a figure
_SERIES = [
    (PALETTE["blue"], "-", "o"),
    (PALETTE["vermillion"], "--", "s"),
    (PALETTE["green"], "-.", "^"),
    (PALETTE["purple"], ":", "D"),
    (PALETTE["orange"], (0, (6, 2, 1, 2, 1, 2)), "v"),
    (PALETTE["sky"], (0, (1, 1)), "P"),
    (PALETTE["grey"], (0, (8, 3)), "X"),
    (PALETTE["black"], (0, (3, 1, 1, 1)), "*"),
    (PALETTE["green"], (0, (1, 3)), "<"),
]
# the same in every figure: run -> its place in _SERIES
_RUNS = {
    "mean_shape": 6,
    "median_shape": 5,
    "human_model": 4,
    "few_shot": 1,
    "meta_cskt_published": 3,
    "meta_cskt_corrected": 0,
    "meta_cskt_improved": 7,
    "supervised": 2,
    "supervised_known": 8,
}
_CATEGORIES = {
    "positive": ("positive", PALETTE["blue"], ""),
    "semi_hard": ("semi-hard", PALETTE["sky"], "////"),
    "hard_negative": ("hard negative", PALETTE["vermillion"], "...."),
}
_LEAST = 1e-3  # smaller disagreements are drawn as this
_LOSSES = {
    "labeled": "labeled images",
    "imitation": "imitation (student)",
    "pseudo": "pseudo-labels (teacher)",
    "unlabeled": "unlabeled images",
    "sifted": "labels and sifted pseudo-labels",
    "consistency": "consistency with the average",
}


def losses(metrics_table: pd.DataFrame, ax=None):
    """Draw the losses of a training over its steps.

    Args:
        metrics_table: what `training.train` returns.
        ax: where to draw.
    """
    ax = _axes(ax, 6, 3.2)
    for place, name in enumerate(name for name in _LOSSES if name in metrics_table):
        color, line, _ = _SERIES[place]
        ax.plot(metrics_table["step"], metrics_table[name], color=color, ls=line, label=_LOSSES[name])
    ax.set(xlabel="step", ylabel="loss, mean of 20 steps")
    ax.margins(x=0)
    ax.legend(frameon=False)
    return ax


def training(metrics_table: pd.DataFrame):
    """Draw what is known of a training with unlabeled images, whatever its method.

    Args:
        metrics_table: what `training.train` returns; of Meta-CSKT, `meta_training` draws it.

    Returns:
        The axes: losses, and below them every other column (of the methods here: shares of the pseudo-labels).
    """
    if {"gain", "feedback", "pool"} <= set(metrics_table):
        return meta_training(metrics_table)
    others = [name for name in metrics_table if name not in _LOSSES and name not in ("step", "lr", "seconds")]
    if not others:
        return losses(metrics_table)
    _, axes = _figure(2, 1, 6.5, 4.5, sharex=True, height_ratios=[3, 1.5])
    losses(metrics_table, axes[0]).set(xlabel="")
    for place, name in enumerate(others):
        color, line, _ = _SERIES[place % len(_SERIES)]
        axes[1].plot(metrics_table["step"], metrics_table[name], color=color, ls=line, label=_name(name))
    axes[1].set(xlabel="step", ylabel="share", ylim=(0, 1))
    axes[1].legend(frameon=False)
    return axes


def meta_training(metrics_table: pd.DataFrame):
    """Draw losses, feedback and pool of a Meta-CSKT training, one below the other.

    Args:
        metrics_table: what `training.train` returns.

    Returns:
        The three axes.
    """
    _, axes = _figure(3, 1, 6.5, 6, sharex=True, height_ratios=[3, 3, 1.5])
    losses(metrics_table, axes[0]).set(xlabel="")
    step = metrics_table["step"]
    axes[1].axhline(0, color=PALETTE["black"], lw=0.6)
    axes[1].plot(step, metrics_table["gain"], color=PALETTE["blue"], label="gain of the student's step (loss)")
    axes[1].plot([], [], color=PALETTE["vermillion"], ls="--", label="feedback to the teacher (right axis)")
    axes[1].set_ylabel("gain, loss units")
    axes[1].legend(frameon=False)
    right = axes[1].twinx()
    right.plot(step, metrics_table["feedback"], color=PALETTE["vermillion"], ls="--")
    right.set_ylabel("feedback, a factor")
    right.spines["top"].set_visible(False)
    _align_zero(axes[1], right)
    axes[2].step(step, metrics_table["pool"], where="pre", color=PALETTE["green"])
    axes[2].set(xlabel="step", ylabel="pseudo-\nlabels", ylim=(0, None))
    return axes


def cumulative_error(scores: pd.DataFrame, by: str | None = None, limit: float = 0.2, ax=None):
    """Draw the share of images whose error is at most x.

    Args:
        scores: one row per image with nme; with a column seed, the line is the mean over seeds and a band goes from
            the lowest to the highest seed.
        by: the column whose values are one line each (run, group).
        limit: the largest x, a fraction.
        ax: where to draw.
    """
    parts = [("all images", scores)] if by is None else list(scores.groupby(by, sort=False))
    beside = len(parts) > 3  # the legend of many lines would lie upon them
    ax = _axes(ax, 8.5 if beside else 5.5, 4)
    for place, (name, part) in enumerate(parts):
        color, line, _ = _style(name, place)
        seeds = [own["nme"].to_numpy(float) for _, own in part.groupby("seed")] if "seed" in part else None
        seeds = seeds or [part["nme"].to_numpy(float)]
        curves = [metrics.cumulative_error(errors, limit) for errors in seeds]
        x, shares = 100 * curves[0][0], 100 * np.array([share for _, share in curves])
        area = np.mean([metrics.auc(errors, limit) for errors in seeds])
        size = f"n = {np.isfinite(seeds[0]).sum():,}" + (f" × {len(seeds)} seeds" if len(seeds) > 1 else "")
        ax.plot(x, shares.mean(axis=0), color=color, ls=line, label=f"{_name(name)} ({size}, AUC {area:.2f})")
        if len(seeds) > 1:
            ax.fill_between(x, shares.min(axis=0), shares.max(axis=0), color=color, alpha=0.15, lw=0)
    ax.set(xlabel="NME, % of √(w·h)", ylabel="images with at most this NME, %", xlim=(0, 100 * limit), ylim=(0, 100))
    ax.grid(alpha=0.3)
    place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if beside else {"loc": "best", "framealpha": 0.8}
    ax.legend(fontsize="small", edgecolor="none", **place)
    return ax


def error_by(scores: pd.DataFrame, by: str = "species", order: Sequence[str] = (), most: int = 40, ax=None):
    """Draw the mean error of each species (or family) with its 95 % interval over images.

    Args:
        scores: a scores table, or a long one: each run is one series, its errors averaged over seeds.
        by: the column that tells the groups.
        order: groups that come first, from above; the others follow from the lowest mean error of the last run to the
            highest.
        most: of more groups than these only the first and the last are drawn, and the title says so.
        ax: where to draw.
    """
    averaged = seed_average(scores)
    runs = list(averaged.groupby("run", sort=False)) if "run" in averaged else [("", averaged)]
    means = runs[-1][1].groupby(by)["nme"].mean().sort_values()
    groups = [name for name in order if name in means] + [name for name in means.index if name not in order]
    order = groups if len(groups) <= most else groups[: most // 2] + groups[-(most // 2) :]
    ax = _axes(ax, 6, 1.2 + len(order) * (0.14 + 0.085 * len(runs)))
    for place, (run, part) in enumerate(runs):
        color, _, marker = _style(run, place)
        offset = (place - (len(runs) - 1) / 2) * 0.7 / len(runs)
        rows = [_interval(part.loc[part[by] == name, "nme"]) for name in order]
        _dots(ax, rows, np.arange(len(order)) + offset, color, marker, _name(run))
    sizes = averaged[averaged["nme"].notna()].groupby(by)["image"].nunique()
    unknown = set(scores.loc[scores["group"] == "unknown", by]) if "group" in scores else set()
    names = [f"{_name(name)}, unknown" if name in unknown else _name(name) for name in order]
    labels = [f"{shown} (n = {sizes.get(name, 0):,})" for shown, name in zip(names, order, strict=True)]
    ax.set_yticks(range(len(order)), labels)
    for line in range(1, len(order)):
        ax.axhline(line - 0.5, color=PALETTE["grey"], lw=0.3)
    ax.set(xlabel="NME, % of √(w·h): mean and 95 % interval", xlim=(0, None), ylim=(len(order) - 0.5, -0.5))
    if len(order) < len(groups):
        ax.set_title(f"first and last {most // 2} of {len(groups)} {by} groups", fontsize="medium")
    ax.grid(axis="x", alpha=0.3)
    if len(runs) > 1:
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def disagreements(table: pd.DataFrame, t_pos: float, t_neg: float):
    """Draw how many images have how large a disagreement, with the two thresholds.

    Args:
        table: one row per unlabeled image: human_disagreement, flip_disagreement, category.
        t_pos, t_neg: the thresholds.

    Returns:
        The two axes.
    """
    figure, axes = _figure(1, 2, 9, 3.6, sharey=True)
    counts = table["category"].value_counts()
    order = [name for name in _CATEGORIES if name in counts]
    limits = {
        "human": ("T_pos", t_pos, "human and animal model", "left"),
        "flip": ("T_neg", t_neg, "image and mirror image", "right"),
    }
    for ax, (kind, (threshold, value, what, side)) in zip(axes, limits.items(), strict=True):
        values = table[f"{kind}_disagreement"]
        # a logarithmic axis has no zero
        percent, line = 100 * values.clip(lower=_LEAST), 100 * max(value, _LEAST)
        edges = _log_edges(percent, line)
        bottom = np.zeros(len(edges) - 1)
        for name in order:
            label, color, hatch = _CATEGORIES[name]
            height, _ = np.histogram(percent[table["category"] == name], edges)
            ax.bar(edges[:-1], height, np.diff(edges), bottom, align="edge", color=color, hatch=hatch, ec="white",
                   lw=0.3, label=f"{label} ({counts[name]:,})")  # fmt: skip
            bottom += height
        below = (values < value).sum()
        text = f"{threshold} = {100 * value:g} %\n{below:,} below, {len(table) - below:,} not"
        ax.axvline(line, color=PALETTE["black"], ls="--", lw=1.2)
        ax.annotate(text, (line, 1), xycoords=("data", "axes fraction"), xytext=(4 if side == "left" else -4, -3),
                    textcoords="offset points", va="top", ha=side, fontsize="small")  # fmt: skip
        ax.set(xscale="log", xlabel=f"disagreement of {what}, % of √(w·h)", xlim=(None, max(edges[-1], 2 * line)))
        _plain_log_ticks(ax.xaxis)
    axes[0].set_ylabel(f"images (of {len(table):,})")
    axes[0].set_ylim(0, axes[0].get_ylim()[1] * 1.2)
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=len(order))
    return axes


def box_sizes(faces: dict[str, Annotations], ax=None):
    """Draw how large the face boxes of each role are, as cumulative distributions.

    Args:
        faces: role -> its annotations.
        ax: where to draw.
    """
    ax = _axes(ax, 5.5, 3.4)
    for place, (role, own) in enumerate(faces.items()):
        color, line, _ = _SERIES[place % len(_SERIES)]
        size = np.sort(own.norm)
        share = 100 * np.arange(1, len(size) + 1) / len(size)
        ax.step(size, share, where="post", color=color, ls=line, label=f"{_name(role)} (n = {len(size):,})")
    ax.set(xscale="log", xlabel="√(w·h) of the face box, image pixels", ylabel="images with at most this, %")
    ax.set_ylim(0, 100)
    _plain_log_ticks(ax.xaxis)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small")
    return ax


def mean_shape(faces: Annotations, ax=None):
    """Draw the places of all landmarks in the face box, and their mean: the shape that knows the box only.

    Args:
        faces: whose landmarks they are.
        ax: where to draw.
    """
    ax = _axes(ax, 7, 4.2)
    places = (faces.landmarks - faces.boxes[:, None, :2]) / faces.boxes[:, None, 2:]
    mean = fit_shape(faces.landmarks, faces.boxes)
    for k, name in enumerate(faces.scheme.landmarks):
        # color and marker get out of step after the last series, so that many landmarks have looks of their own
        color, marker = _SERIES[k % len(_SERIES)][0], _SERIES[(k + k // len(_SERIES)) % len(_SERIES)][2]
        seen = np.isfinite(places[:, k]).all(axis=-1).sum()
        ax.scatter(*places[:, k].T, s=9, color=color, marker=marker, alpha=0.35, lw=0)
        ax.plot(*mean[k], color=color, marker=marker, ms=9, mec="white", mew=1.5, ls="",
                label=f"{name.replace('_', ' ')} (n = {seen:,})")  # fmt: skip
    ax.add_patch(_rectangle((0, 0), 1, 1))
    ax.set(xlabel="x, share of the box's width", ylabel="y, share of the box's height", aspect="equal")
    ax.set(xlim=(-0.1, 1.1), ylim=(1.1, -0.1))
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), title="mean of")
    return ax


def comparison(results: pd.DataFrame, scores: pd.DataFrame):
    """Draw the error of each method with its interval and its seeds, one panel for known and one for unknown species.

    Args:
        results: by `comparison.compare` or `comparison.against`; a run whose nme is NaN is a gap.
        scores: the long scores table it was made from.

    Returns:
        The axes, one for each group.
    """
    groups = [name for name in GROUPS if name in set(results["group"])]
    groups = groups[1:] if len(groups) > 2 else groups[:1]
    runs = list(results["run"].unique())
    each_seed = ";\nbelow it, each seed" if scores.groupby("run")["seed"].nunique().max() > 1 else ""
    _, axes = _figure(1, len(groups), 3 + 3.2 * len(groups), 1.1 + 0.36 * len(runs), sharey=True, sharex=True)
    for ax, group in zip(np.atleast_1d(axes), groups, strict=True):
        own = results[results["group"] == group].set_index("run")
        part = scores if group == "all" else scores[scores["group"] == group]
        by_seed = part.groupby(["run", "seed"])["nme"].mean()
        for row, run in enumerate(runs):
            # grey for all that have no look of their own
            color, _, marker = _style(run, _RUNS["mean_shape"])
            middle, low, high = own.loc[run, ["nme", "nme_low", "nme_high"]]
            if np.isnan(middle):
                ax.annotate("not run", (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize="small",
                            color=PALETTE["grey"])  # fmt: skip
                continue
            _dots(ax, [(middle, low, high)], [row], color, marker, "")
            each = 100 * by_seed[run].to_numpy()
            if len(each) > 1:
                ax.plot(each, np.full(len(each), row + 0.28), "|", color=color, ms=6, mew=1.2)
            ax.annotate(f"{100 * middle:.1f}", (100 * middle, row), xytext=(0, 5), textcoords="offset points",
                        ha="center", fontsize="small")  # fmt: skip
        ax.set_title(f"{group} species (n = {own['images'].max():,.0f})")
        ax.set_xlabel(f"NME, % of √(w·h): mean, 95 % interval{each_seed}")
        ax.set_yticks(range(len(runs)), [_name(run) for run in runs])
        ax.set_ylim(len(runs) - 0.4, -0.6)
        ax.grid(axis="x", alpha=0.3)
    np.atleast_1d(axes)[0].set_xlim(0, None)
    return np.atleast_1d(axes)


def _figure(rows: int, columns: int, width: float, height: float, **kwargs):
    """A figure in inches and its axes, without frames at the top and right."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    ratios = {"height_ratios": kwargs.pop("height_ratios")} if "height_ratios" in kwargs else {}
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained",
                                gridspec_kw=ratios, **kwargs)  # fmt: skip
    sns.despine(figure)
    return figure, axes


def _axes(ax, width: float, height: float):
    """The given axes, or new ones of a size in inches."""
    return _figure(1, 1, width, height)[1] if ax is None else ax


def _name(name: str) -> str:
    """What a run, role or group is called in a figure."""
    return NAMES.get(name, str(name).replace("_", " "))


def _style(name: str, place: int) -> tuple:
    """Color, line style and marker of a run, or of the series at a place of its figure."""
    return _SERIES[_RUNS.get(name, place % len(_SERIES))]


def _interval(errors: pd.Series) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval; of a single image, no interval."""
    errors = errors.dropna().to_numpy()
    if len(errors) == 0:
        return np.nan, np.nan, np.nan
    mean = errors.mean()
    return (mean, *metrics.bootstrap_interval(errors, rng=0)) if len(errors) > 1 else (mean, mean, mean)


def _dots(ax, rows: list[tuple[float, float, float]], places, color, marker: str, label: str) -> None:
    """Draw (mean, low, high), as fractions, as dots with bars at the given heights."""
    middle, low, high = 100 * np.array(rows, dtype=float).T
    ax.errorbar(middle, places, xerr=[middle - low, high - middle], fmt=marker, color=color, ms=5, lw=1.4, capsize=2,
                label=label or None)  # fmt: skip


def _log_edges(values: pd.Series, through: float, per_decade: int = 16) -> np.ndarray:
    """Bin edges even on a log scale that cover the values, one of them at `through`."""
    low, high = (np.log10([values.min(), values.max()]) - np.log10(through)) * per_decade
    return through * 10 ** (np.arange(np.floor(low), np.floor(high) + 2) / per_decade)


def _plain_log_ticks(axis) -> None:
    """Write 0.5, 1, 2, 5, 10 at a logarithmic axis, `ax.xaxis` or `ax.yaxis`."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _align_zero(left, right) -> None:
    """Put the zeros of two y axes at the same height."""
    for ax in (left, right):
        reach = max(map(abs, ax.get_ylim()))
        ax.set_ylim(-reach, reach)


def _rectangle(corner: tuple[float, float], width: float, height: float):
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, fill=False, ec=PALETTE["black"], lw=1)

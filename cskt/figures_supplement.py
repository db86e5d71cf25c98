"""The figures of the paper's supplement, each with ours beside what was published.

A function takes tables and returns the axes of a new figure. Errors come as fractions and are drawn in percent; what
has not run is a panel that says so.
"""

import numpy as np
import pandas as pd

from cskt.figures import PALETTE
from cskt.figures_print import COLUMN, NME, PAGE, PUBLISHED, SMALLEST, gap, panels
from cskt.tables import mathtext

_GROUPS = {"known": (PALETTE["blue"], "-", "o"), "unknown": (PALETTE["vermillion"], "--", "s")}
_CLASSES = {"easy": (PALETTE["green"], "-", "^"), "medium": (PALETTE["orange"], "--", "D"),
            "hard": (PALETTE["purple"], ":", "v")}  # fmt: skip


def label_budget(published: pd.DataFrame, ours: pd.DataFrame | None):
    """Draw the error over the number of labeled images, for easy, medium and hard species (supplement, Fig. 1).

    Args:
        published: class x number of images (fractions).
        ours: one row per class and number: easy, medium or hard (difficulty), labels, nme, nme_low, nme_high; None if
            it has not run.

    Returns:
        The two axes.
    """
    figure, axes = panels(1, 2, COLUMN, 2.2)
    for name, row in published.iterrows():
        color, line, marker = _CLASSES[name]
        axes[0].plot(row.index.astype(int), 100 * row, color=color, ls=line, marker=marker, mfc="white", label=name)
    axes[0].set(title="published", ylabel=NME)
    axes[1].set_title("ours")
    if ours is None or ours.empty:
        gap(axes[1])
    else:
        for name, own in ours.groupby("difficulty", sort=False):
            color, line, marker = _CLASSES[name]
            middle, low, high = 100 * own[["nme", "nme_low", "nme_high"]].to_numpy(float).T
            axes[1].errorbar(own["labels"], middle, yerr=[middle - low, high - middle], color=color, ls=line,
                             marker=marker, capsize=1.8, elinewidth=0.8)  # fmt: skip
    numbers = published.columns.astype(int)
    for ax in axes[: 1 if ours is None or ours.empty else 2]:
        ax.set_xscale("log", base=2)
        ax.set_xticks(numbers, [str(number) for number in numbers])
        ax.minorticks_off()
        ax.set_xlabel("labeled images")
        ax.grid(axis="y", alpha=0.35)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return axes


def sweep(published: pd.DataFrame, ours: pd.DataFrame | None, threshold: str, counted: str):
    """Draw the error over a threshold, and how many images it excludes or includes (supplement, Figs. 2 and 4).

    Args:
        published: index the thresholds (text), columns known, unknown (fractions) and images.
        ours: one row per group and threshold: group, value, nme, nme_low, nme_high, images and of (how many of how
            many unlabeled ones); None if it has not run.
        threshold: "T_neg" or "T_pos".
        counted: "excluded" or "included".

    Returns:
        The axes, [2, 2]: published at the left, ours at the right; errors above, images below.
    """
    figure, axes = panels(2, 2, PAGE, 3.0, height_ratios=[1.6, 1], sharex="col")
    place = np.arange(len(published))
    for group, (color, line, marker) in _GROUPS.items():
        axes[0, 0].plot(place, 100 * published[group], color=color, ls=line, marker=marker, mfc="white",
                        label=f"{group} species")  # fmt: skip
    _bars(axes[1, 0], place, published["images"], counted)
    axes[0, 0].set(title="published, AnimalWeb", ylabel=NME)
    axes[1, 0].set_xticks(place, [f"{100 * float(value):g}" for value in published.index])
    axes[0, 1].set_title("ours, with 95 % intervals over images")
    if ours is None or ours.empty:
        gap(axes[0, 1])
        gap(axes[1, 1])
    else:
        values = sorted(ours["value"].unique(), reverse=threshold == "T_neg")
        where = {value: k for k, value in enumerate(values)}
        for group, own in ours.groupby("group", sort=False):
            color, line, marker = _GROUPS[group]
            middle, low, high = 100 * own[["nme", "nme_low", "nme_high"]].to_numpy(float).T
            shift = 0.06 if group == "unknown" else -0.06
            spots = np.array([where[value] for value in own["value"]])
            order = np.argsort(spots)
            bars = [(middle - low)[order], (high - middle)[order]]
            axes[0, 1].errorbar(spots[order] + shift, middle[order], yerr=bars, color=color, ls=line, marker=marker,
                                capsize=1.8, elinewidth=0.8)  # fmt: skip
        counts = ours.groupby("value")[["images", "of"]].first().loc[values]
        _bars(axes[1, 1], np.arange(len(values)), counts["images"], counted)
        axes[1, 1].set_ylabel(f"{counted}\nof {counts['of'].iloc[0]:,.0f}")
        axes[1, 1].set_xticks(range(len(values)), [f"{100 * value:g}" for value in values])
    for ax in axes[0]:
        ax.grid(axis="y", alpha=0.35)
    for ax in axes[1, : 1 if ours is None or ours.empty else 2]:
        ax.set_xlabel(mathtext(f"{threshold}, % of √(w·h)"))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return axes


def family_shares(shares: pd.DataFrame | None, published: pd.DataFrame, threshold: str, counted: str):
    """Draw which share of each family a threshold excludes or includes (supplement, Figs. 3 and 5).

    Args:
        shares: family x threshold, the families from the human-like to the far (fractions); None if it has not run.
        published: index the thresholds (text), column highest_share: of the family with the highest (fractions).
        threshold: "T_neg" or "T_pos".
        counted: "excluded" or "included".

    Returns:
        The axes: ours, one line per family, and below it the highest share of ours and of the published ones.
    """
    from matplotlib.ticker import MaxNLocator

    count = 5 if shares is None else len(shares)
    _, axes = panels(2, 1, COLUMN, 1.5 + 0.17 * count, height_ratios=[max(count, 3), 3])
    axes[0].set_title(f"share of each family {counted}, %")
    if shares is None or shares.empty:
        gap(axes[0])
    else:
        axes[0].imshow(shares.to_numpy(float), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(shares.shape):
            value = shares.iloc[row, column]
            axes[0].text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=SMALLEST,
                         color="white" if value > 0.6 else PALETTE["black"])  # fmt: skip
        axes[0].set_xticks(range(shares.shape[1]), [f"{100 * value:g}" for value in shares.columns])
        axes[0].set_yticks(range(len(shares)), shares.index)
        axes[0].tick_params(length=0)
        for side in axes[0].spines.values():
            side.set_visible(False)
        axes[1].plot(100 * shares.columns.to_numpy(float), 100 * shares.max(), color=PALETTE["blue"], marker="o",
                     label="ours")  # fmt: skip
    axes[1].plot(100 * published.index.astype(float), 100 * published["highest_share"], color=PALETTE["grey"], ls="--",
                 label="published", **PUBLISHED)  # fmt: skip
    if threshold == "T_neg":
        axes[1].invert_xaxis()
    axes[1].set(xlabel=mathtext(f"{threshold}, % of √(w·h)"), ylabel="highest\nshare, %", ylim=(-4, 104))
    axes[1].xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    axes[1].grid(alpha=0.35)
    axes[1].figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return axes


def _bars(ax, place: np.ndarray, counts: pd.Series, counted: str) -> None:
    ax.bar(place, counts.fillna(0), width=0.6, color=PALETTE["sky"], ec=PALETTE["black"], lw=0.5)
    for x, count in zip(place, counts, strict=True):
        text, height = ("few", 0) if np.isnan(count) else (f"{count:,.0f}", count)
        ax.annotate(text, (x, height), xytext=(0, 1.5), textcoords="offset points", ha="center", va="bottom",
                    fontsize=SMALLEST)  # fmt: skip
    ax.set(ylabel=f"{counted}\nimages", ylim=(0, 1.25 * max(counts.max(), 1)))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)

"""The figures of the paper's README and slides, each with ours beside what was published.

A function takes tables and returns the axes of a new figure. Errors come as fractions and are drawn in percent.
Published numbers are hollow and grey where they share a panel with ours; what has not run is a panel that says so.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cskt.confusion import five
from cskt.figures import PALETTE
from cskt.figures_print import NME, PAGE, PUBLISHED, SMALLEST, gap, panels
from cskt.tables import mathtext

# of the two curves of Fig. 1a and the line to hold them against; the names are those of cskt.confusion
_MODELS = {
    "human_model": (PALETTE["orange"], "-", "human model"),
    "random": (PALETTE["blue"], "--", "fine-tuned on random images"),
    "mean_shape": (PALETTE["grey"], ":", "mean shape in the box (ours only)"),
}
NAMED = 16  # of more families the names and numbers would stand on each other


# --- tables as figures ------------------------------------------------------------------------------------------------


def beside(table: pd.DataFrame, columns: Mapping[str, str], published_on: str = "AnimalWeb"):
    """Draw a table of published and own errors: one line per method, one panel per column.

    Args:
        table: by `paper.side_by_side`.
        columns: its columns -> the panels' titles.
        published_on: the data set of the published numbers.

    Returns:
        The axes, one per column.
    """
    figure, axes = panels(1, len(columns), PAGE, 0.75 + 0.19 * len(table), sharey=True)
    lines = np.arange(len(table))
    for ax, (column, title) in zip(axes, columns.items(), strict=True):
        own = 100 * table[[column, f"{column}_low", f"{column}_high"]].to_numpy(float)
        if f"published_{column}" in table:
            ax.plot(100 * table[f"published_{column}"], lines, ls="", label=f"published, {published_on}", **PUBLISHED)
        middle, low, high = own.T
        ax.errorbar(middle, lines, xerr=[middle - low, high - middle], fmt="o", color=PALETTE["blue"], ms=4, lw=1.1,
                    capsize=1.8, label="ours, with 95 % interval over images")  # fmt: skip
        empty = np.isnan(middle).all() and f"published_{column}" not in table
        if empty:
            ax.set_xticks([])
            ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", va="center", color=PALETTE["grey"],
                    style="italic")  # fmt: skip
        for line in [] if empty else lines[np.isnan(middle) & (table["run"] != "").to_numpy()]:
            ax.annotate("not run", (1, line), xycoords=("axes fraction", "data"), ha="right", va="center",
                        color=PALETTE["grey"], fontsize=SMALLEST, style="italic")  # fmt: skip
        ax.set_title(title)
        ax.set(xlabel=NME, ylim=(len(table) - 0.5, -0.5))
        ax.margins(x=0.08)
        ax.grid(axis="x", alpha=0.35)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(lines, [mathtext(name) for name in table.index])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return axes


# --- Fig. 1 -----------------------------------------------------------------------------------------------------------


def family_curves(published: pd.DataFrame, ours: pd.DataFrame | None, named: Mapping[int, str] | None = None):
    """Draw the error of every family, sorted by the human model's: before and after fine-tuning (Fig. 1a).

    Args:
        published: columns human_model and fine_tuned, one row per family (fractions).
        ours: one row per model and family, in the order of the human model's error: model ("human_model", "random",
            "mean_shape"), tested, nme, lowest and highest (of the draws); None if it has not run.
        named: number of a published family -> its name.

    Returns:
        The two axes.
    """
    figure, axes = panels(1, 2, PAGE, 2.5, width_ratios=[1.15, 1])
    ax = axes[0]
    place = np.arange(len(published))
    for model, (color, line, _) in list(_MODELS.items())[:2]:
        ax.plot(place, 100 * published["fine_tuned" if model == "random" else model], color=color, ls=line)
    for number, name in (named or {}).items():
        first = number < 0.1 * len(published)  # it would stand on the axis
        ax.annotate(name, (number, 100 * published["human_model"].iloc[number]), fontsize=SMALLEST,
                    xytext=(3, 40) if first else (-3, 10), ha="left" if first else "right", textcoords="offset points",
                    arrowprops={"arrowstyle": "-", "lw": 0.5, "shrinkA": 0, "shrinkB": 1})  # fmt: skip
    ax.set(xlabel=f"family, of {len(published)}", ylabel=NME, ylim=(0, None), title="published, AnimalWeb (digitized)")
    ax.margins(x=0.02)
    ax.grid(axis="y", alpha=0.35)
    _our_families(axes[1], ours)
    handles = [ax.plot([], [], color=color, ls=line, label=label)[0] for color, line, label in _MODELS.values()]
    figure.legend(handles=handles[: 2 if ours is None else 3], loc="outside lower center", ncols=3)
    return axes


def _our_families(ax, ours: pd.DataFrame | None) -> None:
    ax.set_title("ours")
    if ours is None or ours.empty:
        return gap(ax)
    names = list(ours["tested"].unique())
    for model, (color, line, _) in _MODELS.items():
        own = ours[ours["model"] == model]
        if own.empty:
            continue
        place = own["tested"].map(names.index)
        ax.plot(place, 100 * own["nme"], color=color, ls=line, marker="o" if len(names) <= NAMED else "", ms=2.8)
        if (own["highest"] > own["lowest"]).any():
            ax.fill_between(place, 100 * own["lowest"], 100 * own["highest"], color=color, alpha=0.2, lw=0)
    ax.set(ylabel=NME, ylim=(0, None))
    if len(names) > NAMED:
        ax.set_xlabel(f"family, of {len(names)}")
    else:
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.margins(x=0.03)
    ax.grid(axis="y", alpha=0.35)


def family_gains(published: pd.DataFrame, ours: pd.DataFrame | None):
    """Draw who helps whom: the human model's error minus that of the model fine-tuned on a family (Fig. 1b).

    Args:
        published: tested family x fine-tuned family (fractions).
        ours: one row per cell: tested, tuned, gain, verdict ("unclear" where the interval covers 0); None if not run.
            Of more than `NAMED` families five are drawn (`confusion.five`); the whole is in 03_species_confusion.

    Returns:
        The two axes.
    """
    matrix, unclear, some = None, None, ""
    if ours is not None and len(ours):
        order = list(ours["tested"].unique())
        if len(order) > NAMED:
            order, some = five(order), f", five of {len(order)}"
        matrix = ours.pivot_table(index="tested", columns="tuned", values="gain").loc[order, order]
        verdicts = ours.pivot(index="tested", columns="tuned", values="verdict").loc[order, order]
        unclear = (verdicts == "unclear").to_numpy()
    reach = max(np.nanmax(np.abs(published)), 0 if matrix is None else np.nanmax(np.abs(matrix)))
    size = 5 if matrix is None else len(matrix)
    figure, axes = panels(1, 2, PAGE, max(2.5, 1.1 + 0.24 * size), width_ratios=[5, max(5, size)])
    image = _heat(axes[0], published, reach, digits=0 if size > 8 else 1)
    axes[0].set_title("published, AnimalWeb (quantized colors, ± 2)")
    axes[1].set_title(f"ours{some}; in brackets: the interval covers 0")
    if matrix is None:
        gap(axes[1])
    else:
        _heat(axes[1], matrix, reach, unclear, digits=0 if size > 8 else 1)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.01)
    bar.set_label("gain over the human model,\npoints of NME (below 0: a loss)")
    bar.outline.set_linewidth(0.6)
    return axes


def _heat(ax, matrix: pd.DataFrame, reach: float, unclear: np.ndarray | None = None, digits: int = 1):
    image = ax.imshow(100 * matrix.to_numpy(float), cmap="PiYG", vmin=-100 * reach, vmax=100 * reach, aspect="auto")
    for row, column in np.ndindex(matrix.shape):
        value = 100 * matrix.iloc[row, column]
        text = f"{value:+.{digits}f}".replace("-", "−") if round(abs(value), digits) else "0"
        text = f"({text})" if unclear is not None and unclear[row, column] else text
        ax.text(column, row, text, ha="center", va="center", fontsize=SMALLEST,
                color="white" if abs(value) > 75 * reach else PALETTE["black"])  # fmt: skip
    ax.set_xticks(range(matrix.shape[1]), matrix.columns, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(matrix.shape[0]), matrix.index)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set(xlabel="fine-tuned on", ylabel="tested on")
    return image


# --- what contradicts itself ------------------------------------------------------------------------------------------


def contradictions(plateaus: Sequence[float], differences: pd.DataFrame, margins: pd.DataFrame, rule: pd.DataFrame):
    """Draw what the released tables say against the paper: batch means, better baselines, boxes made of landmarks.

    Args:
        plateaus: the first values of a "per-image" file, in its order (fractions).
        differences: by `released.against`.
        margins, rule: by `released.box_margins` and `released.box_rule`.

    Returns:
        The three axes; those of tables that are absent say so.
    """
    _, axes = panels(1, 3, PAGE, 2.35, width_ratios=[1, 1.25, 1])
    axes[0].set_title("a “per-image” file")
    if len(plateaus):
        axes[0].plot(np.arange(1, len(plateaus) + 1), 100 * np.asarray(plateaus), ".", ms=2.5, color=PALETTE["blue"])
        axes[0].set(xlabel="row of the file", ylabel=NME)
        axes[0].grid(axis="y", alpha=0.35)
    else:
        gap(axes[0], "file absent")
    axes[1].set_title("same images: file minus Meta-CSKT's")
    if len(differences):
        own = differences.sort_values("difference", ascending=False, ignore_index=True)
        axes[1].axvline(0, color=PALETTE["black"], lw=0.7)
        for line, row in own.iterrows():
            color = PALETTE["vermillion"] if row["difference"] < 0 else PALETTE["grey"]
            axes[1].errorbar(100 * row["difference"], line, xerr=196 * row["standard_error"], fmt="o", color=color,
                             capsize=1.8)  # fmt: skip
        axes[1].set_yticks(
            range(len(own)), [name.removeprefix("test_40_").removesuffix("_pre") for name in own["file"]]
        )
        axes[1].set(xlabel="NME, points, 95 % over batches", ylim=(len(own) - 0.5, -0.5))
        axes[1].grid(axis="x", alpha=0.35)
    else:
        gap(axes[1], "files absent")
    axes[2].set_title("boxes follow from landmarks")
    if len(rule):
        for side, color, marker in (("left", PALETTE["blue"], "o"), ("top", PALETTE["orange"], "^")):
            own = margins[(margins["side"] == side) & ~margins["cut"].astype(bool)]
            share, pixels = rule.set_index("side").loc[side, ["share", "pixels"]]
            axes[2].plot(own["extent"], own["margin"], marker, ms=2, alpha=0.35, mew=0, color=color, rasterized=True)
            ends = np.array([0, own["extent"].max()])
            axes[2].plot(ends, share * ends + pixels, color=color, ls="-", lw=0.9,
                         label=f"{side}: {share:.2f} × extent + {pixels:.1f}")  # fmt: skip
        axes[2].set(xlabel="extent of the landmarks, px", ylabel="margin of the box, px", ylim=(-250, None))
        axes[2].set_yticks([tick for tick in axes[2].get_yticks() if 0 <= tick <= axes[2].get_ylim()[1]])
        axes[2].legend(loc="lower right", handlelength=1.2, borderaxespad=0)
    else:
        gap(axes[2], "landmarks absent")
    return axes

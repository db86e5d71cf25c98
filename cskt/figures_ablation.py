"""Figures of ablations and sweeps: what each part adds, what each removal costs, what thresholds and budgets do.

As in `figures`: a function takes tables with errors as fractions, draws percent, and returns the axes. A run that is
not there is a gap: its row or point stays empty.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cskt.budget import CLASSES
from cskt.comparison import GROUPS
from cskt.figures import _SERIES, PALETTE, _axes, _dots, _figure, _name

_GAP = "not run"
_GROUP_STYLES = dict(zip(GROUPS, (_SERIES[2], _SERIES[0], _SERIES[1]), strict=True))


def ladder(rows: pd.DataFrame, names: Mapping[str, str] | None = None):
    """Draw the error of each row of an ablation, one below the other, and by how much it differs from the row above.

    Args:
        rows: by `comparison.ladder`.
        names: what runs are called here, where it is not their usual name.

    Returns:
        The axes, one for each group.
    """
    groups, runs = _groups(rows), list(rows["run"].unique())
    _, axes = _figure(1, len(groups), 2.6 + 4.2 * len(groups), 1.1 + 0.5 * len(runs), sharey=True, sharex=True)
    for ax, group in zip(np.atleast_1d(axes), groups, strict=True):
        own = rows[rows["group"] == group].set_index("run").loc[runs]
        color, _, marker = _GROUP_STYLES[group]
        for place, row in enumerate(own.itertuples()):
            if np.isnan(row.nme):
                ax.annotate(_GAP, (0.02, place), xycoords=("axes fraction", "data"), va="center", fontsize="small",
                            color=PALETTE["grey"])  # fmt: skip
                continue
            _dots(ax, [(row.nme, row.nme_low, row.nme_high)], [place], color, marker, "")
            ax.annotate(f"{100 * row.nme:.2f}", (100 * row.nme, place), xytext=(0, 5), textcoords="offset points",
                        ha="center", fontsize="small")  # fmt: skip
            if not np.isnan(row.difference):
                ax.annotate(_difference(row), (1.01, place - 0.5), xycoords=("axes fraction", "data"), va="center",
                            fontsize="x-small")  # fmt: skip
        ax.set_title(_title(own, group))
        ax.set_xlabel("NME, % of √(w·h): mean, 95 % interval;\nright: paired difference to the row above")
        ax.grid(axis="x", alpha=0.3)
    first = np.atleast_1d(axes)[0]
    first.set_yticks(range(len(runs)), [(names or {}).get(run, _name(run)) for run in runs])
    first.set_ylim(len(runs) - 0.5, -0.7)
    return np.atleast_1d(axes)


def differences(rows: pd.DataFrame, names: Mapping[str, str] | None = None):
    """Draw by how much each run's error differs from its reference's; filled where the interval does not hold 0.

    Args:
        rows: by `comparison.against`, all with the same reference.
        names: what runs are called here, where it is not their usual name.

    Returns:
        The axes, one for each group.
    """
    groups, runs = _groups(rows), list(rows["run"].unique())
    _, axes = _figure(1, len(groups), 2.6 + 3.4 * len(groups), 1.2 + 0.32 * len(runs), sharey=True, sharex=True)
    for ax, group in zip(np.atleast_1d(axes), groups, strict=True):
        own = rows[rows["group"] == group].set_index("run").loc[runs]
        color, _, marker = _GROUP_STYLES[group]
        ax.axvline(0, color=PALETTE["black"], lw=0.8)
        for place, row in enumerate(own.itertuples()):
            if np.isnan(row.difference):
                ax.annotate(_GAP, (0, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize="small",
                            color=PALETTE["grey"])  # fmt: skip
                continue
            middle, low, high = 100 * np.array([row.difference, row.difference_low, row.difference_high])
            ax.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt=marker, color=color, ms=5, lw=1.4,
                        capsize=2, mfc=color if low * high > 0 else "white")  # fmt: skip
        ax.set_title(_title(own, group))
        reference = _name(rows["reference"].iloc[0])
        ax.set_xlabel(f"NME minus that of {reference},\npoints, with the paired 95 % interval")
        ax.grid(axis="x", alpha=0.3)
    first = np.atleast_1d(axes)[0]
    first.set_yticks(range(len(runs)), [(names or {}).get(run, _name(run)) for run in runs])
    first.set_ylim(len(runs) - 0.4, -0.6)
    return np.atleast_1d(axes)


def sweep(rows: pd.DataFrame, counts: pd.Series, key: str, counted: str, full: str, ax=None):
    """Draw the error along a threshold, and how many images the threshold concerns.

    Args:
        rows: by `comparison.against`, with the column value: the threshold of each run.
        counts: images, indexed by threshold, in its order: the curve on the right axis.
        key: the threshold's name.
        counted: what happens to these images.
        full: the run that the others vary; where its seeds lie is a band, since the others may have fewer.
        ax: where to draw.

    Returns:
        The axes of the error.
    """
    ax = _axes(ax, 6, 3.8)
    right = ax.twinx()
    right.fill_between(counts.index, counts, color=PALETTE["grey"], alpha=0.15, lw=0)
    right.plot(counts.index, counts, color=PALETTE["grey"], lw=1, ls="--")
    right.set(ylabel=f"images {counted} (dashed)", ylim=(0, None))
    right.spines["top"].set_visible(False)
    for group in _groups(rows):
        own = rows[(rows["group"] == group) & rows["nme"].notna()].sort_values("value")
        color, line, marker = _GROUP_STYLES[group]
        value, (middle, low, high) = own["value"], 100 * own[["nme", "nme_low", "nme_high"]].to_numpy(float).T
        label = f"{group} species (n = {own['images'].max():,.0f})" if len(own) else None
        ax.errorbar(value, middle, yerr=[middle - low, high - middle], color=color, ls=line, marker=marker, ms=5,
                    lw=1.2, capsize=2, label=label)  # fmt: skip
        for _, row in own[(own["run"] == full) & (own["seeds"] > 1)].iterrows():
            middle, spread = 100 * row["nme"], 100 * row["nme_sd"]
            ax.axhspan(middle - spread, middle + spread, color=color, alpha=0.12, lw=0)
    base = rows.loc[(rows["run"] == full) & rows["nme"].notna(), "value"]
    ax.set(xlabel=f"{key}, % of √(w·h)" + (f" ({100 * base.iloc[0]:g} in this setting)" if len(base) else ""))
    ax.set_ylabel("NME, % of √(w·h): mean, 95 % interval;\nband: ± sd over seeds of the full method")
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    if rows["nme"].notna().any():
        ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    else:
        ax.set_title(f"{_GAP}: the counts need no training", color=PALETTE["grey"], fontsize="medium")
    # the errors lie above the counts
    ax.set_zorder(right.get_zorder() + 1)
    ax.patch.set_visible(False)
    return ax


def family_shares(
    table: pd.DataFrame, t_pos: Sequence[float], t_neg: Sequence[float], base: tuple[float, float], by: str = "family"
):
    """Draw the share of each family's images that is excluded at each T_neg, and included at each T_pos.

    Args:
        table: of a mining run: one row per unlabeled image with human_disagreement and flip_disagreement.
        t_pos, t_neg: the thresholds.
        base: T_pos and T_neg of the setting, drawn with an edge; positives are counted after exclusion at its T_neg.
        by: the column that tells the families.

    Returns:
        The two axes; families from the lowest to the highest mean human disagreement.
    """
    order = table.groupby(by)["human_disagreement"].mean().sort_values().index
    sizes = table[by].value_counts()
    kept = table["flip_disagreement"] < base[1]
    panels = {
        "excluded": ("T_neg", sorted({*t_neg, base[1]}), base[1], lambda t: table["flip_disagreement"] >= t),
        "included": (
            "T_pos",
            sorted({*t_pos, base[0]})[::-1],
            base[0],
            lambda t: kept & (table["human_disagreement"] < t),
        ),
    }
    _, axes = _figure(2, 1, max(6, 1.5 + 0.18 * len(order)), 6.4, sharex=True)
    for ax, (what, (key, values, own, chosen)) in zip(axes, panels.items(), strict=True):
        # shares only fall from one value to the next, so that each bar stands in front of the one before
        for place, value in enumerate(values):
            share = 100 * chosen(value).groupby(table[by]).mean()[order]
            shade = 0.85 - 0.75 * place / max(1, len(values) - 1)
            ax.bar(range(len(order)), share, width=0.85, color=str(shade), lw=2 if value == own else 0,
                   ec=PALETTE["vermillion"], label=f"{100 * value:g} %{' (here)' if value == own else ''}")  # fmt: skip
        ax.set(ylabel=f"images {what}, % of the {by}", ylim=(0, 100))
        ax.grid(axis="y", alpha=0.3)
        ax.legend(title=key, frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    labels = [f"{_name(name)} ({sizes[name]:,})" for name in order]
    axes[1].set_xticks(range(len(order)), labels, rotation=90 if len(order) > 6 else 0, fontsize="small")
    axes[1].set_xlabel(f"{by} (images), from the lowest mean human disagreement to the highest")
    return axes


def label_budget(scores: pd.DataFrame, ax=None):
    """Draw the error over the number of labels, one line for each kind of species that has them.

    Args:
        scores: a long scores table with the columns kind (a class of species, all, or Meta-CSKT on all) and labels.
        ax: where to draw.
    """
    ax = _axes(ax, 7.5, 3.8)
    names = {**{kind: f"{kind} species" for kind in (*CLASSES, "all")}, "Meta-CSKT": "all species, Meta-CSKT"}
    order = [kind for kind in names if kind in set(scores["kind"])]
    ticks = sorted(scores["labels"].unique())
    for place, kind in enumerate(order):
        color, line, marker = _SERIES[place]
        own = scores[scores["kind"] == kind]
        by_seed = 100 * own.groupby(["labels", "seed"])["nme"].mean().unstack().reindex(ticks)
        seeds = by_seed.notna().sum(axis=1).max()
        ax.plot(by_seed.index, by_seed.mean(axis=1), color=color, ls=line, marker=marker, ms=5,
                label=f"{names[kind]} ({seeds} seed{'s' * int(seeds > 1)})")  # fmt: skip
        ax.fill_between(by_seed.index, by_seed.min(axis=1), by_seed.max(axis=1), color=color, alpha=0.15, lw=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set(xlabel="labeled images", ylabel="NME of all test images, % of √(w·h);\nband: lowest to highest seed")
    ax.grid(alpha=0.3)
    if order:
        ax.legend(title="labels of", frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        ax.set_title(_GAP, color=PALETTE["grey"])
    return ax


def _groups(rows: pd.DataFrame) -> list[str]:
    """Known and unknown where images of both were tested, else all."""
    tested = rows.dropna(subset="nme")
    groups = [name for name in GROUPS if name in set((rows if tested.empty else tested)["group"])]
    return groups[1:] if len(groups) > 2 else groups[:1]


def _title(own: pd.DataFrame, group: str) -> str:
    images, seeds = own["images"].max(), own["seeds"]
    if np.isnan(images):
        return f"{group} species"
    low, high = seeds.min(), seeds.max()
    text = f"{high:.0f} seed{'s' if high > 1 else ''}" if low == high else f"{low:.0f} to {high:.0f} seeds"
    return f"{group} species (n = {images:,.0f}, {text})"


def _difference(row) -> str:
    low, middle, high = 100 * row.difference_low, 100 * row.difference, 100 * row.difference_high
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})\np = {row.p_value:.2g}".replace("-", "−")

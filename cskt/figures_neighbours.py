"""Figures of the neighbouring systems: generalization and AP of bodies, pseudo-labels, discovered landmarks."""

import numpy as np
import pandas as pd

from cskt.criteria import NAMES
from cskt.figures import _SERIES, PALETTE, _axes, _figure, _name, _plain_log_ticks

_PROTOCOLS = {"intra": "species held out, family seen", "inter": "family held out"}


def generalization(results: pd.DataFrame):
    """Draw the error on each species or family that was held out, without and with a few labels of it.

    Args:
        results: by `generalization.compare`.

    Returns:
        The axes, one per protocol.
    """
    protocols = [name for name in _PROTOCOLS if name in set(results["protocol"])]
    sizes = [results[results["protocol"] == name]["name"].nunique() for name in protocols]
    _, axes = _figure(len(protocols), 1, 6.5, 1.6 + 0.42 * sum(sizes), sharex=True, height_ratios=sizes)
    axes = np.atleast_1d(axes)
    shots = sorted(results["shots"].unique())
    for ax, protocol in zip(axes, protocols, strict=True):
        own = results[results["protocol"] == protocol]
        names = own[own["shots"] == shots[0]].sort_values("nme")["name"].tolist()
        for row, name in enumerate(names):
            first = own[own["name"] == name].iloc[0]
            ax.plot(100 * first["seen"], row, marker="|", ms=14, mew=2, ls="", color=PALETTE["black"],
                    label="all species in training" if row == 0 else None)  # fmt: skip
        for place, count in enumerate(shots):
            color, _, marker = _SERIES[place]
            part = own[own["shots"] == count].set_index("name")
            part = part.loc[[name for name in names if name in part.index]]
            rows = np.array([names.index(name) for name in part.index]) + 0.16 * (place - (len(shots) - 1) / 2)
            middle = 100 * part["nme"]
            ax.errorbar(middle, rows, xerr=[middle - 100 * part["nme_low"], 100 * part["nme_high"] - middle],
                        fmt=marker, color=color, ms=5, lw=1.2, capsize=2, label=f"{count} labels of it")  # fmt: skip
        images = own.drop_duplicates("name").set_index("name")["images"]
        ax.set_yticks(range(len(names)), [f"{name} (n = {images[name]})" for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_title(_PROTOCOLS[protocol], loc="left", fontsize="medium")
        ax.grid(axis="x", alpha=0.3)
    axes[-1].set_xlabel("NME of the test images, % of √(w·h):\nmean, 95 % interval over images")
    axes[-1].set_xlim(0, None)
    above = 1 + 0.25 / axes[0].get_position().height / axes[0].figure.get_figheight()  # a quarter inch: the title's
    axes[0].legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.4, above), ncols=3)
    return axes


def average_precision(tables: dict[str, pd.DataFrame], ax=None):
    """Draw the AP of some models, over all categories and of each.

    Args:
        tables: name of a model -> its table by `benchmark.evaluate`.
        ax: where to draw.
    """
    first = next(iter(tables.values()))
    names = list(first["category"])
    ax = _axes(ax, 6.5, 1.2 + 0.32 * len(names))
    for place, (model, table) in enumerate(tables.items()):
        color, _, marker = _SERIES[place % len(_SERIES)]
        values = table.set_index("category")["ap"].reindex(names)
        ax.plot(100 * values, range(len(names)), ls="", marker=marker, ms=6, color=color, label=_name(model))
    ax.axhline(0.5, color=PALETTE["grey"], lw=0.8)
    counts = first.set_index("category")["instances"]
    ax.set_yticks(range(len(names)), [f"{name} (n = {counts[name]})" for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(xlabel="AP over OKS 0.50 to 0.95, %", xlim=(0, 100))
    ax.grid(axis="x", alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(tables))
    return ax


def selection(errors: pd.DataFrame, quality: pd.DataFrame, few_shot: float, pool: float):
    """Draw, against the number of pseudo-labels, how good the chosen ones are and what is learned from them.

    Args:
        errors: criterion, budget, seed and nme (test images) of each training.
        quality: criterion, budget and nme (of the chosen pseudo-labels), one row per seed.
        few_shot: test error of the network that made the pseudo-labels.
        pool: error of all pseudo-labels of the pool.

    Returns:
        The two axes.
    """
    _, axes = _figure(1, 2, 9.5, 4)
    for ax, table, line, text in zip(
        axes, (quality, errors), (pool, few_shot), ("all pseudo-labels of the pool", "few-shot only"), strict=True
    ):
        for place, (criterion, label) in enumerate(NAMES.items()):
            color, style, marker = _SERIES[place]
            own = table[table["criterion"] == criterion].groupby("budget")["nme"]
            middle, low, high = 100 * own.mean(), 100 * own.min(), 100 * own.max()
            # a little apart, so that the bars of one budget do not hide each other
            x = middle.index.to_numpy(float) * 1.03 ** (place - 2)
            ax.errorbar(x, middle, yerr=[middle - low, high - middle], color=color, ls=style, marker=marker, ms=5,
                        lw=1.4, capsize=2, label=label)  # fmt: skip
        ax.axhline(100 * line, color=PALETTE["grey"], lw=1)
        ax.annotate(text, (1, 100 * line), xycoords=("axes fraction", "data"), xytext=(-2, 3), ha="right",
                    textcoords="offset points", fontsize="small", color=PALETTE["grey"])  # fmt: skip
        budgets = sorted(table["budget"].unique())
        ax.set(xscale="log", xlabel="pseudo-labels chosen")
        ax.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        ax.minorticks_off()
        ax.grid(axis="y", alpha=0.3)
    seeds = errors["seed"].nunique()
    axes[0].set_ylabel("NME of the chosen labels, % of √(w·h)")
    axes[1].set_ylabel(f"NME of the test images, % of √(w·h)\nmean and range of {seeds} seed{'s' * (seeds > 1)}")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(handles, labels, frameon=False, fontsize="small", loc="outside upper center", ncols=5)
    return axes


def label_curve(errors: pd.DataFrame, others: pd.DataFrame, ax=None):
    """Draw the error against the number of labels: regressed from discovered points, and of other ways to use them.

    Args:
        errors: labels, nme, nme_low and nme_high (over draws) of the regression.
        others: way, labels and nme of what is to be compared.
        ax: where to draw.
    """
    ax = _axes(ax, 6, 4)
    color, line, marker = _SERIES[0]
    middle = 100 * errors["nme"]
    reach = [middle - 100 * errors["nme_low"], 100 * errors["nme_high"] - middle]
    ax.errorbar(errors["labels"], middle, yerr=reach, color=color, ls=line, marker=marker, ms=5, capsize=2,
                label="regressed from discovered points")  # fmt: skip
    for place, (way, own) in enumerate(others.groupby("way", sort=False), start=1):
        color, line, marker = _SERIES[place % len(_SERIES)]
        own = own.groupby("labels")["nme"].mean()
        ax.plot(own.index, 100 * own, color=color, ls=line, marker=marker, ms=6, label=_name(way))
    ax.set(xscale="log", yscale="log", xlabel="labels", ylabel="NME of the test images, %")
    for axis in (ax.xaxis, ax.yaxis):
        _plain_log_ticks(axis)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="upper right")
    return ax

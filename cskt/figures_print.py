"""Figures for print: sizes that can be read on a column's or a page's width, and what such figures share."""

from cskt.figures import PALETTE

COLUMN, PAGE = 3.33, 7.0  # inches: the widths of ACM's two-column style
SMALLEST = 7  # points
PRINT = {
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "hatch.linewidth": 0.5,
}
NME = "NME, % of √(w·h)"
# how a published number is drawn: hollow and grey
PUBLISHED = {"marker": "D", "mfc": "white", "mec": PALETTE["grey"], "mew": 0.9, "ms": 4.2}


def print_style() -> None:
    """Set matplotlib's sizes for print, for all figures that follow."""
    import matplotlib

    matplotlib.rcParams.update(PRINT)


def panels(rows: int, columns: int, width: float, height: float, sharex=False, sharey=False, **ratios):
    """A figure in inches and its axes, without frames at the top and right."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", sharex=sharex,
                                sharey=sharey, gridspec_kw=ratios, squeeze=False)  # fmt: skip
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes if rows > 1 and columns > 1 else axes.ravel()


def gap(ax, text: str = "not run") -> None:
    """Leave a panel empty, and say why."""
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set(visible=True, color=PALETTE["grey"], linestyle=(0, (4, 4)), linewidth=0.5)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=PALETTE["grey"], style="italic")

"""The measured rows as tables, a figure, and into README.md and docs/results/."""

from pathlib import Path

import numpy as np
import pandas as pd

from cskt import figures
from cskt.files import atomic_path, write_csv, write_text

# what issue 6 of the project asks on two cores: times the plain reference
TARGETS = {
    "decode heatmaps, quarter offset": 150,
    "decode heatmaps, to whole image pixels": 150,
    "target heatmaps, published": 50,
    "NME": 60,
    "human disagreement": 60,
    "flip disagreement": 60,
    "item from the photograph": 4,
    "item from the crop cache": 25,
    "forward": 2.8,
    "forward, in float32": 1.6,
    "forward and backward": 2.3,
    "forward and backward, in float32": 1.3,
    "Meta-CSKT step, 4 + 16": 2.5,
    "Meta-CSKT step, 4 + 16, in float32": 1.5,
    "mining a pool": 3.2,
    "mining a pool, exported": 4.5,
    "evaluation, end to end": 3.2,
    "evaluation, end to end, exported": 4.5,
}
# which of ours are held against a target of their own, by a word of the contender's name
OWN_TARGET = {"in float32": "float32", "exported": "OpenVINO"}
NOT_A_RIVAL = "without the network"


def ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the column `ratio`: how many times the plain one's time is that of this one, NaN without one."""
    plain = rows[rows["kind"] == "plain"].set_index("stage")["seconds"]
    return rows.assign(ratio=rows["stage"].map(plain) / rows["seconds"])


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per stage: the plain one, our fastest, the best peer and the floor; one more for each further target.

    Args:
        rows: of `timing.stage`.

    Returns:
        stage, unit, plain, ours, fastest (which of ours), quicker (plain over ours), target, peer (its time), which
        (its name), ahead (peer over ours), floor, share (floor over ours), difference (of our fastest); times in
        seconds. Peer and floor stand in the stage's first row.
    """
    found = []
    for name, own in rows.groupby("stage", sort=False):
        plain = own["seconds"][own["kind"] == "plain"].min()
        peers = own[own["kind"] == "peer"].sort_values("seconds")
        for number, (stage, ours) in enumerate(_by_target(name, own[own["kind"] == "ours"]).items()):
            first = number == 0
            best = ours.loc[ours["seconds"].idxmin()]
            peer = peers["seconds"].min() if first else np.nan
            floor = own["seconds"][own["kind"] == "floor"].min() if first else np.nan
            found.append({
                "stage": stage, "unit": best["unit"], "plain": plain, "ours": best["seconds"],
                "fastest": best["contender"], "quicker": plain / best["seconds"],
                "target": TARGETS.get(stage, np.nan), "peer": peer,
                "which": peers["contender"].iloc[0] if first and len(peers) else "",
                "ahead": peer / best["seconds"], "floor": floor, "share": floor / best["seconds"],
                "difference": best["difference"],
            })  # fmt: skip
    return pd.DataFrame(found)


def _by_target(stage: str, ours: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Our contenders of a stage, under its name, and those with a target of their own, under that target's."""
    ours = ours[~ours["contender"].str.contains(NOT_A_RIVAL)]
    parts = {f"{stage}, {way}": ours["contender"].str.contains(word) for way, word in OWN_TARGET.items()}
    parts = {name: chosen for name, chosen in parts.items() if name in TARGETS}
    parts = {stage: ~np.logical_or.reduce([np.zeros(len(ours), bool), *parts.values()])} | parts
    return {name: ours[chosen] for name, chosen in parts.items() if chosen.any()}


def time_text(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> time_text(0.00000612), time_text(0.0034), time_text(12.3)
        ('6.12 µs', '3.40 ms', '12.3 s')
    """
    if np.isnan(seconds):
        return ""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}" if unit == "s" else f"{seconds * factor:.2f} {unit}"
    raise AssertionError


def markdown(rows: pd.DataFrame) -> str:
    """The summary as a Markdown table."""
    names = ("stage", "plain loops", "ours, the fastest", "times as fast", "target", "best of other libraries",
             "ahead of it by", "of the machine's floor", "differs by")  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in summary(rows).itertuples():
        cells = [
            row.stage,
            time_text(row.plain),
            f"{time_text(row.ours)} ({row.fastest.removeprefix('cskt').removeprefix(', ') or 'cskt'})",
            _number(row.quicker, "{:.3g} x"),
            _number(row.target, "{:g} x"),
            f"{time_text(row.peer)} ({row.which})" if row.which else "",
            _number(row.ahead, "{:.2g} x"),
            _number(100 * row.share, "{:.0f} %"),
            _number(row.difference, "{:.1g}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(rows: pd.DataFrame):
    """Bars: how many times as fast as the plain loops ours and the others are, one group per row of `summary`.

    Returns:
        the axes.
    """
    import matplotlib.pyplot as plt

    shown = summary(rows).dropna(subset="plain").reset_index(drop=True)
    styles = {"ours": ("ours, the fastest", figures.PALETTE["blue"]),
              "peer": ("best of other libraries", figures.PALETTE["orange"]),
              "floor": ("the machine's floor", figures.PALETTE["grey"])}  # fmt: skip
    _, ax = plt.subplots(figsize=(7, 0.42 * len(shown) + 1), layout="constrained")
    for number, (kind, (label, color)) in enumerate(styles.items()):
        times = shown["plain"] / shown[kind]
        places = np.arange(len(shown)) + (number - 1) * 0.27
        ax.barh(places, times, 0.25, color=color, label=label, left=0)
        for place, value in zip(places, times, strict=True):
            if not np.isnan(value):
                ax.text(value, place, f" {value:.3g}", va="center", fontsize=6.5)
    places = np.arange(len(shown)) - 0.27
    ax.plot(shown["target"], places, "|", color=figures.PALETTE["black"], ms=9, label="target")
    ax.axvline(1, color=figures.PALETTE["black"], lw=0.6)
    ax.set(
        xscale="log",
        yticks=np.arange(len(shown)),
        yticklabels=shown["stage"],
        xlabel="times as fast as the plain loops",
    )
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.legend(frameon=False, fontsize=7, loc="lower right")
    return ax


def growth_figure(rows: pd.DataFrame):
    """Time per item against the size of the data, one line each.

    Returns:
        the axes.
    """
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for number, (name, own) in enumerate(rows.groupby("what", sort=False)):
        color, line, marker = figures._SERIES[number]
        ax.plot(own["size"], 1e6 * own["seconds"], color=color, ls=line, marker=marker, label=name)
    ax.set(xscale="log", yscale="log", xlabel="annotations, or cached crops", ylabel="time per item, µs")
    ax.legend(frameon=False, fontsize=7)
    return ax


def publish(run_dir: Path, project: Path) -> list[Path]:
    """Copy a finished run's tables and figure into docs/results/ and renew the table of README.md.

    Args:
        run_dir: of notebooks/20_performance.
        project: the folder of README.md and docs/.

    Returns:
        the files written.
    """
    folder = project / "docs" / "results"
    written = []
    for name in ("performance", "performance_growth"):
        written.append(folder / f"{name}.csv")
        write_csv(written[-1], pd.read_csv(run_dir / f"{name}.csv"))
    written.append(folder / "performance.png")
    with atomic_path(written[-1]) as temporary:
        temporary.write_bytes((run_dir / "figures" / "performance.png").read_bytes())
    page = project / "README.md"
    write_text(page, fill(page.read_text(encoding="utf-8"), pd.read_csv(run_dir / "performance.csv")))
    return [*written, page]


def fill(text: str, rows: pd.DataFrame) -> str:
    """Renew the table of a Markdown text between `<!-- performance -->` and `<!-- end -->`."""
    begin, end = "<!-- performance -->\n", "<!-- end -->"
    before, _, rest = text.partition(begin)
    if not rest:
        return text
    _, _, after = rest.partition(end)
    return f"{before}{begin}{markdown(rows)}\n{end}{after}"


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else form.format(value)

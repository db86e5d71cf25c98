"""What the figures of the ablation show: the numbers that went in, a gap where a run is not there."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cskt import comparison, figures_ablation


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def scores_of(errors):
    """A long scores table of (run, seed) -> mean error; 20 images each, half of them known."""
    deviations = np.random.default_rng(0).normal(0, 0.01, 20)
    return pd.concat(
        pd.DataFrame({"run": run, "seed": seed, "image": range(20), "species": "cat", "nme": mean + deviations,
                      "group": ["known", "unknown"] * 10})
        for (run, seed), mean in errors.items()
    )  # fmt: skip


SCORES = scores_of({("ls", 0): 0.12, ("ls_lu", 0): 0.10, ("ls_lu", 1): 0.11, ("full", 0): 0.08, ("full", 1): 0.09})
MINED = pd.DataFrame(
    {
        "family": ["Canidae"] * 4 + ["Bovidae"] * 2,
        "human_disagreement": [0.30, 0.30, 0.30, 0.04, 0.04, 0.04],
        "flip_disagreement": [0.05, 0.15, 0.25, 0.25, 0.05, 0.15],
    }
)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def dots(ax):
    """The x of every dot that is drawn with an error bar, from the top."""
    return [float(bar[0].get_xdata()[0]) for bar in ax.containers]


def test_a_ladder_shows_each_error_the_difference_to_the_row_above_and_the_gap():
    rows = comparison.ladder(SCORES, ["ls", "ls_lu", "missing", "full"])
    axes = figures_ablation.ladder(rows, {"full": "all of it"})
    assert [ax.get_title() for ax in axes] == [
        "known species (n = 10, 1 to 2 seeds)",
        "unknown species (n = 10, 1 to 2 seeds)",
    ]
    expected = rows[(rows["group"] == "known") & rows["nme"].notna()]["nme"]
    assert dots(axes[0]) == pytest.approx((100 * expected).tolist())
    shown = texts(axes[0])
    assert shown.count("not run") == 1
    # seed 0 only, which both have; the images deviate alike, so that the interval is a point
    assert [text for text in shown if "p =" in text] == ["−2.00 (−2.00 to −2.00)\np = 0.002"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [
        "L_s: labels alone", "+ L_u: student imitates teacher", "missing", "all of it"
    ]  # fmt: skip
    # the first row stands above the others
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1]


def test_differences_are_filled_where_the_interval_does_not_hold_0():
    alike = scores_of({("alike", 0): 0.08})
    alike["nme"] += np.where(np.arange(20) % 4 < 2, 0.02, -0.02)
    rows = comparison.against(pd.concat([SCORES, alike]), {"ls": "full", "alike": "full", "missing": "full"})
    (ax, _) = figures_ablation.differences(rows)
    assert dots(ax) == pytest.approx([4.0, 0.0], abs=1e-6)
    filled = [bar[0].get_markerfacecolor() != "white" for bar in ax.containers]
    assert filled == [True, False]
    assert texts(ax) == ["not run"]


def test_a_sweep_shows_errors_over_the_threshold_and_the_counts_behind_them():
    rows = comparison.against(SCORES, {"ls": "full", "missing": "full", "full": "full"})
    rows["value"] = rows["run"].map({"ls": 0.1, "missing": 0.2, "full": 0.3})
    counts = pd.Series([40, 20, 5], index=[0.1, 0.2, 0.3])
    ax = figures_ablation.sweep(rows, counts, "T_neg", "excluded", "full")
    known = ax.containers[0][0]
    assert known.get_xdata().tolist() == [0.1, 0.3]
    expected = rows[(rows["group"] == "known") & rows["nme"].notna()]["nme"]
    assert known.get_ydata() == pytest.approx(100 * expected.to_numpy())
    assert "30 in this setting" in ax.get_xlabel()
    (right,) = [other for other in ax.figure.axes if other is not ax]
    assert right.lines[0].get_ydata().tolist() == [40, 20, 5]
    # a band of one seed's standard deviation on either side, of each group
    edges = [patch.get_height() for patch in ax.patches]
    assert edges == pytest.approx([2 * np.std([8, 9], ddof=1)] * 2)


def test_a_sweep_without_any_run_still_shows_the_counts():
    rows = comparison.against(SCORES, {"missing": "gone"}).assign(value=0.1)
    ax = figures_ablation.sweep(rows, pd.Series([40, 20], index=[0.1, 0.2]), "T_neg", "excluded", "gone")
    assert ax.get_title() == "not run: the counts need no training"


def test_shares_of_families_are_those_of_the_thresholds():
    excluded, included = figures_ablation.family_shares(MINED, t_pos=[0.05, 0.5], t_neg=[0.1, 0.2], base=(0.05, 0.2))
    # from the lowest mean human disagreement: Bovidae, Canidae
    assert [label.get_text() for label in included.get_xticklabels()] == ["Bovidae (2)", "Canidae (4)"]
    shares = [[bar.get_height() for bar in bars] for bars in excluded.containers]
    assert shares == [[50, 75], [0, 50]]  # at 0.1, at 0.2
    # those that are left out at T_neg = 0.2 cannot be included
    shares = [[bar.get_height() for bar in bars] for bars in included.containers]
    assert shares == [[100, 50], [100, 0]]  # at 0.5, at 0.05
    assert [text.get_text() for text in included.get_legend().get_texts()] == ["50 %", "5 % (here)"]


def test_a_label_budget_has_a_line_for_each_kind_broken_where_a_run_is_missing():
    scores = pd.concat(
        scores_of({("x", seed): error + 0.01 * seed for seed in (0, 1)}).assign(kind=kind, labels=labels)
        for kind, labels, error in (("hard", 10, 0.2), ("hard", 40, 0.1), ("easy", 20, 0.3))
    )
    ax = figures_ablation.label_budget(scores)
    easy, hard = ax.lines
    assert easy.get_label() == "easy species (2 seeds)"
    level = 100 * scores_of({("x", 0): 0.0})["nme"].mean() + 0.5
    assert hard.get_ydata() == pytest.approx(np.array([20, np.nan, 10]) + level, nan_ok=True)
    assert hard.get_xdata().tolist() == [10, 20, 40]

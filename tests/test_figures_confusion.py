"""What the figures of knowledge sharing say: signs, brackets, hatches, zero in the middle, names with sample sizes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cskt import confusion, figures_confusion

NAMES = ["Cebidae", "Felidae", "Bovidae"]
GAINS = np.array([[0.02, -0.011, -0.0001], [0.06, 0.05, 0.0], [-0.03, 0.1, 0.2]])
VERDICTS = [["helps", "harms", "unclear"], ["unclear", "helps", "unclear"], ["harms", "helps", "helps"]]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def matrix(gains=GAINS, verdicts=VERDICTS, names=NAMES, spread=0.004):
    rows = [
        {"tested": names[i], "tuned": names[j], "gain": gains[i, j], "gain_sd": spread, "share": gains[i, j],
         "verdict": verdicts[i][j], "images": 94 if i == j else 134, "draws": 3}
        for i, j in np.ndindex(gains.shape)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def names(labels):
    return [label.get_text() for label in labels]


def test_cells_hold_their_number_the_uncertain_ones_in_brackets():
    ax = figures_confusion.gain_matrix(matrix(), 40)
    assert [text.get_text().splitlines()[0] for text in ax.texts] == [
        *("+2.0", "−1.1", "(0.0)"),
        *("(+6.0)", "+5.0", "(0.0)"),
        *("−3.0", "+10.0", "+20.0"),
    ]
    assert {text.get_text().splitlines()[1] for text in ax.texts} == {"±0.4"}
    assert ax.get_title(loc="left").endswith("±: standard deviation over 3 draws")


def test_losses_are_hatched_where_they_are():
    ax = figures_confusion.gain_matrix(matrix(), 40)
    hatched = [patch.get_xy() for patch in ax.patches if patch.get_hatch()]
    # x is the column: who was learned from
    assert sorted(hatched) == [(0, 2), (1, 0), (2, 0)]


def test_tested_groups_are_rows_from_above_and_zero_is_the_middle_of_the_colors():
    ax = figures_confusion.gain_matrix(matrix(), 40)
    assert names(ax.get_yticklabels()) == ["Cebidae (n = 134)", "Felidae (n = 134)", "Bovidae (n = 134)"]
    assert names(ax.get_xticklabels()) == NAMES
    assert ax.yaxis_inverted()
    mesh = ax.collections[0]
    assert mesh.get_clim() == (-20.0, 20.0)
    assert np.asarray(mesh.get_array()).reshape(3, 3) == pytest.approx(100 * GAINS)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("fine-tuned on 40 images of", "tested on")


def test_some_groups_can_be_shown_in_another_order():
    ax = figures_confusion.gain_matrix(matrix(), 40, ["Bovidae", "Cebidae"])
    assert [text.get_text().splitlines()[0] for text in ax.texts] == ["+20.0", "−3.0", "(0.0)", "+2.0"]


def test_a_single_draw_has_no_spread_to_show():
    ax = figures_confusion.gain_matrix(matrix(spread=np.nan).assign(draws=1), 40)
    assert ax.texts[0].get_text() == "+2.0"
    assert "±" not in ax.get_title(loc="left")


def test_a_large_matrix_has_marks_in_place_of_numbers(monkeypatch):
    monkeypatch.setattr(figures_confusion, "NUMBERS", 2)
    ax = figures_confusion.gain_matrix(matrix(), 40)
    assert not ax.texts
    places = {"o": [], "_": []}
    for line in ax.lines:
        places[line.get_marker()].append((line.get_ydata()[0] - 0.5, line.get_xdata()[0] - 0.5))
    cells = list(np.ndindex(GAINS.shape))
    assert places == {
        "o": [(row, column) for row, column in cells if VERDICTS[row][column] == "unclear"],
        "_": [(row, column) for row, column in cells if GAINS[row, column] < 0],
    }


@pytest.mark.parametrize("turned", [False, True])
def test_a_clustered_matrix_has_its_tree_beside_the_rows_and_a_frame_round_each_cluster(turned):
    shares = np.array([[0.9, 0.1, -0.4, -0.5], [0.2, 0.9, -0.4, -0.5], [-0.4, -0.3, 0.9, 0.4], [-0.5, -0.4, 0.3, 0.9]])
    order = [3, 2, 1, 0] if turned else [0, 1, 2, 3]
    cells = matrix(shares[order][:, order], [["helps"] * 4] * 4, ["abcd"[k] for k in order])
    clusters = confusion.cluster(cells)
    ax, tree = figures_confusion.clustered(cells, clusters, 40)
    assert names(ax.get_xticklabels()) == clusters.order
    assert set(clusters.order[:2]) == set("ab" if not turned else "cd")
    frames = [(patch.get_xy(), patch.get_width()) for patch in ax.patches if not patch.get_hatch()]
    assert frames == [((0, 0), 2), ((2, 2), 2)]
    # c and d join first, at the largest mutual help, in the middle between their rows
    joins = [line.get_xydata() for line in tree.lines if len(line.get_xydata()) == 4]
    first = min(joins, key=lambda corners: corners[:, 0].max())
    assert first[:, 0].max() == pytest.approx(0)
    on_screen = tree.transData.transform([(0, first[:, 1].mean())])[0, 1] - tree.bbox.y0
    between = ax.transData.transform([(0, np.mean([clusters.order.index(name) + 0.5 for name in "cd"]))])[0, 1]
    assert on_screen == pytest.approx(between - ax.bbox.y0)
    # 0 is where help ends
    assert tree.lines[-1].get_xdata()[0] == pytest.approx(0.35)


def test_errors_by_group_have_a_line_each_and_a_band_over_draws():
    models = [("mean_shape", 0.12, 0.0, 1), ("human_model", 0.1, 0.0, 1), ("random", 0.05, 0.02, 3)]
    rows = [
        (model, group, nme, nme - 0.01, nme + 0.01, nme - reach, nme + reach, 134, draws)
        for model, nme, reach, draws in models
        for group in NAMES
    ]
    columns = ["model", "tested", "nme", "nme_low", "nme_high", "lowest", "highest", "images", "draws"]
    ax = figures_confusion.group_errors(pd.DataFrame(rows, columns=columns), 40)
    assert names(ax.get_legend().get_texts()) == [
        "mean shape in the box",
        "human model, no animal label",
        "fine-tuned on 40 random images (mean and range of 3 draws)",
    ]
    assert names(ax.get_xticklabels()) == [f"{name} (n = 134)" for name in NAMES]
    (band,) = [area.get_paths()[0].vertices[:, 1] for area in ax.collections if area.get_alpha() == 0.25]
    assert (band.min(), band.max()) == pytest.approx((3.0, 7.0))
    heights = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() != "None"]
    assert heights == pytest.approx([12.0, 10.0, 5.0])
    assert ax.get_ylim()[1] > 1.2 * 13.0


def test_two_groups_are_enough(recwarn):
    cells = matrix(np.array([[0.1, -0.02], [-0.01, 0.2]]), [["helps"] * 2] * 2, "ab")
    for shown in (cells, cells.assign(share=cells["share"].abs())):
        ax, _ = figures_confusion.clustered(shown, confusion.cluster(shown), 40)
        ax.figure.canvas.draw()
    assert [str(warning.message) for warning in recwarn] == []

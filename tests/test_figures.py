"""What figures say: curves go through the right points, bars add up, labels carry the sample sizes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from builders import write_faces

from cskt import comparison, figures
from cskt.mining import categorize


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def scores(errors, **columns):
    images = [f"{k}.jpg" for k in range(len(errors))]
    return pd.DataFrame({"image": images, "species": "cat", "family": "Felidae", "nme": errors}).assign(**columns)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_cumulative_curve_passes_through_the_shares():
    ax = figures.cumulative_error(scores([0.05, 0.1, 0.15, 0.5]), limit=0.2)
    x, y = ax.lines[0].get_data()
    assert np.interp([5.0, 10.0, 15.0, 20.0], x, y).tolist() == [25.0, 50.0, 75.0, 75.0]
    # areas beyond the errors: 0.75, 0.5, 0.25 and none
    assert legend(ax) == ["all images (n = 4, AUC 0.38)"]


def test_a_line_over_seeds_is_their_mean_within_their_band():
    both = pd.concat([scores([0.05, 0.05], run="few_shot", seed=0), scores([0.05, 0.3], run="few_shot", seed=1)])
    ax = figures.cumulative_error(both, by="run")
    assert ax.lines[0].get_ydata()[-1] == 75.0
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.0, 100.0)
    assert legend(ax) == ["few-shot only (n = 2 × 2 seeds, AUC 0.56)"]


def test_images_without_annotation_are_not_counted():
    ax = figures.cumulative_error(scores([0.05, np.nan]))
    assert legend(ax) == ["all images (n = 1, AUC 0.75)"]


def test_species_are_sorted_by_error_and_unknown_ones_marked():
    table = scores([0.3, 0.1, 0.2, 0.2]).assign(species=["cow", "cat", "dog", "dog"])
    table["group"] = ["unknown", "known", "known", "known"]
    ax = figures.error_by(table)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["cat (n = 1)", "dog (n = 2)", "cow, unknown (n = 1)"]
    first = figures.error_by(table, order=["dog", "horse"])
    assert [text.get_text().split()[0] for text in first.get_yticklabels()] == ["dog", "cat", "cow,"]


def test_of_too_many_species_the_best_and_worst_are_drawn_and_the_title_says_so():
    table = scores(np.arange(1, 8) / 100).assign(species=list("abcdefg"))
    ax = figures.error_by(table, most=4)
    assert [text.get_text()[0] for text in ax.get_yticklabels()] == list("abfg")
    assert ax.get_title() == "first and last 2 of 7 species groups"


@pytest.mark.parametrize("t_pos", [0.05, 0.0])
def test_bars_of_disagreements_hold_every_image_on_its_side_of_the_threshold(t_pos):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"human_disagreement": rng.lognormal(-2.5, 1, 500), "flip_disagreement": rng.beta(1, 8, 500)})
    table.loc[0, "human_disagreement"] = 0.0
    table["category"] = categorize(table["human_disagreement"], table["flip_disagreement"], t_pos, 0.2)
    axes = figures.disagreements(table, t_pos, 0.2)
    for ax in axes:
        assert sum(bar.get_height() for bar in ax.patches) == 500
    texts = [ax.texts[0].get_text() for ax in axes]
    below = [(table["human_disagreement"] < t_pos).sum(), (table["flip_disagreement"] < 0.2).sum()]
    assert [f"\n{count:,} below" in text for count, text in zip(below, texts, strict=True)] == [True, True]
    right = axes[1]
    hard = [bar for bar in right.patches if bar.get_hatch() == "...." and bar.get_height()]
    assert sum(bar.get_height() for bar in hard) == 500 - below[1]
    assert min(bar.get_x() for bar in hard) == pytest.approx(20.0)


def test_known_and_unknown_species_have_a_panel_each_and_every_interval_is_inside():
    table = pd.concat([scores([0.1, 0.2, 0.3, 0.9], run=run, seed=0) for run in ("mean_shape", "few_shot")])
    table["group"] = ["known", "known", "unknown", "unknown"] * 2
    axes = figures.comparison(comparison.compare(table), table)
    assert [ax.get_title() for ax in axes] == ["known species (n = 2)", "unknown species (n = 2)"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["mean shape in the box", "few-shot only"]
    for ax in axes:
        low, high = ax.get_xlim()
        assert low == 0
        assert high > 90


def test_one_group_has_one_panel():
    table = scores([0.1, 0.2], run="few_shot", seed=0, group="known")
    assert [ax.get_title() for ax in figures.comparison(comparison.compare(table), table)] == ["all species (n = 2)"]
    table = pd.concat([table, table.assign(seed=1)])
    (ax,) = figures.comparison(comparison.compare(table), table)
    assert ax.get_xlabel().endswith("each seed")


def test_a_run_that_is_not_there_is_a_gap_in_the_comparison():
    table = scores([0.1, 0.2], run="few_shot", seed=0).assign(group="all")
    results = comparison.compare(table)
    gap = results.assign(run="uda", images=np.nan, nme=np.nan, nme_low=np.nan, nme_high=np.nan)
    (ax,) = figures.comparison(pd.concat([gap, results], ignore_index=True), table)
    assert ax.get_title() == "all species (n = 2)"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["UDA", "few-shot only"]
    assert [text.get_text() for text in ax.texts] == ["not run", "15.0"]
    assert "each seed" not in ax.get_xlabel(), "there is one"


def test_the_mean_shape_is_drawn_at_the_means_in_the_box(tmp_path):
    faces = write_faces(tmp_path)
    ax = figures.mean_shape(faces)
    nose = faces.scheme.landmarks.index("nose")
    places = (faces.landmarks[:, nose] - faces.boxes[:, :2]) / faces.boxes[:, 2:]
    assert np.ravel(ax.lines[nose].get_data()) == pytest.approx(places.mean(axis=0))
    looks = {(line.get_color(), line.get_marker()) for line in ax.lines}
    assert len(looks) == len(faces.scheme.landmarks)
    assert ax.yaxis_inverted()


def test_meta_training_shows_losses_feedback_and_pool_with_zeros_at_one_height():
    names = ("imitation", "labeled", "pseudo", "gain", "feedback", "pool")
    table = pd.DataFrame({"step": [20, 40], **{name: [1.0, 2.0] for name in names}}).assign(feedback=[-0.1, 0.3])
    axes = figures.meta_training(table)
    assert len(axes[0].lines) == 3
    gain, feedback = axes[1], axes[1].figure.axes[-1]
    heights = [ax.transData.transform((0, 0))[1] for ax in (gain, feedback)]
    assert heights[0] == pytest.approx(heights[1])
    assert np.ravel(axes[2].lines[0].get_ydata()).tolist() == [1.0, 2.0]


def test_the_training_of_any_method_is_drawn_its_losses_above_its_shares():
    table = pd.DataFrame({"step": [20, 40], "lr": 1e-3, "seconds": [1.0, 2.0]}).assign(labeled=[2.0, 1.0])
    assert len(figures.training(table).lines) == 1
    above, below = figures.training(table.assign(unlabeled=[3.0, 2.0], used=[0.4, 0.5]))
    assert [line.get_label() for line in above.lines] == ["labeled images", "unlabeled images"]
    assert [line.get_ydata().tolist() for line in below.lines] == [[0.4, 0.5]]
    names = ("imitation", "labeled", "pseudo", "gain", "feedback", "pool")
    assert len(figures.training(table.assign(**dict.fromkeys(names, 1.0)))) == 3


def test_a_given_ax_is_drawn_into_and_returned():
    _, ax = plt.subplots()
    assert figures.losses(pd.DataFrame({"step": [20, 40], "labeled": [2.0, 1.0]}), ax) is ax
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0]


def test_series_can_be_told_apart_without_color():
    looks = [(line, marker) for _, line, marker in figures._SERIES]
    assert len({line for line, _ in looks}) == len({marker for _, marker in looks}) == len(figures._SERIES)
    assert len(set(figures._RUNS.values())) == len(figures._RUNS) == len(figures._SERIES)
    assert figures._RUNS.keys() <= comparison.NAMES.keys()

"""Error measures."""

import numpy as np
import pytest
from scipy import stats

from cskt import metrics


def test_nme_ignores_landmarks_that_are_not_annotated():
    true = np.array([[[0.0, 0.0], [np.nan, np.nan]]])
    pred = np.array([[[3.0, 4.0], [99.0, 99.0]]])
    assert metrics.nme(pred, true, norm=np.array([50.0])) == pytest.approx([0.1])


def test_nme_of_an_image_without_annotation_is_nan_without_a_warning(recwarn):
    true = np.full((2, 3, 2), np.nan)
    true[1] = 1.0
    errors = metrics.nme(np.ones((2, 3, 2)), true, norm=np.array([10.0, 10.0]))
    assert np.isnan(errors[0])
    assert errors[1] == 0.0
    assert not recwarn


def test_nme_equals_a_plain_loop_and_leaves_its_arguments_alone():
    rng = np.random.default_rng(3)
    true, norm = rng.uniform(0, 200, (20, 9, 2)), rng.uniform(50, 100, 20)
    pred = true + rng.normal(0, 5, true.shape)
    true[rng.random((20, 9)) < 0.2] = np.nan
    before = true.copy(), pred.copy(), norm.copy()
    slow = []
    for image in range(20):
        distances = [
            ((pred[image, k, 0] - x) ** 2 + (pred[image, k, 1] - y) ** 2) ** 0.5 / norm[image]
            for k, (x, y) in enumerate(true[image])
            if x == x
        ]
        slow.append(sum(distances) / len(distances))
    np.testing.assert_allclose(metrics.nme(pred, true, norm), slow)
    for old, new in zip(before, (true, pred, norm), strict=True):
        np.testing.assert_array_equal(old, new)


def test_nme_does_not_change_when_image_and_norm_are_scaled_together():
    rng = np.random.default_rng(4)
    true = rng.uniform(0, 200, (5, 9, 2))
    pred = true + rng.normal(0, 5, true.shape)
    norm = np.full(5, 80.0)
    np.testing.assert_allclose(metrics.nme(3 * pred, 3 * true, 3 * norm), metrics.nme(pred, true, norm))


def test_a_prediction_that_is_not_a_number_surfaces():
    pred = np.zeros((2, 3, 2))
    pred[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="image 1, landmark 2"):
        metrics.nme(pred, np.zeros((2, 3, 2)), norm=np.ones(2))


@pytest.mark.parametrize("norm", [[1.0, 0.0], [1.0, np.nan], [1.0]])
def test_a_norm_that_is_no_length_is_refused(norm):
    with pytest.raises(ValueError, match="norm"):
        metrics.nme(np.zeros((2, 3, 2)), np.zeros((2, 3, 2)), norm=np.array(norm))


def test_what_does_not_fit_is_named():
    true = np.zeros((2, 3, 2))
    for pred in (np.zeros((1, 3, 2)), np.zeros((2, 1, 2))):  # numpy would stretch them
        with pytest.raises(ValueError, match=r"expected pred and true \[N, L, 2\] and norm \[N\], found"):
            metrics.nme(pred, true, norm=np.ones(2))
    with pytest.raises(ValueError, match=r"found 0.0 for image 1"):
        metrics.nme(true, true, norm=np.array([1.0, 0.0]))
    pred = true.copy()
    pred[0, 1, 1], pred[1, 0, 0] = np.inf, np.nan
    with pytest.raises(ValueError, match=r"^2 predictions are not finite, the first: image 0, landmark 1"):
        metrics.nme(pred, true, norm=np.ones(2))


def test_pck_counts_landmarks_not_images():
    true = np.zeros((2, 2, 2))
    true[1, 1] = np.nan
    pred = np.array([[[1.0, 0.0], [1.0, 0.0]], [[30.0, 0.0], [0.0, 0.0]]])
    assert metrics.pck(pred, true, norm=np.array([10.0, 10.0]), limit=0.1) == pytest.approx(2 / 3)


def test_an_error_at_the_limit_is_no_failure_and_unannotated_images_do_not_count():
    errors = np.array([0.08, 0.0801, np.nan])
    assert metrics.failure_rate(errors, 0.08) == 0.5


def test_cumulative_error_rises_to_the_share_within_the_limit():
    errors = np.random.default_rng(0).gamma(2, 0.03, 500)
    x, share = metrics.cumulative_error(errors, limit=0.1)
    assert (np.diff(share) >= 0).all()
    assert x[0] == 0
    assert x[-1] == 0.1
    assert len(x) == len(share) == 201
    assert share[-1] == pytest.approx(1 - metrics.failure_rate(errors, 0.1))


def test_auc_is_the_area_under_the_cumulative_error():
    errors = np.random.default_rng(1).gamma(2, 0.05, 300)
    x, share = metrics.cumulative_error(errors, limit=0.2, points=20001)
    assert metrics.auc(errors, 0.2) == pytest.approx(np.trapezoid(share, x) / 0.2, abs=1e-4)
    assert metrics.auc(np.zeros(3), 0.2) == 1.0
    assert metrics.auc(np.full(3, 0.2), 0.2) == 0.0


def test_macro_average_leaves_out_a_group_without_errors():
    errors = np.array([0.1, 0.3, 0.4, np.nan])
    assert metrics.macro_average(errors, np.array(["cat", "cat", "dog", "seal"])) == pytest.approx(0.3)


def test_bootstrap_interval_of_many_images_is_the_normal_one():
    errors = np.random.default_rng(5).normal(0.1, 0.02, 2000)
    low, high = metrics.bootstrap_interval(errors, 0)
    spread = errors.std(ddof=1) / len(errors) ** 0.5
    assert low == pytest.approx(errors.mean() - 1.96 * spread, abs=0.15 * spread)
    assert high == pytest.approx(errors.mean() + 1.96 * spread, abs=0.15 * spread)


def test_bootstrap_interval_is_repeatable_and_wider_for_a_higher_level():
    errors = np.append(np.random.default_rng(6).gamma(2, 0.03, 50), np.nan)
    low, high = metrics.bootstrap_interval(errors, np.random.default_rng(1))
    assert (low, high) == metrics.bootstrap_interval(errors[:-1], np.random.default_rng(1))
    wide_low, wide_high = metrics.bootstrap_interval(errors, np.random.default_rng(1), level=0.99)
    assert wide_low < low < high < wide_high


def test_bootstrap_interval_of_equal_errors_is_that_error():
    assert metrics.bootstrap_interval(np.full(10, 0.1), 0) == (0.1, 0.1)


def test_two_images_are_enough_for_an_interval_and_one_is_not():
    low, high = metrics.bootstrap_interval(np.array([0.1, 0.3]), 0)
    assert (low, high) == pytest.approx((0.1, 0.3))
    with pytest.raises(ValueError, match="at least two images"):
        metrics.bootstrap_interval(np.array([0.1, np.nan]), 0)


def test_paired_interval_sees_a_small_gain_that_unpaired_intervals_do_not():
    rng = np.random.default_rng(7)
    b = rng.gamma(2, 0.03, 200)
    a = b - 0.002 + rng.normal(0, 0.002, 200)
    low, high = metrics.paired_interval(a, b, 0)
    assert low < (a - b).mean() < high < 0
    assert metrics.bootstrap_interval(a, 0)[1] > metrics.bootstrap_interval(b, 0)[0]


def test_paired_test_of_three_images_takes_all_eight_sign_changes():
    # all three differences have one sign: 2 of the 8 assignments are as extreme
    assert metrics.paired_test(np.array([0.3, 0.2, 0.4]), np.array([0.1, 0.1, 0.1]), 0) == pytest.approx(0.25)


def test_paired_test_tells_a_gain_from_none():
    rng = np.random.default_rng(8)
    a = rng.gamma(2, 0.03, 300)
    noise = rng.normal(0, 0.01, 300)
    assert metrics.paired_test(a, a + 0.005 + noise, 0) < 0.01
    assert metrics.paired_test(a, a + noise - noise.mean(), 0) > 0.9


def test_paired_errors_must_be_of_the_same_images():
    with pytest.raises(ValueError, match="same images"):
        metrics.paired_test(np.array([0.1, np.nan]), np.array([0.1, 0.2]), 0)


@pytest.mark.parametrize("measure", [metrics.failure_rate, metrics.auc, metrics.cumulative_error])
def test_there_is_no_average_of_nothing(measure):
    with pytest.raises(ValueError, match="no image"):
        measure(np.array([np.nan]), 0.1)


def test_an_interval_over_a_single_draw_is_students_over_images():
    values = np.random.default_rng(0).normal(0.1, 0.05, 30)
    expected = stats.t.interval(0.95, 29, values.mean(), values.std(ddof=1) / 30**0.5)
    assert metrics.crossed_interval(values[:, None]) == pytest.approx(expected)
    expected = stats.t.interval(0.95, 1, 0.2, 0.1)  # of two images, the fewest there may be
    assert metrics.crossed_interval(np.array([[0.1], [0.3]])) == pytest.approx(expected)


def test_an_interval_over_draws_of_equal_images_is_students_over_draws():
    draws = np.array([0.1, 0.2, 0.4])
    expected = stats.t.interval(0.95, 2, draws.mean(), draws.std(ddof=1) / 3**0.5)
    assert metrics.crossed_interval(np.tile(draws, (50, 1))) == pytest.approx(expected)


def test_a_crossed_interval_holds_the_truth_about_as_often_as_it_says():
    """Three draws of 40 images, both effects and what they do together; the truth is 0."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        draws, images = rng.normal(0, 0.02, 3), rng.normal(0, 0.1, (40, 1))
        low, high = metrics.crossed_interval(draws + images + rng.normal(0, 0.05, (40, 3)))
        held += low < 0 < high
    assert 0.94 < held / 1000 < 0.99


def test_a_crossed_interval_is_around_the_mean_of_the_draws_that_an_image_was_part_of():
    values = np.array([[0.1, np.nan], [0.3, np.nan], [np.nan, 0.6], [np.nan, 0.8], [np.nan, 0.7]])
    low, high = metrics.crossed_interval(values)
    assert (low + high) / 2 == pytest.approx((0.2 + 0.7) / 2)
    unseen = np.vstack([values, [np.nan, np.nan]])
    assert metrics.crossed_interval(unseen) == (low, high), "an image that was part of no draw says nothing"
    constant = np.where(np.isnan(values), np.nan, 0.25)
    assert metrics.crossed_interval(constant) == (0.25, 0.25)
    for few in (values[:1], np.full((4, 2), [0.1, np.nan])):
        with pytest.raises(ValueError, match="at least two images, and an image in each draw"):
            metrics.crossed_interval(few)


# --- against scipy's tests, which make other assumptions and agree where those hold


def test_the_paired_test_agrees_with_the_paired_t_test_of_many_images():
    rng = np.random.default_rng(0)
    a = rng.gamma(4, 0.02, 300)
    for shift in (0.0, 0.001, 0.003):
        b = a + rng.normal(shift, 0.02, 300)
        expected = stats.ttest_rel(a, b).pvalue
        assert metrics.paired_test(a, b, 1, resamples=4000) == pytest.approx(expected, abs=0.03)


def test_the_paired_test_of_few_images_counts_all_exchanges():
    a, b = np.array([0.1, 0.2, 0.4, 0.3]), np.array([0.05, 0.1, 0.1, 0.32])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1)
    means = ((a - b)[:, None] * signs).mean(axis=0)
    share = (np.abs(means) >= abs((a - b).mean()) - 1e-12).mean()
    assert metrics.paired_test(a, b, 0) == pytest.approx(share)


def test_the_bootstrap_interval_of_many_images_is_that_of_the_normal_distribution():
    errors = np.random.default_rng(0).normal(0.06, 0.02, 2000)
    low, high = stats.norm.interval(0.95, errors.mean(), errors.std(ddof=1) / 2000**0.5)
    assert metrics.bootstrap_interval(errors, 1, resamples=4000) == pytest.approx((low, high), abs=(high - low) / 20)


def test_the_paired_test_is_scipys_of_the_two_samples_to_the_last_digits():
    rng = np.random.default_rng(2)
    a, b = rng.gamma(4, 0.02, (2, 10))
    for shift in (0.0, 0.01, 0.04):
        exact = stats.permutation_test((a, b + shift), lambda x, y: np.mean(x - y), permutation_type="samples")
        assert metrics.paired_test(a, b + shift, 0) == pytest.approx(exact.pvalue, abs=1e-12)


def test_the_bootstrap_interval_is_the_percentiles_of_resampled_means():
    errors = np.random.default_rng(3).gamma(4, 0.02, 25)
    rows = np.random.default_rng(1).integers(0, 25, (2000, 25))
    expected = np.percentile(errors[rows].mean(axis=1), [2.5, 97.5])
    assert metrics.bootstrap_interval(errors, 1) == pytest.approx(expected, abs=1e-12)
    other = errors - np.random.default_rng(4).gamma(4, 0.02, 25)
    expected = np.percentile(other[rows].mean(axis=1), [2.5, 97.5])
    assert metrics.paired_interval(errors, errors - other, 1) == pytest.approx(expected, abs=1e-12)


def test_the_test_over_seeds_is_scipys():
    values = np.array([0.01, 0.03, 0.05])
    assert metrics.seeds_test(values) == pytest.approx(stats.ttest_rel(values + 0.2, np.full(3, 0.2)).pvalue)
    assert np.isnan(metrics.seeds_test(values[:1])) and np.isnan(metrics.seeds_test(np.full(3, 0.1)))

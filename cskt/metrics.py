"""Error measures of predicted landmarks, and how sure a mean over images is.

Errors are fractions. NaN means not annotated, and only that: an image or landmark without annotation is left out of
every mean, while a prediction that is not a number raises.
"""

import numpy as np
from scipy import stats

# resamples handled at once: bounds the memory at 5,000 images to about 40 MB
_BATCH = 100


def landmark_errors(pred: np.ndarray, true: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Return the distance of each predicted landmark to the annotated one, divided by the image's norm.

    Args:
        pred: predicted landmarks in image pixels, [N, L, 2].
        true: annotated landmarks in image pixels, [N, L, 2]; NaN where not annotated.
        norm: the length each image's errors are divided by, in pixels, [N].

    Returns:
        [N, L]; NaN where not annotated.

    Raises:
        ValueError: shapes differ, a norm is not positive, or an annotated landmark has no finite prediction.
    """
    _check(pred, true, norm)
    # from `true`, not from the distance: a NaN prediction must surface, not be skipped
    annotated = ~np.isnan(true).any(axis=-1)
    lost = annotated & ~np.isfinite(pred).all(axis=-1)
    if lost.any():
        image, landmark = np.argwhere(lost)[0]
        raise ValueError(f"{lost.sum()} predictions are not finite, the first: image {image}, landmark {landmark}")
    return np.linalg.norm(pred - true, axis=-1) / norm[:, None]


def nme(pred: np.ndarray, true: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Return the normalized mean error of each image, as a fraction.

    Args:
        pred: predicted landmarks in image pixels, [N, L, 2].
        true: annotated landmarks in image pixels, [N, L, 2]; NaN where not annotated.
        norm: the length each image's error is divided by, in pixels, [N].

    Returns:
        [N]; NaN for an image without any annotated landmark.

    Raises:
        ValueError: as for `landmark_errors`.

    Example:
        >>> true = np.array([[[0.0, 0.0], [10.0, 0.0]]])
        >>> float(nme(true + [3.0, 4.0], true, norm=np.array([50.0]))[0])
        0.1
    """
    _check(pred, true, norm)
    away = pred - true
    whole = np.sqrt(np.einsum("nlk,nlk->nl", away, away)).sum(axis=1)
    # finite where every landmark is annotated and predicted, as in mining: a third of the time
    if np.isfinite(whole).all():
        return whole / (norm * true.shape[1])
    errors = landmark_errors(pred, true, norm)
    annotated = ~np.isnan(errors)
    count = annotated.sum(axis=1)
    total = np.where(annotated, errors, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def pck(pred: np.ndarray, true: np.ndarray, norm: np.ndarray, limit: float) -> float:
    """Return the share of annotated landmarks whose error is at most `limit` (of the norm).

    Example:
        >>> true = np.zeros((1, 2, 2))
        >>> pck(np.array([[[3.0, 4.0], [6.0, 8.0]]]), true, norm=np.array([50.0]), limit=0.1)
        0.5
    """
    errors = landmark_errors(pred, true, norm)
    return float((_annotated(errors.ravel()) <= limit).mean())


def failure_rate(errors: np.ndarray, limit: float) -> float:
    """Return the share of images whose error is above `limit`.

    Args:
        errors: one for each image, [N]; NaN for one without annotation.
        limit: the error that is still no failure, as a fraction.

    Raises:
        ValueError: no image has an error.

    Example:
        >>> failure_rate(np.array([0.02, 0.08, 0.09, np.nan, 0.30]), limit=0.08)
        0.5
    """
    return float((_annotated(errors) > limit).mean())


def cumulative_error(errors: np.ndarray, limit: float, points: int = 201) -> tuple[np.ndarray, np.ndarray]:
    """Return the cumulative error distribution: how large a share of the images has an error of at most x.

    Args:
        errors: one for each image, [N]; NaN for one without annotation.
        limit: the largest x, as a fraction.
        points: how many values of x, from 0 to the limit.

    Returns:
        x and share, [points] each.

    Raises:
        ValueError: no image has an error.

    Example:
        >>> x, share = cumulative_error(np.array([0.0, 0.1, 0.15, 0.9]), limit=0.2, points=3)
        >>> share.tolist()
        [0.25, 0.5, 0.75]
    """
    annotated = np.sort(_annotated(errors))
    x = np.linspace(0.0, limit, points)
    return x, np.searchsorted(annotated, x, side="right") / len(annotated)


def auc(errors: np.ndarray, limit: float) -> float:
    """Return the area under the cumulative error distribution up to `limit`, divided by the limit.

    The exact area, not a sum over grid points: an image of error e has the share 1 of the images beyond e.

    Args:
        errors: one for each image, [N]; NaN for one without annotation.
        limit: the largest error that counts, as a fraction.

    Returns:
        1 if every error is 0, 0 if every error is at or above the limit.

    Raises:
        ValueError: no image has an error.

    Example:
        >>> auc(np.array([0.0, 0.1, 0.5, 0.5]), limit=0.2)
        0.375
    """
    return float(np.clip(1.0 - _annotated(errors) / limit, 0.0, None).mean())


def macro_average(errors: np.ndarray, groups: np.ndarray) -> float:
    """Return the mean over groups (species, say) of their mean errors: each group counts once, however large.

    Args:
        errors: one for each image, [N]; NaN for one without annotation.
        groups: the group of each image, [N]; a group without any annotated image is left out.

    Raises:
        ValueError: no image has an error.

    Example:
        >>> macro_average(np.array([0.1, 0.1, 0.1, 0.3]), np.array(["cat", "cat", "cat", "seal"]))
        0.2
    """
    annotated = _annotated(errors)
    _, index = np.unique(np.asarray(groups)[~np.isnan(errors)], return_inverse=True)
    return float((np.bincount(index, weights=annotated) / np.bincount(index)).mean())


def bootstrap_interval(
    errors: np.ndarray, rng: np.random.Generator | int, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean error over images.

    Args:
        errors: one for each image, [N]; NaN for one without annotation.
        rng: generator, or seed of one.
        level: how often such intervals hold the true mean.
        resamples: how many times N images are drawn.

    Returns:
        Lower and upper end, as fractions.

    Raises:
        ValueError: fewer than two images have an error.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; `scipy.stats.bootstrap`.
    """
    annotated = _annotated(errors)
    if len(annotated) < 2:
        raise ValueError("an interval needs the errors of at least two images")
    if np.ptp(annotated) == 0:
        # every resample has the same mean; scipy's ends would differ from it by rounding only
        return float(annotated[0]), float(annotated[0])
    result = stats.bootstrap(
        (annotated,),
        np.mean,
        n_resamples=resamples,
        batch=_BATCH,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(rng),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def paired_interval(
    errors_a: np.ndarray,
    errors_b: np.ndarray,
    rng: np.random.Generator | int,
    level: float = 0.95,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Return the bootstrap interval of mean(a - b) over images scored by both; below 0 where a is the better.

    Args:
        errors_a: of one model, [N]; NaN for an image without annotation.
        errors_b: of the other model on the same images in the same order, [N].
        rng: generator, or seed of one.
        level: how often such intervals hold the true difference.
        resamples: how many times N images are drawn.

    Returns:
        Lower and upper end, as fractions.

    Raises:
        ValueError: fewer than two images, or the two do not score the same images.
    """
    return bootstrap_interval(_differences(errors_a, errors_b), rng, level, resamples)


def paired_test(
    errors_a: np.ndarray, errors_b: np.ndarray, rng: np.random.Generator | int, resamples: int = 2000
) -> float:
    """Return how probable a mean difference this large would be, were the two models as good as each other.

    Two-sided permutation test over images: each image's two errors change places or not.

    Args:
        errors_a: of one model, [N]; NaN for an image without annotation.
        errors_b: of the other model on the same images in the same order, [N].
        rng: generator, or seed of one.
        resamples: how many permutations are drawn; all 2**N are taken instead where they are no more.

    Returns:
        The p-value; at least 2 / (resamples + 1) where permutations are drawn.

    Raises:
        ValueError: the two do not score the same images, or none.

    Source: `scipy.stats.permutation_test`.
    """
    differences = _differences(errors_a, errors_b)
    result = stats.permutation_test(
        (differences,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_BATCH,
        rng=np.random.default_rng(rng),
    )
    return float(result.pvalue)


def seeds_test(differences: np.ndarray) -> float:
    """Return how probable a mean this far from 0 would be among so many seeds, were other seeds' mean 0.

    Two-sided t-test; of three seeds, as runs here have, it sees large effects alone.

    Args:
        differences: one per seed, [S].

    Returns:
        The p-value; NaN for one seed, or where all are equal.

    Source: `scipy.stats.ttest_1samp`.
    """
    differences = np.asarray(differences, dtype=float)
    if len(differences) < 2 or np.allclose(differences, differences[0], rtol=1e-9, atol=0):
        return np.nan
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def crossed_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean of values that vary with the image and with the draw of the training images.

    The variance is that of the mean over images plus that of the mean over draws, each from its own means, and the
    degrees of freedom are those of the two together: with three draws of which each gives another result, the interval
    is as wide as three results make it, however many images there are. What images and draws do together is counted
    in both, so the interval is rather too wide than too narrow.

    Args:
        values: one row per image, one column per draw, [N, D]; NaN where an image was not part of a draw.
        level: how often such intervals hold the true mean.

    Returns:
        Lower and upper end around the mean of the draws' means. Of a single draw they speak of other images alone.

    Raises:
        ValueError: fewer than two images, or a draw without any.

    Source: Satterthwaite, "An approximate distribution of estimates of variance components", 1946.
    """
    values = np.asarray(values, dtype=float)
    present = ~np.isnan(values)
    if not present.any(axis=0).all() or present.any(axis=1).sum() < 2:
        raise ValueError("an interval needs at least two images, and an image in each draw")
    middle = np.nanmean(values, axis=0).mean()
    parts = [np.nanmean(values[present.any(axis=1)], axis=1)]
    if values.shape[1] > 1:
        parts.append(np.nanmean(values, axis=0))
    sizes = np.array([len(part) for part in parts])
    variances = np.array([part.var(ddof=1) for part in parts]) / sizes
    total = variances.sum()
    if total == 0:
        return float(middle), float(middle)
    freedom = total**2 / (variances**2 / (sizes - 1)).sum()
    reach = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(total)
    return float(middle - reach), float(middle + reach)


def _annotated(errors: np.ndarray) -> np.ndarray:
    annotated = np.asarray(errors, dtype=float)
    annotated = annotated[~np.isnan(annotated)]
    if not len(annotated):
        raise ValueError("there is no image with an error to average over")
    return annotated


def _differences(errors_a: np.ndarray, errors_b: np.ndarray) -> np.ndarray:
    if np.shape(errors_a) != np.shape(errors_b) or (np.isnan(errors_a) != np.isnan(errors_b)).any():
        raise ValueError("paired errors must be of the same images in the same order")
    return _annotated(np.asarray(errors_a) - np.asarray(errors_b))


def _check(pred, true, norm) -> None:
    if pred.shape != true.shape or norm.shape != true.shape[:1]:
        raise ValueError(
            f"expected pred and true [N, L, 2] and norm [N], found {pred.shape}, {true.shape}, {norm.shape}"
        )
    if not (norm > 0).all():
        raise ValueError(f"expected positive norms, found {norm[~(norm > 0)][0]} for image {np.argmin(norm > 0)}")

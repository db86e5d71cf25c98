"""Object keypoint similarity (COCO's rules) for bodies: sigmas, similarity, suppression, and AP by pycocotools.

What COCO's evaluation does is not ours: `average_precision` hands the tables to pycocotools' COCOeval. Our own `oks` is
for suppression and per-instance numbers, and equal to pycocotools' (tests/test_oks.py).
"""

import contextlib
import copy
import io

import numpy as np
import pandas as pd

# landmark scheme -> {name of an order: sigma of each landmark}; spec 6.2. "coco_order" are the values that AP-10K's
# paper and ScarceNet used: COCO's, in COCO's order of joints, which is not AP-10K's. Numbers of the two eras differ.
SIGMAS: dict[str, dict[str, tuple[float, ...]]] = {
    "ap10k17": {
        "ap10k": (0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089,
                  0.107, 0.087, 0.089),
        "coco_order": (0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
                       0.087, 0.087, 0.089, 0.089),
    }
}  # fmt: skip
METRICS = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "ar50", "ar75", "ar_medium", "ar_large")


def oks(pred: np.ndarray, true: np.ndarray, area: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Return the similarity of each prediction to the annotation beside it: mean of exp(-d^2 / (8 area sigma^2)).

    Args:
        pred: predicted landmarks in image pixels, [N, L, 2].
        true: annotated landmarks in image pixels, [N, L, 2]; NaN where not annotated.
        area: of each annotation, square pixels, [N].
        sigmas: of each landmark, [L].

    Returns:
        [N], from 0 to 1; NaN where no landmark is annotated (COCO then measures from the box, and does not count it).

    Source: COCO keypoint evaluation, cocodataset.org; its k is 2 sigma.

    Example:
        >>> true = np.array([[[0.0, 0.0]]])
        >>> oks(true + [3.0, 4.0], true, np.array([1250.0]), np.array([0.05])).round(3).tolist()
        [0.368]
    """
    squared = ((pred - true) ** 2).sum(axis=-1)
    similarity = np.exp(-squared / (8 * (np.asarray(area, float)[:, None] + np.spacing(1)) * np.square(sigmas)))
    seen = ~np.isnan(true).any(axis=-1)
    total = np.where(seen, similarity, 0.0).sum(axis=-1)
    return np.where(seen.any(axis=-1), total / np.maximum(seen.sum(axis=-1), 1), np.nan)


def detection_score(confidence: np.ndarray, box_score: np.ndarray, visible: float = 0.2) -> np.ndarray:
    """Return the score of each detection: that of its box times the mean confidence of its landmarks above `visible`.

    Args:
        confidence: peak of each landmark's heatmap, [N, L].
        box_score: 1 for annotated boxes, [N].
        visible: confidence above which a landmark counts; where none does, the mean is 0.

    Example:
        >>> detection_score(np.array([[0.8, 0.4, 0.1], [0.2, 0.1, 0.0]]), np.array([1.0, 1.0])).round(3).tolist()
        [0.6, 0.0]
    """
    counted = confidence > visible
    total = np.where(counted, confidence, 0.0).sum(axis=-1)
    return box_score * total / np.maximum(counted.sum(axis=-1), 1)


def suppress(
    landmarks: np.ndarray, score: np.ndarray, area: np.ndarray, sigmas: np.ndarray, limit: float = 0.9
) -> np.ndarray:
    """Return the detections of one image that stay: greedily by score, without those too similar to a better one.

    Args:
        landmarks: of each detection in image pixels, [N, L, 2].
        score: [N].
        area: of each detection's box, square pixels, [N]; the similarity of two is measured on the mean of both.
        sigmas: of each landmark, [L].
        limit: similarity above which the lower-scored one goes.

    Returns:
        Indices of those that stay, best first.
    """
    left = list(np.argsort(-np.asarray(score), kind="stable"))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        if left:
            others = np.array(left)
            first = np.repeat(landmarks[best][None], len(others), axis=0)
            similar = oks(landmarks[others], first, (area[others] + area[best]) / 2, sigmas)
            left = [other for other, value in zip(left, similar, strict=True) if value <= limit]
    return np.array(kept, dtype=int)


def average_precision(
    truth: pd.DataFrame,
    true_landmarks: np.ndarray,
    detections: pd.DataFrame,
    landmarks: np.ndarray,
    sigmas: np.ndarray,
    resamples: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return COCO's AP and AR of landmarks, over all categories and of each, as pycocotools computes them.

    Args:
        truth: one row per annotated instance: picture, category, area (square pixels), and x, y, w, h of the box.
        true_landmarks: in image pixels, [N, L, 2]; NaN where not annotated.
        detections: one row per detection: picture, category, score.
        landmarks: of the detections, in image pixels, [D, L, 2].
        sigmas: of each landmark, [L].
        resamples: how many times the pictures are drawn anew, with replacement, for the interval of "all"; 0: none.
        seed: of the draws.

    Returns:
        One row per category, the first one "all": category, instances, ap_low and ap_high (ends of the 95 % bootstrap
        interval over pictures, of "all"), ap (OKS 0.50 to 0.95), ap50, ap75, ap_medium
        (32^2 to 96^2 pixels), ap_large, ar and the same of ar; NaN where there is no such instance. "all" is the mean
        over the categories that have one: each category counts as much as any other.

    Raises:
        ValueError: a detection with a landmark or a score that is NaN or infinite.
    """
    if not np.isfinite(landmarks).all() or not np.isfinite(detections["score"].to_numpy(float)).all():
        raise ValueError("a detection without a place or a score: pycocotools would take it as a hit")
    from pycocotools.cocoeval import COCOeval

    names = {name: number for number, name in enumerate(sorted(truth["category"].unique()), start=1)}
    # a detection in a picture without an animal is a false one
    all_pictures = sorted({*truth["picture"], *detections["picture"]})
    pictures = {name: number for number, name in enumerate(all_pictures, start=1)}
    # pycocotools prints a report of each of its steps
    with contextlib.redirect_stdout(io.StringIO()):
        ground = _coco(_ground_truth(truth, true_landmarks, names, pictures), names, pictures)
        known = detections["category"].isin(names)
        rows = _detections(detections[known], landmarks[known.to_numpy()], names, pictures)
        found = ground.loadRes(rows) if rows else _coco([], names, pictures)
        table = []
        for category in [None, *names]:
            run = COCOeval(ground, found, "keypoints")
            run.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=float)
            if category is not None:
                run.params.catIds = [names[category]]
            run.evaluate()
            run.accumulate()
            run.summarize()
            own = truth if category is None else truth[truth["category"] == category]
            numbers = np.where(run.stats < 0, np.nan, run.stats)
            numbers = dict(zip(METRICS, numbers, strict=True))
            low, high = _interval(run, resamples, seed) if category is None else (np.nan, np.nan)
            ends = {"ap_low": low, "ap_high": high}
            table.append({"category": category or "all", "instances": len(own), **ends, **numbers})
    return pd.DataFrame(table)


def _interval(run, resamples: int, seed: int) -> tuple[float, float]:
    """Ends of the 95 % interval of an evaluated COCOeval's AP over draws of its pictures."""
    if not resamples:
        return np.nan, np.nan
    run, rng = copy.copy(run), np.random.default_rng(seed)
    count = len(run.params.imgIds)
    # category by category and size by size, what was matched in each picture; a picture drawn twice counts twice
    matched = np.array(run.evalImgs, dtype=object).reshape(-1, count)
    drawn = []
    for _ in range(resamples):
        run.evalImgs = matched[:, rng.integers(count, size=count)].ravel().tolist()
        run.accumulate()
        precision = run.eval["precision"][..., 0, :]  # of all sizes
        drawn.append(precision[precision > -1].mean() if (precision > -1).any() else np.nan)
    return tuple(np.nanpercentile(drawn, [2.5, 97.5]))


def _ground_truth(truth, landmarks, names, pictures) -> list[dict]:
    seen = ~np.isnan(landmarks).any(axis=-1)
    points = np.concatenate([np.nan_to_num(landmarks), 2.0 * seen[..., None]], axis=-1)
    boxes = truth[["x", "y", "w", "h"]].to_numpy(float)
    return [
        {"id": number, "image_id": pictures[row.picture], "category_id": names[row.category], "area": float(row.area),
         "bbox": box.tolist(), "iscrowd": 0, "num_keypoints": int(visible.sum()), "keypoints": own.ravel().tolist()}
        for number, (row, box, own, visible) in enumerate(
            zip(truth.itertuples(), boxes, points, seen, strict=True), start=1)
    ]  # fmt: skip


def _detections(detections, landmarks, names, pictures) -> list[dict]:
    points = np.concatenate([landmarks, np.ones((*landmarks.shape[:2], 1))], axis=-1)
    return [
        {"image_id": pictures[row.picture], "category_id": names[row.category], "score": float(row.score),
         "keypoints": own.ravel().tolist()}
        for row, own in zip(detections.itertuples(), points, strict=True)
    ]  # fmt: skip


def _coco(annotations, names, pictures):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": number} for number in pictures.values()],
        "categories": [{"id": number, "name": name} for name, number in names.items()],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco

"""From the scores of many runs to one table: methods side by side, on known and on unknown species, with intervals.

A scores table has one row per image (`predict.score`); a long one holds those of many runs, told apart by the columns
run and seed (`runs.collect_tables`).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from cskt import metrics
from cskt.data.table import Annotations, landmark_columns, with_landmarks
from cskt.errors import DataError, some
from cskt.landmarks import Scheme, SharedLandmarks, combine
from cskt.predict import known_unknown, score, summarize
from cskt.shapes import fit_shape, place_shape

GROUPS = ("all", "known", "unknown")
# what the runs are called in figures and tables, in the order in which they are shown
NAMES = {
    "mean_shape": "mean shape in the box",
    "median_shape": "median shape in the box",
    "human_model": "human model, no animal label",
    "few_shot": "few-shot only",
    "method": "with the unlabeled pictures",
    "pseudo_label": "Pseudo-label",
    "uda": "UDA",
    "uda_unmasked": "UDA, all answers",
    "uda_released": "UDA, as the authors ran it",
    "fixmatch": "FixMatch",
    "fixmatch_unmasked": "FixMatch, all answers",
    "fixmatch_released": "FixMatch, as the authors ran it",
    "scarcenet": "ScarceNet",
    "mean_teacher": "Mean Teacher",
    "meta_cskt_published": "Meta-CSKT, published",
    "meta_cskt_corrected": "Meta-CSKT, corrected",
    "meta_cskt_improved": "Meta-CSKT, improved",
    "supervised_known": "fully supervised, known species",
    "supervised": "fully supervised",
    "ls": "L_s: labels alone",
    "ls_lu": "+ L_u: student imitates teacher",
    "ls_lu_lf": "+ L_f: feedback",
    "ls_lu_lf_negatives": "+ hard negatives excluded",
    "without_imitation": "without L_u: teacher alone",
    "without_feedback": "without feedback",
    "without_exclusion": "without excluding negatives",
    "without_pull": "without pull on the teacher",
    "without_augmentation": "without augmentation",
    "without_averaging": "without averaged weights",
    "sharpened_targets": "sharpened targets",
    "feedback_raw": "feedback raw",
    "feedback_noise": "feedback replaced by noise",
    "improved_with_exclusion": "improved, without hard negatives",
    "ls_distilled": "L_s, then distillation",
    "scarcenet_distilled": "ScarceNet, then distillation",
    "mean_teacher_distilled": "Mean Teacher, then distillation",
    "pool_capped": "pool capped at 40 images",
    "few_shot_without_human": "few-shot only, without the human model",
    "meta_cskt_without_human": "Meta-CSKT, corrected, without the human model",
    "horse_published_detached": "published, no feedback (fault 13)",
    "horse_published_raw": "published, raw feedback",
    "horse_published_normalized": "published, normalized feedback",
    "horse_corrected_detached": "corrected, no feedback",
    "horse_corrected_raw": "corrected, raw feedback",
    "horse_corrected_normalized": "corrected, normalized feedback",
    "horse_corrected_noise": "corrected, noise for feedback",
}
# what starts without the human model -> the run that starts from it
START = {"few_shot_without_human": "few_shot", "meta_cskt_without_human": "meta_cskt_corrected"}
# each run of the horse grid with a feedback -> the run of the same variant without (fault 13 of spec 1.14)
FEEDBACK = {
    run: f"{run.rpartition('_')[0]}_detached"
    for run in NAMES
    if run.startswith("horse_") and not run.endswith("detached")
}


def shape_scores(
    fit: Annotations, test: Annotations, statistic: Literal["mean", "median"] = "mean", boxes: np.ndarray | None = None
) -> pd.DataFrame:
    """Score the face shape that knows the box only: the reference line that every model has to beat.

    Args:
        fit: the faces whose mean or median shape it is.
        test: the faces it is placed on.
        statistic: of each coordinate over the faces.
        boxes: others than the test faces' own, [N, 4]; errors are divided by the size of their own all the same.

    Returns:
        A scores table of the test faces.
    """
    boxes = test.boxes if boxes is None else boxes
    landmarks = place_shape(fit_shape(fit.landmarks, fit.boxes, statistic), boxes)
    return score(with_landmarks(test.table[["image", "species", "family"]], test.scheme, landmarks), test)


def shared_places(table: pd.DataFrame, scheme: Scheme, weights: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Replace a table's landmarks by the places that human and animal landmarks share.

    Args:
        table: with <landmark>_x and <landmark>_y of each landmark of the scheme.
        scheme: what its landmarks are.
        weights: `from_a` or `from_b` of the shared landmarks, whichever belongs to the scheme, [S, L].
        names: of the shared places, S.

    Returns:
        The table with <place>_x and <place>_y instead; NaN where a landmark that it needs is missing.
    """
    landmarks = table[landmark_columns(scheme)].to_numpy(float).reshape(len(table), -1, 2)
    others = [name for name in table if not name.startswith(tuple(f"{landmark}_" for landmark in scheme.landmarks))]
    return with_landmarks(table[others], Scheme("shared", tuple(names)), combine(weights, landmarks))


def shared_scores(
    predictions: pd.DataFrame, scheme: Scheme, truth: Annotations, shared: SharedLandmarks
) -> pd.DataFrame:
    """Score predictions on the places that human and animal landmarks share.

    Args:
        predictions: of the human model or of an animal model, by `predict.predict`.
        scheme: what the predictions' landmarks are.
        truth: of the same images, in the animals' scheme.
        shared: the places that the human scheme (a) and the animals' scheme (b) share.

    Returns:
        A scores table whose landmarks are the shared places.
    """
    weights = shared.from_b if scheme == truth.scheme else shared.from_a
    found = shared_places(predictions, scheme, weights, shared.names)
    true = shared_places(truth.table, truth.scheme, shared.from_b, shared.names)
    return score(found, Annotations(true, Scheme("shared", shared.names), truth.problems))


def add_group(scores: pd.DataFrame, labeled_species: Sequence[str]) -> pd.DataFrame:
    """Return a scores table with a column group: "known" where an image's species occurs among the labels."""
    return scores.assign(group=known_unknown(scores["species"], labeled_species))


def summarize_groups(scores: pd.DataFrame) -> dict[str, float]:
    """Reduce a scores table with a group column to the numbers that are reported.

    Returns:
        The numbers of `predict.summarize` over all images, then with the prefix known_ and unknown_ those of each
        group that occurs.
    """
    numbers = summarize(scores)
    for group, part in scores.groupby("group"):
        numbers |= summarize(part, prefix=f"{group}_")
    return numbers


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table with a column run in the order of `NAMES`, other runs last; rows of a run keep their order."""
    place = {run: n for n, run in enumerate(NAMES)}
    return table.sort_values("run", key=lambda runs: runs.map(place), kind="stable", ignore_index=True)


def seed_average(scores: pd.DataFrame) -> pd.DataFrame:
    """Average each image's error over a run's seeds.

    Args:
        scores: a long scores table.

    Returns:
        One row per run and image: run, image, species, family, group and nme; in the order of the runs.
    """
    identity = [name for name in ("run", "image", "species", "family", "group") if name in scores]
    return scores.groupby(identity, sort=False)["nme"].mean().reset_index()


def compare(scores: pd.DataFrame, baseline: str = "few_shot", bound: str = "supervised", seed: int = 0) -> pd.DataFrame:
    """Put runs side by side.

    Args:
        scores: a long scores table with a group column; all runs on the same images.
        baseline: the run that reductions are relative to.
        bound: the run that ratios are relative to.
        seed: of the resamples.

    Returns:
        One row per run and group (all, then those of known and unknown that occur), in the order of `NAMES`:
        images and seeds (counts);
        nme, of errors averaged over seeds, with the ends of its 95 % bootstrap interval over images, and nme_sd, the
        standard deviation over seeds (NaN for one seed);
        nme_macro, fr08, fr10, auc20: means over seeds of the numbers of `predict.summarize`;
        reduction: share of the baseline's nme by which this nme is lower, with the ends of its paired 95 % interval
        over images (the baseline's nme taken as it is), the p-value of the paired test, and reduction_sd and p_seeds,
        standard deviation and p-value over seeds, each compared with the baseline of its own seed;
        ratio: nme over the bound's nme. The last seven are NaN where the run they need is not there.
        Intervals and p_value speak of other images, the standard deviations and p_seeds of other seeds.

    Raises:
        DataError: two runs did not score the same images.
    """
    _check_same_images(scores)
    rows = []
    for group in GROUPS:
        part = scores if group == "all" else scores[scores["group"] == group]
        if part.empty:
            continue
        averaged = seed_average(part)
        errors = {run: own.sort_values("image")["nme"].to_numpy() for run, own in averaged.groupby("run", sort=False)}
        for run, own in part.groupby("run", sort=False):
            row = {"run": run, "group": group, **_summary(own, seed)}
            if baseline in errors and run != baseline:
                row |= _reduction(errors[run], errors[baseline], seed)
                by_seed = part.groupby(["run", "seed"])["nme"].mean()
                reductions = (1 - by_seed[run] / by_seed[baseline]).dropna()
                row |= {"reduction_sd": reductions.std(ddof=1), "p_seeds": metrics.seeds_test(reductions)}
            row["ratio"] = float(np.nanmean(errors[run]) / np.nanmean(errors[bound])) if bound in errors else np.nan
            rows.append(row)
    return in_order(pd.DataFrame(rows))


def against(scores: pd.DataFrame, references: Mapping[str, str | None], seed: int = 0) -> pd.DataFrame:
    """Put each run beside one other run, the one that it is to be judged by.

    Args:
        scores: a long scores table with a group column; those of these runs on the same images.
        references: run -> the run it is held against, or None.
        seed: of the resamples.

    Returns:
        One row per run and group (all, then those of known and unknown that occur in the scores of these runs), in the
        order of `references`: run, group, reference;
        images and seeds (counts), nme with the ends of its interval, nme_sd, as `compare` gives them;
        difference: nme minus the reference's, below 0 where the run is the better, with the ends of its paired 95 %
        interval over images, the p-value of the paired test, and difference_sd and p_seeds, standard deviation and
        p-value over seeds.
        These are over the seeds that both have, errors averaged over them.
        NaN where a run or its reference is not there.

    Raises:
        DataError: two of these runs did not score the same images.
    """
    scores = scores[scores["run"].isin({*references, *references.values()})]
    groups = [group for group in GROUPS if group == "all" or (scores["group"] == group).any()]
    _check_same_images(scores)
    rows = []
    for run, reference in references.items():
        for group in groups:
            part = scores if group == "all" else scores[scores["group"] == group]
            own, other = part[part["run"] == run], part[part["run"] == reference]
            row = {"run": run, "group": group, "reference": reference}
            if len(own):
                row |= _summary(own, seed)
            if common := set(own["seed"]) & set(other["seed"]):
                row |= _difference(own[own["seed"].isin(common)], other[other["seed"].isin(common)], seed)
            rows.append(row)
    columns = ["run", "group", "reference", "images", "seeds", "nme", "nme_low", "nme_high", "nme_sd",
               "difference", "difference_low", "difference_high", "p_value", "difference_sd", "p_seeds"]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=columns)


def ladder(scores: pd.DataFrame, order: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Put each run beside the one before it: the rows of an ablation, of which each adds something to the last.

    Args:
        scores: a long scores table with a group column.
        order: the runs, from the first row to the last.
        seed: of the resamples.

    Returns:
        See `against`.
    """
    return against(scores, dict(zip(order, [None, *order], strict=False)), seed)


def label_budget(scores: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The errors of runs by the number of their labels, over all images.

    Args:
        scores: a long scores table with the columns kind (of labels or method) and labels (how many); one run of each.
        seed: of the resamples.

    Returns:
        One row per kind and number of labels: kind, labels, images, seeds, and nme with the ends of its 95 % bootstrap
        interval over images, of errors averaged over seeds, and nme_sd, the standard deviation over seeds.
    """
    columns = ["kind", "labels", "images", "seeds", "nme", "nme_low", "nme_high", "nme_sd"]
    rows = [
        {"kind": kind, "labels": labels, **_summary(own, seed)}
        for (kind, labels), own in scores.groupby(["kind", "labels"])
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def _difference(own: pd.DataFrame, other: pd.DataFrame, seed: int) -> dict[str, float]:
    """How much lower (below 0) or higher one run's errors are than another's of the same images and seeds."""
    errors, others = (seed_average(part).sort_values("image")["nme"].to_numpy() for part in (own, other))
    low, high = metrics.paired_interval(errors, others, seed)
    by_seed = own.groupby("seed")["nme"].mean() - other.groupby("seed")["nme"].mean()
    return {
        "difference": float(np.nanmean(errors - others)),
        "difference_low": low,
        "difference_high": high,
        "p_value": metrics.paired_test(errors, others, seed),
        "difference_sd": by_seed.std(ddof=1),
        "p_seeds": metrics.seeds_test(by_seed),
    }


def _summary(scores: pd.DataFrame, seed: int) -> dict[str, float]:
    """The numbers of one run and group."""
    by_seed = pd.DataFrame([summarize(part, seed) for _, part in scores.groupby("seed")])
    averaged = summarize(seed_average(scores), seed)
    return {
        "images": averaged["images"],
        "seeds": len(by_seed),
        **{name: averaged[name] for name in ("nme", "nme_low", "nme_high")},
        "nme_sd": by_seed["nme"].std(ddof=1),
        **{name: by_seed[name].mean() for name in ("nme_macro", "fr08", "fr10", "auc20")},
    }


def _reduction(errors: np.ndarray, baseline: np.ndarray, seed: int) -> dict[str, float]:
    """How much lower than the baseline's the errors of the same images are."""
    whole = np.nanmean(baseline)
    low, high = metrics.paired_interval(errors, baseline, seed)
    return {
        "reduction": float(1 - np.nanmean(errors) / whole),
        "reduction_low": float(-high / whole),
        "reduction_high": float(-low / whole),
        "p_value": metrics.paired_test(errors, baseline, seed),
    }


def _check_same_images(scores: pd.DataFrame) -> None:
    scored = {key: set(own["image"][own["nme"].notna()]) for key, own in scores.groupby(["run", "seed"], sort=False)}
    if not scored:
        return
    (first, images), *others = scored.items()
    for (run, seed), own in others:
        if odd := sorted(own ^ images):
            raise DataError(
                f"run {run}, seed {seed} and run {first[0]}, seed {first[1]} have scored different images "
                f"({some(odd)}): do the older of the two again"
            )

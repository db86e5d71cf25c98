"""What an adaptation gives: the detector, its cross-validated error, pseudo-labels to look at, what to label next."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cskt import files, galleries, sheets
from cskt.adapt.job import decisions
from cskt.adapt.prepare import Adaptation
from cskt.comparison import shape_scores
from cskt.data.datasets import UnlabeledSet
from cskt.data.table import Annotations, landmark_columns
from cskt.metrics import paired_interval, paired_test
from cskt.predict import score, summarize
from cskt.progress import bar
from cskt.settings import Setting

ALIKE = 0.9  # correlation above which two pictures are so alike that labeling one of them will do


def write_results(adaptation: Adaptation) -> dict[str, Any]:
    """Write checkpoint, scores, sheets, the next pictures and report.md into the adaptation's folder.

    Returns:
        The numbers of the report: labels, unlabeled, and where there are folds, of each stage (few_shot, method) and of
        the mean shape in the box: nme with its 95 % interval, fr08, ...; fractions.
    """
    out, cfg = adaptation.out, adaptation.cfg
    stage = "few_shot" if cfg.OWN.FEW_SHOT_ONLY else "method"
    with files.atomic_path(out / "checkpoint.pt") as temporary:
        shutil.copyfile(out / "jobs" / "final" / f"{stage}.pt", temporary)
    setting = Setting(cfg)
    truth = setting.annotations("test")
    summary: dict[str, Any] = {"labels": len(truth), "unlabeled": len(adaptation.unlabeled or ()), "stage": stage}
    scores = cross_validate(adaptation, truth)
    if len(scores):
        files.write_csv(out / "scores.csv", scores)
        for name, own in scores.groupby("run", sort=False):
            summary |= summarize(own, prefix=f"{name}_")
        if stage == "method":
            few, best = (scores.loc[scores["run"] == name, "nme"].to_numpy() for name in ("few_shot", "method"))
            low, high = paired_interval(best, few, 0)
            summary |= {"gain": float(np.nanmean(few - best)), "gain_low": -high, "gain_high": -low,
                        "gain_p": paired_test(best, few, 0)}  # fmt: skip
        _worst(out, truth, scores, stage)
    if adaptation.unlabeled is not None:
        unlabeled = setting.unlabeled_set()
        write_pseudo_label_sheets(adaptation)
        summary["next"] = _write_next(adaptation, unlabeled)
    files.write_json(out / "summary.json", summary)
    files.write_text(out / "report.md", report(adaptation, summary, scores))
    return summary


# --- the error -------------------------------------------------------------------------------------------------------


def cross_validate(adaptation: Adaptation, truth: Annotations) -> pd.DataFrame:
    """Each label's error, of the networks that had not learned it.

    Returns:
        run ("mean_shape", "few_shot", "method"), fold, and the columns of `predict.score`; a row per run and label.
        Empty without folds.
    """
    parts = []
    for job, names in adaptation.held_out.items():
        if not names:
            continue
        held_out = truth.select(names)
        learned = truth.select([name for name in truth.table["image"] if name not in set(names)])
        if np.isfinite(learned.landmarks).all(axis=-1).any(axis=0).all():  # else there is no mean of some landmark
            parts.append(shape_scores(learned, held_out).assign(run="mean_shape", fold=job))
        for run in ("few_shot", "method"):
            path = adaptation.out / "jobs" / job / f"held_out_{run}.csv"
            if path.exists():
                parts.append(score(pd.read_csv(path), truth).assign(run=run, fold=job))
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "run", table.pop("run"))
    table.insert(1, "fold", table.pop("fold"))
    order = {"mean_shape": 0, "few_shot": 1, "method": 2}
    return table.sort_values(["run", "image"], key=lambda own: own.map(order).fillna(0) if own.name == "run" else own,
                             ignore_index=True)  # fmt: skip


def _worst(out: Path, truth: Annotations, scores: pd.DataFrame, stage: str) -> None:
    """The labels with the largest errors beside what was found: a mistake of the network, or of the label."""
    found = pd.concat([pd.read_csv(path) for path in sorted((out / "jobs").glob(f"fold*/held_out_{stage}.csv"))])
    worst = scores[scores["run"] == stage].nlargest(16, "nme")
    titles = [f"{sheets.short_name(name)}\n{100 * error:.1f} %"
              for name, error in zip(worst["image"], worst["nme"], strict=True)]  # fmt: skip
    faces = truth.select(worst["image"]).table
    sheets.save(
        galleries.gallery(faces, {"truth": faces, "prediction": found}, titles=titles), out / "worst_labels.png"
    )


# --- pseudo-labels and the next labels -------------------------------------------------------------------------------


def shown_pseudo_labels(out: Path) -> pd.DataFrame:
    """The rows of pseudo_labels.csv that are on the sheets: what mining took for sure, and what a person accepted."""
    decisions(out / "pseudo_labels.csv")  # a table that a spreadsheet has spoiled is told
    table = pd.read_csv(out / "pseudo_labels.csv", dtype={"decision": str}, keep_default_na=True)
    table["decision"] = table["decision"].fillna("").str.strip().str.lower()
    if "row" not in table:  # of a version before
        table.insert(0, "row", np.arange(1, len(table) + 1))
    return table[(table["category"] == "positive") | (table["decision"] == "accept")].reset_index(drop=True)


def write_pseudo_label_sheets(adaptation: Adaptation) -> list[Path]:
    """Draw all pseudo-labels, under their rows in pseudo_labels.csv, into pseudo_labels_1.png and so on.

    Returns:
        The files. Sheets of an earlier call that are not among them are removed.
    """
    out, shown = adaptation.out, shown_pseudo_labels(adaptation.out)
    faces = adaptation.unlabeled.select(shown["image"])
    parts = [rows for rows in sheets.pages(len(shown)) if len(rows)]
    written = []
    for number, rows in enumerate(bar(parts, desc="sheets of pseudo-labels", unit="sheet"), start=1):
        own = shown.iloc[rows]
        titles = [f"{row}: {sheets.short_name(name, 13)}\n{word or 'as mined'}"
                  for row, name, word in zip(own["row"], own["image"], own["decision"], strict=True)]  # fmt: skip
        axes = sheets.gallery(faces.table.iloc[rows], own, faces.scheme, titles)
        written.append(out / f"pseudo_labels_{number}.png")
        sheets.save(axes, written[-1])
    for path in set(out.glob("pseudo_labels_*.png")) - set(written):
        path.unlink()
    return written


def committee_disagreement(landmarks: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """How far several networks are apart on each picture.

    Args:
        landmarks: of M networks, in image pixels, [M, N, L, 2].
        norm: the length that distances are divided by, [N].

    Returns:
        [N], fractions: the root mean square distance from the mean of the networks, mean over the landmarks.

    Example:
        >>> apart = np.array([[[[0.0, 0.0]]], [[[6.0, 8.0]]]])
        >>> committee_disagreement(apart, np.array([50.0])).tolist()
        [0.1]
    """
    away = ((landmarks - landmarks.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0)
    return np.sqrt(away).mean(axis=-1) / norm


def choose_next(data: UnlabeledSet, disagreement: np.ndarray, count: int) -> np.ndarray:
    """The pictures with the largest disagreement, passing over one that looks like one already chosen.

    Args:
        data: N pictures.
        disagreement: [N]; NaN for a picture that is not to be chosen.
        count: how many.

    Returns:
        Rows, [count] or fewer, the largest disagreement first; those that look alike only when others have run out.
    """
    order = [row for row in np.argsort(-disagreement, kind="stable") if np.isfinite(disagreement[row])]
    looks = _looks(data)
    chosen: list[int] = []
    for row in order:
        if len(chosen) < count and all(float(looks[row] @ looks[other]) < ALIKE for other in chosen):
            chosen.append(row)
    rest = [row for row in order if row not in set(chosen)][: count - len(chosen)]
    return np.array([*chosen, *rest], dtype=int)


def _looks(data: UnlabeledSet) -> np.ndarray:
    """A small grey picture of each crop as a vector of mean 0 and length 1, [N, 144]."""
    margin = (data.crops.shape[1] - data.size) // 2
    looks = []
    for row in range(len(data)):
        grey = data.take([row])[0, margin : margin + data.size, margin : margin + data.size].float().mean(dim=-1)
        edges = np.linspace(0, data.size, 13).astype(int)
        cells = np.add.reduceat(np.add.reduceat(grey.numpy(), edges[:-1], axis=0), edges[:-1], axis=1).ravel()
        cells = cells - cells.mean()
        looks.append(cells / (np.linalg.norm(cells) or 1.0))
    return np.stack(looks)


def _write_next(adaptation: Adaptation, unlabeled: UnlabeledSet) -> int:
    """Propose pictures to label: next_to_label.csv and .png; returns how many."""
    out, cfg = adaptation.out, adaptation.cfg
    tables = [pd.read_csv(out / "jobs" / job / "unlabeled.csv") for job in _parts(adaptation) or ["final"]]
    columns = landmark_columns(unlabeled.scheme)
    landmarks = np.stack([table[columns].to_numpy(float).reshape(len(table), -1, 2) for table in tables])
    if len(tables) > 1:
        apart = committee_disagreement(landmarks, unlabeled.norm)
    else:
        mined = pd.read_csv(out / "jobs" / "final" / "mining.csv").set_index("image")
        apart = mined.loc[unlabeled.table["image"], "flip_disagreement"].to_numpy()
    dropped = {name for name, word in decisions(out / "pseudo_labels.csv").items() if word == "drop"}
    apart = np.where(unlabeled.table["image"].isin(dropped), np.nan, apart)
    rows = choose_next(unlabeled, apart, cfg.OWN.NEXT)
    chosen = unlabeled.table.iloc[rows].reset_index(drop=True)
    table = chosen[["image", "path"]].assign(disagreement=apart[rows])
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    files.write_csv(out / "next_to_label.csv", table)
    if len(rows):
        final = (
            pd.read_csv(out / "jobs" / "final" / "unlabeled.csv").set_index("image").loc[chosen["image"]].reset_index()
        )
        titles = [f"{sheets.short_name(name)}\n{k}: apart {100 * far:.1f} %" for k, name, far in
                  zip(table["rank"], table["image"], table["disagreement"], strict=True)]  # fmt: skip
        sheets.save(sheets.gallery(chosen, final, unlabeled.scheme, titles), out / "next_to_label.png")
    return len(rows)


def _parts(adaptation: Adaptation) -> list[str]:
    """The jobs of the cross-validation."""
    return [job for job, names in adaptation.held_out.items() if names]


# --- the report ------------------------------------------------------------------------------------------------------

_NAMES = {
    "mean_shape": "mean shape in the box (no network)",
    "few_shot": "learned from the labels alone",
    "method": "with the unlabeled pictures",
}


def report(adaptation: Adaptation, summary: dict[str, Any], scores: pd.DataFrame) -> str:
    """The results as Markdown, for a person."""
    cfg, scheme = adaptation.cfg, adaptation.labels.faces.scheme
    folds, of_labels_alone = len(_parts(adaptation)), summary["stage"] == "few_shot"
    source = "alone" if of_labels_alone else f"and {summary['unlabeled']:,} unlabeled pictures"
    lines = [f"# A detector from {summary['labels']} labels {source}", ""]
    if len(scores):
        lines += [
            f"Cross-validated error, {folds} parts: each label was predicted by a network that had learned the others "
            "alone, in its own face box. NME: mean distance, as a share of sqrt(width * height) of the box.",
            "",
            "| | NME % (95 % interval) | above 8 % | above 10 % |",
            "|---|---|---|---|",
        ]
        for run in scores["run"].unique():
            nme, low, high = (f"{100 * summary[f'{run}_{name}']:.2f}" for name in ("nme", "nme_low", "nme_high"))
            over = " | ".join(f"{summary[f'{run}_{name}']:.0%}" for name in ("fr08", "fr10"))
            lines.append(f"| {_NAMES[run]} | {nme} ({low} to {high}) | {over} |")
        if "gain" in summary:
            gain = (100 * summary[name] for name in ("gain", "gain_low", "gain_high"))
            lines += ["", _gain(*gain, summary["gain_p"])]
        if warning := _warning(scores, summary["stage"]):
            lines += ["", warning]
        best = scores[scores["run"] == summary["stage"]]
        of_each = ", ".join(f"{name} {100 * best[f'{name}_error'].mean():.1f}" for name in scheme.landmarks)
        lines += [
            "",
            f"By landmark, NME %: {of_each}.",
            "",
            "The final detector learned from all labels, so it should be a little better than this. On a picture whose "
            "box fits worse than those of the labels it will be worse. Labels of one animal, or of neighboring frames, "
            "on both sides of a split make the error look better than it is; where there are folders enough, faces of "
            "one stay together.",
        ]
    else:
        lines.append("No cross-validated error: OWN.FOLDS is 0, or there are fewer than four labels.")
    lines += ["", "## Notes", "", *(f"* {note}" for note in adaptation.notes), "", "## Files", ""]
    lines.append(
        "* `checkpoint.pt`: the detector, for `python -m cskt predict --checkpoint checkpoint.pt --images DIR ...`"
    )
    if len(scores):
        lines.append("* `scores.csv`: each label's error; `worst_labels.png`: the largest, to look for wrong labels")
    if adaptation.unlabeled is not None and not of_labels_alone:
        shown = len(shown_pseudo_labels(adaptation.out))
        lines.append(
            f"* `pseudo_labels.csv`, `pseudo_labels_*.png`: what mining took for sure (category positive), all {shown} "
            "on the sheets, under their numbers in the column row. Write accept, reject or drop into the column "
            "decision and call the same command again: that stage is done anew"
        )
    if adaptation.unlabeled is not None:
        reason = (
            "the networks of the cross-validation are farthest apart"
            if folds > 1
            else "the answer changes most when the picture is mirrored"
        )
        lines.append(
            f"* `next_to_label.csv`, `next_to_label.png`: the {summary['next']} pictures whose label would teach most: "
            f"those on which {reason}"
        )
    how = "few-shot training" if of_labels_alone else f"method {cfg.METHOD.NAME}, variant {cfg.METHOD.VARIANT}"
    lines.append(f"* `config.yaml`: every setting ({how}, seed {cfg.SEED})")
    return "\n".join([*lines, ""])


def _gain(gain: float, low: float, high: float, p_value: float) -> str:
    """What the unlabeled pictures did to the error, in points.

    Example:
        >>> _gain(1.234, -0.5, 3.0, 0.2)
        'The unlabeled pictures lowered the error by 1.23 points (95 % interval -0.50 to 3.00, p = 0.2).'
        >>> _gain(-1.234, -3.0, 0.5, 0.2)
        'The unlabeled pictures raised the error by 1.23 points (95 % interval -0.50 to 3.00, p = 0.2).'
    """
    word, by, ends = ("lowered", gain, (low, high)) if gain > 0 else ("raised", -gain, (-high, -low))
    verb = f"{word} the error by {by:.2f} points" if round(by, 2) else "left the error as it was"
    # an end of the interval that rounds to nothing has no sign
    low, high = (round(end, 2) + 0.0 for end in ends)
    return f"The unlabeled pictures {verb} (95 % interval {low:.2f} to {high:.2f}, p = {p_value:.2g})."


def _warning(scores: pd.DataFrame, stage: str) -> str:
    """What to say where the detector is not shown to find landmarks better than the mean shape in the box; "" else."""
    errors = scores.pivot(index="image", columns="run", values="nme").dropna()
    if "mean_shape" not in errors or len(errors) < 2:
        return ""
    found, mean = errors[stage].to_numpy(), errors["mean_shape"].to_numpy()
    _, high = paired_interval(found, mean, 0)
    if high < 0:
        return ""
    word = "above" if found.mean() >= mean.mean() else "not surely below"
    return (
        f"**Warning: do not trust this detector. Its error, {100 * found.mean():.2f} %, is {word} that of the mean "
        f"shape put into each box without looking at the picture, {100 * mean.mean():.2f} %.** Look for wrong labels "
        "(`worst_labels.png`, `python -m cskt data check`), then label more."
    )

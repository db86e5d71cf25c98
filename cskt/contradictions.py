"""Where the published material contradicts itself: what is printed, beside what the released tables say."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cskt import published, released

MACAQUE = "primatelnaf020_val_best"  # the released file of the printed macaque number


def table(folder: str | Path) -> pd.DataFrame:
    """Hold what the paper prints against what its released tables say, as far as the folder has them.

    Args:
        folder: see `cskt.released`.

    Returns:
        One row per point: printed and recomputed, texts in percent; the index is the point.
    """
    parts = (
        _baselines(folder),
        _batches(folder),
        _thresholds(folder),
        _sweeps(),
        _boxes(folder),
        _macaque(folder),
        _shared_images(folder),
    )
    rows = [row for part in parts for row in part]
    return pd.DataFrame(rows, columns=["point", "printed", "recomputed"]).set_index("point")


def _baselines(folder: str | Path) -> Iterator[tuple[str, str, str]]:
    printed, gaps = published.table("ssl"), released.against(folder).set_index("file")
    files = released.result_files(folder).set_index("file")
    ours = _percent(printed.loc["Meta-CSKT", "unknown"])
    for method in ("UDA", "FixMatch"):
        unknown, known = (f"test_40_{group}_{method.lower()}_pre" for group in ("unknown", "known"))
        if unknown in gaps.index:
            gap, file = 100 * gaps.loc[unknown], files.loc[unknown]
            yield (
                f"{method} on unknown species",
                f"{_percent(printed.loc[method, 'unknown'])}, Meta-CSKT {ours}",
                f"{_percent(file['nme'])} in the file named “unknown”; on the same {file['images']:,} images it "
                f"differs from Meta-CSKT's by {gap['difference']:+.2f} ± {gap['standard_error']:.2f} points (standard "
                "error over batches)",
            )
        if known in files.index:
            file = files.loc[known]
            yield (
                f"{method} on known species",
                _percent(printed.loc[method, "known"]),
                f"no file has it: the one named “known” holds {file['images_of'] or 'other images'}, "
                f"{_percent(file['nme'])}",
            )


def _batches(folder: str | Path) -> Iterator[tuple[str, str, str]]:
    files = released.result_files(folder)
    files = files[files["batch"] > 1]
    if len(files):
        first = files.iloc[0]
        yield (
            "result files",
            "one row per image",
            f"batch means in {len(files)} files: the {first['images']:,} rows of {first['file']} hold "
            f"{first['values']:,} values, in runs of {first['batch']}",
        )


def _thresholds(folder: str | Path) -> Iterator[tuple[str, str, str]]:
    for kind, name, value, verb in (("t_neg", "T_neg", "0.2", "excluded"), ("t_pos", "T_pos", "0.05", "included")):
        counts = released.threshold_counts(folder, [float(value)], [float(value)]).set_index("kind")["images"]
        if kind in counts.index:
            printed = published.table(kind).loc[value, "images"]
            yield (
                f"images {verb} at {name} = {_percent(float(value), 0)}",
                f"{printed:,.0f} (supplement)",
                f"{counts[kind]:,} by the released shifts",
            )


def _sweeps() -> Iterator[tuple[str, str, str]]:
    ablation = published.table("ablation")
    for row, kind, name, value in (
        ("+ exclude negatives", "t_neg", "T_neg", "0.2"),
        ("+ include positives", "t_pos", "T_pos", "0.05"),
    ):
        first, second = ablation.loc[row], published.table(kind).loc[value]
        yield (
            f"one run in two places: {row}, {name} = {_percent(float(value), 0)}",
            f"{_percent(first['known'])} / {_percent(first['unknown'])} (ablation)",
            f"{_percent(second['known'])} / {_percent(second['unknown'])} (supplement's sweep)",
        )


def _boxes(folder: str | Path) -> Iterator[tuple[str, str, str]]:
    rule = released.box_rule(released.released_margins(folder))
    if len(rule):
        sides = "; ".join(f"{row.side} {row.share:.2f} × extent + {row.pixels:.1f} px" for row in rule.itertuples())
        least = f"{100 * rule['within'].min():.0f} % of the boxes or more follow this to 2 px"
        yield "face boxes", "part of the data set", f"made of the landmarks: {sides}; {least}"
    shapes = released.shape_errors(folder).set_index("statistic")
    if len(shapes):
        n = shapes.iloc[0]
        yield (
            "known species without any network",
            "not given",
            f"{_percent(shapes.loc['mean', 'nme'])} for the mean shape in the box, "
            f"{_percent(shapes.loc['median', 'nme'])} for the median one (fitted on {n['fitted']:.0f} of "
            f"{n['fitted_of']:.0f} faces, tested on {n['tested']:,.0f} of {n['tested_of']:,.0f}: those with public "
            "landmarks)",
        )


def _macaque(folder: str | Path) -> Iterator[tuple[str, str, str]]:
    errors = released.results(folder).get(MACAQUE)
    if errors is not None:
        rest, share = released.without_worst(errors["nme"], 2)
        yield (
            "Japanese macaque",
            _percent(published.table("macaque").loc["Meta-CSKT", "test"]),
            f"{_percent(errors['nme'].mean())}; two of {len(errors)} images are {_percent(share, 0)} of it, without "
            f"them {_percent(rest)}",
        )


def _shared_images(folder: str | Path) -> Iterator[tuple[str, str, str]]:
    shared = released.overlaps(folder).set_index(["first", "second"])["images"]
    tests = [name for name in ("test_40_known", "test_40_unknown") if ("all", name) in shared.index]
    if tests:
        text = (
            "the unlabeled list holds all "
            + " and ".join(f"{shared['all', name]:,}" for name in tests)
            + " test images"
        )
        if pairs := [shared["all_150", name] for name in tests if ("all_150", name) in shared.index]:
            text += f"; {' and '.join(map(str, pairs))} of the 150 images that choose the weights are test images"
        if ("test_40_known", "test_40_unknown") in shared.index:
            text += f"; {shared['test_40_known', 'test_40_unknown']} images are both known and unknown"
        yield "training, choice and test", "40 labels", text


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"

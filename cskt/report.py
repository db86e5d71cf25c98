"""The results in README.md: tables made from docs/results/, which `evaluate` runs are copied to; never typed."""

import re
from pathlib import Path

import pandas as pd

from cskt.comparison import NAMES
from cskt.errors import DataError
from cskt.files import write_text


def results_table(results: pd.DataFrame, group: str, landmarks: str = "all") -> str:
    """One group of an `evaluate` run's results as a Markdown table, in percent.

    Args:
        results: from `comparison.compare`, with the column landmarks.
        group: "all", "known" or "unknown".
        landmarks: "all", or "shared" (those that people have too).
    """
    rows = results[(results["group"] == group) & (results["landmarks"] == landmarks)]
    lines = [
        "| method | seeds | NME % (95 % interval) | over seeds | FR@0.08 | FR@0.10 | AUC@0.2 | below few-shot by | "
        "of fully supervised |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows.itertuples():
        cells = [
            NAMES.get(row.run, row.run),
            f"{row.seeds}",
            f"{100 * row.nme:.2f} ({100 * row.nme_low:.2f} to {100 * row.nme_high:.2f})",
            _text(100 * row.nme_sd, "± {:.2f}"),
            f"{100 * row.fr08:.1f}",
            f"{100 * row.fr10:.1f}",
            f"{row.auc20:.3f}",
            _text(
                100 * row.reduction,
                f"{{:.1f}} % ({100 * row.reduction_low:.1f} to {100 * row.reduction_high:.1f}), p = {row.p_value:.2g}",
            ),
            _text(row.ratio, "{:.2f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fill(text: str, folder: Path) -> str:
    """Renew every table between `<!-- results SETTING GROUP LANDMARKS -->` and `<!-- end -->` in a Markdown text.

    Args:
        text: the page.
        folder: holds `<setting>.csv` for each setting named.

    Raises:
        DataError: a table's results are not there.
    """

    def renew(match: re.Match) -> str:
        setting, group, landmarks = match["what"].split()
        file = folder / f"{setting}.csv"
        if not file.is_file():
            raise DataError(f"{file}: no results of setting {setting}; `python -m cskt report {setting}` writes them")
        table = results_table(pd.read_csv(file), group, landmarks)
        return f"<!-- results {match['what']} -->\n{table}\n<!-- end -->"

    return re.sub(r"<!-- results (?P<what>[^>]*?) -->\n.*?<!-- end -->", renew, text, flags=re.DOTALL)


def publish(setting: str, outputs: Path, project: Path) -> list[Path]:
    """Copy a setting's results and runs into docs/results/, and renew README.md.

    Args:
        setting: a folder of `outputs` with a finished `evaluate` run.
        outputs: the folder of all settings.
        project: the folder of README.md and docs/.

    Returns:
        The files written.

    Raises:
        DataError: there is no finished `evaluate` run.
    """
    from cskt.files import write_csv
    from cskt.runs import collect

    source = outputs / setting / "evaluate" / "results.csv"
    if not (source.parent / "summary.json").is_file() or not source.is_file():
        raise DataError(f"{source.parent}: no finished run; `make reproduce SETTING={setting}` makes it")
    folder = project / "docs" / "results"
    results, runs = folder / f"{setting}.csv", folder / f"{setting}_runs.csv"
    write_csv(results, pd.read_csv(source))
    columns = ["setting", "run", "seed", "commit", "dirty", "seconds", "nme", "known_nme", "unknown_nme"]
    table = collect(setting, outputs)
    write_csv(runs, table[[column for column in columns if column in table]])
    page = project / "README.md"
    write_text(page, fill(page.read_text(encoding="utf-8"), folder))
    return [results, runs, page]


def _text(value: float, form: str) -> str:
    return "" if pd.isna(value) else form.format(value)

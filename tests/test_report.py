"""The README's tables are what docs/results/ says."""

import re

import pandas as pd
import pytest

from cskt.config import PROJECT
from cskt.errors import DataError
from cskt.report import fill, results_table

RESULTS = pd.DataFrame(
    [
        {"run": "few_shot", "group": "known", "landmarks": "all", "images": 9, "seeds": 3, "nme": 0.125,
         "nme_low": 0.12, "nme_high": 0.13, "nme_sd": 0.001, "nme_macro": 0.12, "fr08": 0.5, "fr10": 0.25,
         "auc20": 0.4, "reduction": float("nan"), "reduction_low": float("nan"), "reduction_high": float("nan"),
         "p_value": float("nan"), "ratio": 1.5},
        {"run": "meta_cskt_corrected", "group": "known", "landmarks": "all", "images": 9, "seeds": 3, "nme": 0.1,
         "nme_low": 0.09, "nme_high": 0.11, "nme_sd": 0.002, "nme_macro": 0.1, "fr08": 0.4, "fr10": 0.2,
         "auc20": 0.5, "reduction": 0.2, "reduction_low": 0.15, "reduction_high": 0.25, "p_value": 0.001,
         "ratio": 1.2},
        {"run": "few_shot", "group": "unknown", "landmarks": "all", "images": 9, "seeds": 3, "nme": 0.9,
         "nme_low": 0.8, "nme_high": 1.0, "nme_sd": 0.1, "nme_macro": 0.9, "fr08": 1.0, "fr10": 1.0, "auc20": 0.0,
         "ratio": 2.0},
    ]
)  # fmt: skip


def test_a_table_holds_one_group_in_percent():
    lines = results_table(RESULTS, "known").splitlines()[2:]
    assert lines == [
        "| few-shot only | 3 | 12.50 (12.00 to 13.00) | ± 0.10 | 50.0 | 25.0 | 0.400 |  | 1.50 |",
        "| Meta-CSKT, corrected | 3 | 10.00 (9.00 to 11.00) | ± 0.20 | 40.0 | 20.0 | 0.500 "
        "| 20.0 % (15.0 to 25.0), p = 0.001 | 1.20 |",
    ]


def test_only_what_stands_between_the_marks_is_renewed(tmp_path):
    RESULTS.to_csv(tmp_path / "toy.csv", index=False)
    page = "before\n<!-- results toy known all -->\nold\n<!-- end -->\nafter\n"
    renewed = fill(page, tmp_path)
    assert "old" not in renewed and renewed.startswith("before\n") and renewed.endswith("<!-- end -->\nafter\n")
    assert results_table(RESULTS, "known") in renewed
    assert fill(renewed, tmp_path) == renewed


def test_a_setting_without_results_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv.*cskt report nothing"):
        fill("<!-- results nothing known all -->\n<!-- end -->", tmp_path)


def test_the_readme_shows_the_results_that_are_committed():
    page = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert re.search("<!-- results ", page)
    assert fill(page, PROJECT / "docs" / "results") == page

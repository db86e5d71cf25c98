"""The published numbers, against spec 1.12 and against each other."""

import numpy as np
import pytest

from cskt import published


def test_published_numbers_are_fractions_in_the_order_of_the_paper():
    ablation = published.table("ablation")
    assert list(ablation.index) == ["L_s", "+ L_u", "+ L_f", "+ exclude negatives", "+ include positives"]
    assert ablation.loc["+ include positives"].to_dict() == {"known": 0.0561, "unknown": 0.0744}
    assert ablation["unknown"].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("animalweb", "HG3", "unknown", 0.0596),
        ("animalweb", "HG2", "known_labels", 17960),
        ("macaque", "MDMD, 300-W", "test", 0.0344),
        ("ssl", "ScarceNet", "unknown", 0.0832),
        ("label_budget", "hard", "10", 0.1653),
        ("t_neg", "0.2", "images", 1822),
        ("t_pos", "0.05", "known", 0.05804),
        ("t_neg_families", "0.1", "highest_share", 0.95),
        ("family_nme", "66", "fine_tuned", 0.3299),
        ("family_gain", "Spheniscidae", "Bovidae", 0.033),
    ],
)
def test_published_numbers_are_those_of_the_spec(table, row, column, value):
    assert published.table(table).loc[row, column] == value


def test_what_was_not_published_is_missing():
    assert np.isnan(published.table("t_pos").loc["0.01", "images"])


def test_the_paper_says_the_same_twice():
    """The pseudo-label row is the ablation's second one, and the full method is the same in three tables."""
    assert published.table("ssl").loc["Pseudo-label"].equals(published.table("ablation").loc["+ L_u"])
    full = published.table("ablation").loc["+ include positives"].tolist()
    assert published.table("ssl").loc["Meta-CSKT"].tolist() == full
    assert published.table("animalweb").loc["Meta-CSKT 40", ["known", "unknown"]].tolist() == full


def test_digitized_numbers_are_named_as_such():
    assert published.sources("ablation") == "README, ablation_study.png (printed)"
    assert published.sources("family_gain") == "README, Fig. 1b (quantized)"
    with pytest.raises(ValueError, match="no published table 'horse'; there are animalweb"):
        published.sources("horse")

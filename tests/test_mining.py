"""Positive example mining."""

import numpy as np
import pytest

from cskt.errors import DataError
from cskt.mining import categorize, count_categories, read_disagreements


def test_limits_are_strict_below_and_flip_goes_first():
    human = np.array([0.0, 0.0, 0.049, 0.05, 0.9, 0.9])
    flip = np.array([0.2, 0.199, 0.1, 0.1, 0.1, 0.2])
    categories = categorize(human, flip, t_pos=0.05, t_neg=0.2)
    assert categories.tolist() == ["hard_negative", "positive", "positive", "semi_hard", "semi_hard", "hard_negative"]
    assert count_categories(categories) == {"hard_negative": 2, "positive": 2, "semi_hard": 2}


def test_no_image_is_positive_at_a_human_threshold_of_zero():
    categories = categorize(np.zeros(3), np.array([0.0, 0.1, 0.3]), t_pos=0.0, t_neg=0.2)
    assert count_categories(categories) == {"hard_negative": 1, "positive": 0, "semi_hard": 2}


@pytest.mark.parametrize(("human", "flip"), [([np.nan], [0.1]), ([0.1], [np.nan])])
def test_an_image_without_a_disagreement_has_no_category(human, flip):
    with pytest.raises(ValueError, match="NaN"):
        categorize(np.array(human), np.array(flip), 0.05, 0.2)


@pytest.fixture
def write(tmp_path):
    def write_csv(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_csv


def test_tables_are_joined_by_name_not_by_row(write):
    human = write("human.csv", "img,nme\na.jpg,0.1\nb.jpg,0.2\nc.jpg,0.3\n")
    flip = write("flip.csv", "image,shift\nc.jpg,3\na.jpg,1\nb.jpg,2\n")
    table = read_disagreements(human, flip)
    assert table["image"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert (table["flip_disagreement"] / table["human_disagreement"]).tolist() == pytest.approx([10, 10, 10])
    assert read_disagreements(human, flip, ["c.jpg", "a.jpg"])["human_disagreement"].tolist() == [0.3, 0.1]


@pytest.mark.parametrize(
    ("flip", "images", "message"),
    [
        ("img,nme\na,0.1\n", None, "flip.csv: no row for 1 of 2 images: 'b'"),
        ("img,nme\na,0.1\nb,0.1\nc,0.1\nd,0.1\n", None, "human.csv: no row for 2 of 4 images: 'c', 'd'"),
        ("img,nme\na,0.1\nb,0.1\n", ["b", "e"], "human.csv: no row for 1 of 2 images: 'e'"),
        ("img,nme\na,0.1\nb,0.1\na,0.2\n", None, "flip.csv, line 4: image 'a' stands already on line 2"),
        ("img,nme\na,0.1\nb,\n", None, "flip.csv, line 3: expected a number as nme, found ''"),
        ("img,nme\na,0.1\nb,nan\n", None, "flip.csv, line 3: expected a fraction of 0 or more, found nan"),
        ("img,nme\na,0.1\nb,-0.1\n", None, "flip.csv, line 3: expected a fraction of 0 or more, found -0.1"),
        ("img,nme\na,1e999\nb,1\n", None, "flip.csv, line 2: expected a fraction of 0 or more, found inf"),
        ("img,error\na,0.1\n", None, "flip.csv, line 1: expected columns img or image, nme or shift or disagreement;"),
    ],
)
def test_tables_that_do_not_fit_are_named(write, tmp_path, flip, images, message):
    human = write("human.csv", "img,nme\na,0.1\nb,0.2\n")
    with pytest.raises(DataError) as error:
        read_disagreements(human, write("flip.csv", flip), images)
    assert str(error.value).startswith(f"{tmp_path}/{message}")

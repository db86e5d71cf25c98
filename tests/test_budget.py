"""Label lists: nested, even over species, drawn anew by each seed, and read as a run's labels."""

import numpy as np
import pandas as pd

from cskt import budget

FACES = pd.DataFrame({"species": ["cat"] * 30 + ["cow"] * 20 + ["dog"] * 5 + ["owl"] * 40})
FACES["image"] = [f"{species}_{k}.jpg" for k, species in enumerate(FACES["species"])]


def draw(seed, species=("cat", "cow", "dog"), sizes=(10, 20, 40)):
    return budget.nested_lists(FACES, species, sizes, np.random.default_rng(seed))


def counts(names):
    return pd.Series(names).str.split("_").str[0].value_counts().to_dict()


def test_a_list_is_even_over_its_species_until_one_has_no_more_images():
    lists = draw(0)
    assert {size: len(set(names)) for size, names in lists.items()} == {10: 10, 20: 20, 40: 40}
    assert sorted(counts(lists[10]).values()) == [3, 3, 4]
    assert counts(lists[40])["dog"] == 5 and counts(lists[40])["cat"] in (17, 18)


def test_a_smaller_list_is_part_of_a_larger_one_and_seeds_draw_differently():
    lists = draw(0)
    assert set(lists[10]) < set(lists[20]) < set(lists[40])
    assert draw(0) == lists
    assert set(draw(1)[10]) != set(lists[10])


def test_each_image_of_a_species_is_drawn_as_often_as_another():
    drawn = pd.Series([name for seed in range(200) for name in draw(seed, ["cow"], [10])[10]]).value_counts()
    # 100 expected for each of the twenty, with a standard deviation of 7
    assert len(drawn) == 20 and drawn.between(65, 135).all()


def test_a_list_for_which_there_are_too_few_images_is_left_out():
    assert draw(0, ["dog"], [5, 6]).keys() == {5}


def test_classes_go_by_the_error_not_by_the_name():
    errors = pd.Series({"a": 0.5, "b": 0.1, "c": 0.3, "d": 0.2, "e": 0.4})
    assert budget.difficulty(errors) == {"easy": ["b", "d"], "medium": ["c", "e"], "hard": ["a"]}

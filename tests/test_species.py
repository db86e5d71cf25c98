"""Species and families."""

import pytest

from cskt.data.zoo_species import SPECIES
from cskt.species import FAMILY_OF, family_of, species_of


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("horse_00002.jpg", "horse"),
        ("koala_13.jpg", "koala"),
        ("snow_leopard_7.png", "snow_leopard"),
        ("sub/folder/koala_13.jpg", "koala"),
        ("unnumbered.jpg", "unnumbered"),
    ],
)
def test_species_is_the_name_without_its_number(name, species):
    assert species_of(name) == species


def test_families():
    families = {name: family_of(name) for name in ("cat", "cow", "dog", "horse", "sheep", "human", "unicorn")}
    assert families == {
        "cat": "Felidae",
        "cow": "Bovidae",
        "dog": "Canidae",
        "horse": "Equidae",
        "sheep": "Bovidae",
        "human": "Hominidae",
        "unicorn": "unknown",
    }


def test_zoo_agrees():
    assert {kind.name: kind.family for kind in SPECIES}.items() <= FAMILY_OF.items()

"""Species, and the table of their families and orders."""

from collections import defaultdict
from pathlib import Path

import pytest

import cskt
from cskt.data.reading import read_list
from cskt.data.zoo_species import SPECIES
from cskt.species import FROM_HUMAN_TO_BEAK, family_of, species_of, table_name, taxonomy

TABLE = taxonomy()
# spec, section 6.1: the categories of AP-10K
AP10K = {
    *("antelope", "argali sheep", "bison", "buffalo", "cow", "sheep", "arctic fox", "dog", "fox", "wolf", "beaver"),
    *("alouatta", "monkey", "noisy night monkey", "spider monkey", "uakari", "deer", "moose", "hamster", "elephant"),
    *("horse", "zebra", "bobcat", "cat", "cheetah", "jaguar", "king cheetah", "leopard", "lion", "panther"),
    *("snow leopard", "tiger", "giraffe", "hippo", "chimpanzee", "gorilla", "orangutan", "rabbit", "skunk", "mouse"),
    *("rat", "otter", "weasel", "raccoon", "rhino", "marmot", "squirrel", "pig", "mole", "black bear", "brown bear"),
    *("panda", "polar bear", "bat"),
}


def of(data_set):
    return {name for name, taxon in TABLE.items() if data_set in taxon.data_sets}


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
    families = {"cat": "Felidae", "cow": "Bovidae", "dog": "Canidae", "horse": "Equidae", "sheep": "Bovidae"}
    families |= {"human": "Hominidae", "snow_leopard": "Felidae", "Polar bear": "Ursidae", "unicorn": "unknown"}
    assert {name: family_of(name) for name in families} == families


@pytest.mark.parametrize(
    ("species", "family", "order"),
    [
        ("aardvark", "Orycteropodidae", "Tubulidentata"),
        ("aardwolf", "Hyaenidae", "Carnivora"),
        ("binturong", "Viverridae", "Carnivora"),
        ("redpanda", "Ailuridae", "Carnivora"),
        ("walrus", "Odobenidae", "Carnivora"),
        ("californiansealion", "Otariidae", "Carnivora"),
        ("hyrax", "Procaviidae", "Hyracoidea"),
        ("dugong", "Dugongidae", "Sirenia"),
        ("tarsiers", "Tarsiidae", "Primates"),
        ("gharial", "Gavialidae", "Crocodylia"),
        ("quoll", "Dasyuridae", "Dasyuromorphia"),
        ("bilby", "Thylacomyidae", "Peramelemorphia"),
        ("quokka", "Macropodidae", "Diprotodontia"),
        ("capybara", "Caviidae", "Rodentia"),
        ("okapi", None, None),
        ("littlebluepenguin", "Spheniscidae", "Sphenisciformes"),
    ],
)
def test_spot_facts(species, family, order):
    taxon = TABLE.get(species)
    assert (taxon and taxon.family, taxon and taxon.order) == (family, order)


def test_every_species_of_animalweb_is_in_the_table_and_no_other_is_said_to_be(shared_data):
    names = {species_of(name) for name in read_list(shared_data / "animalweb" / "lists" / "all.txt").line_of}
    assert of("animalweb") == {table_name(name) for name in names}
    # the names need no spelling of their own
    assert names == {table_name(name) for name in names}


def test_the_counts_are_those_that_the_data_sets_give():
    assert len(of("animalweb")) == 350
    # "350 diverse species and 21 animal orders": Khan et al., "AnimalWeb", CVPR 2020
    assert len({TABLE[name].order for name in of("animalweb")}) == 21
    # the paper counts 67
    assert len({TABLE[name].family for name in of("animalweb")}) == 68
    assert of("ap10k") == set(map(table_name, AP10K))
    assert len(AP10K) == 54
    assert of("animalpose") == {"cat", "cow", "dog", "horse", "sheep"}
    assert of("zoo") == {kind.name for kind in SPECIES}


def test_the_primates_are_those_of_the_released_lists(shared_data):
    # the macaque setting's lists: 61 other primates, and the Cercopithecidae among them with the macaque itself
    lists = shared_data / "animalweb" / "lists"
    files = (lists / "primate.txt", lists / "cercopithecidae.txt")
    primates, monkeys = ({species_of(name) for name in read_list(file).line_of} for file in files)
    assert primates | {"japanesemacaque"} == {name for name in of("animalweb") if TABLE[name].order == "Primates"}
    assert monkeys == {name for name in of("animalweb") if TABLE[name].family == "Cercopithecidae"}


def test_each_family_belongs_to_one_order_and_each_name_stands_once():
    orders = defaultdict(set)
    for taxon in TABLE.values():
        orders[taxon.family].add(taxon.order)
        assert taxon.species == table_name(taxon.species)
        assert taxon.data_sets
    assert {family: own for family, own in orders.items() if len(own) > 1} == {}
    assert all(family.endswith("idae") for family in orders)
    # a repeated name would have vanished into the dictionary
    assert len((Path(cskt.__file__).parent / "taxonomy.csv").read_text().splitlines()) == 1 + len(TABLE)


def test_a_doubt_has_a_reason_and_a_reason_a_doubt():
    assert {taxon.doubt for taxon in TABLE.values()} == {"", "species", "family"}
    assert [name for name, taxon in TABLE.items() if bool(taxon.doubt) != bool(taxon.reason)] == []
    assert {name: TABLE[name].doubt for name in ("possum", "monkey", "colo", "deer", "cloudedleopard", "walrus")} == {
        "possum": "family",
        "monkey": "family",
        "colo": "family",
        "deer": "species",
        "cloudedleopard": "species",
        "walrus": "",
    }


def test_zoo_agrees():
    assert {kind.name: kind.family for kind in SPECIES} == {kind.name: family_of(kind.name) for kind in SPECIES}
    assert [kind.name for kind in SPECIES] == [name for name in FROM_HUMAN_TO_BEAK if name in of("zoo")]

"""Species of an image by its name, and family and order of a species by the table `taxonomy.csv`.

The table is our own: every species name of AnimalWeb, Animal-Pose, AP-10K and the zoo, each once, sorted by order and
family. Where lists of mammals differ it follows the newer ones (the coypu in Echimyidae, marmosets in Callitrichidae);
the column `doubt` says so there, and where a common name covers more than one species or family. AnimalWeb's 350 names
come to 68 families and 21 orders; its authors count 21 orders, those of Meta-CSKT 67 families.
"""

import csv
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

# from the human face to the beak: the order of the zoo's and Animal-Pose's species, and of their families, in figures
FROM_HUMAN_TO_BEAK = (
    *("human", "macaque", "capuchin", "cat", "tiger", "wolf", "fox", "dog", "brownbear", "cow", "sheep", "horse"),
    *("harborseal", "mallard", "penguin"),
)


class Taxon(NamedTuple):
    """What the table knows of a species.

    Attributes:
        species: the data sets' name for it, as `table_name` spells it.
        family, order: scientific names.
        data_sets: which of "animalweb", "ap10k", "animalpose", "zoo" have it.
        doubt: "" (one species), "species" (several, of this one family) or "family" (the family is a choice).
        reason: of the doubt, in a few words.
    """

    species: str
    family: str
    order: str
    data_sets: tuple[str, ...]
    doubt: str
    reason: str


def species_of(image_name: str) -> str:
    """Return an image's species: its file stem without the trailing `_<number>` (AnimalWeb's naming).

    Example:
        >>> species_of("horse_00002.jpg")
        'horse'
    """
    return re.sub(r"_\d+$", "", PurePosixPath(image_name).stem)


def table_name(species: str) -> str:
    """Return a species' name as the table spells it: small letters, nothing between the words.

    Example:
        >>> table_name("Snow leopard"), table_name("De Brazza's monkey")
        ('snowleopard', 'debrazzasmonkey')
    """
    return re.sub(r"[^a-z0-9]", "", species.lower())


@cache
def taxonomy() -> Mapping[str, Taxon]:
    """Return the whole table, one `Taxon` for each name that `table_name` makes."""
    with (Path(__file__).parent / "taxonomy.csv").open(encoding="utf-8", newline="") as file:
        rows = [Taxon(**row | {"data_sets": tuple(row["data_sets"].split())}) for row in csv.DictReader(file)]
    return MappingProxyType({row.species: row for row in rows})


def family_of(species: str) -> str:
    """Return the family of a species; "unknown" where the table does not have it.

    Example:
        >>> family_of("snow leopard"), family_of("unicorn")
        ('Felidae', 'unknown')
    """
    taxon = taxonomy().get(table_name(species))
    return taxon.family if taxon else "unknown"

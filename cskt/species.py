"""Species of an image by its name, and the family of a species."""

import re
from pathlib import PurePosixPath

# the species of the zoo, in its order from the human face to the beak, and those of Animal-Pose
FAMILY_OF: dict[str, str] = {
    "human": "Hominidae",
    "macaque": "Cercopithecidae",
    "capuchin": "Cebidae",
    "cat": "Felidae",
    "tiger": "Felidae",
    "wolf": "Canidae",
    "fox": "Canidae",
    "dog": "Canidae",
    "brownbear": "Ursidae",
    "cow": "Bovidae",
    "sheep": "Bovidae",
    "horse": "Equidae",
    "harborseal": "Phocidae",
    "mallard": "Anatidae",
    "penguin": "Spheniscidae",
}


def species_of(image_name: str) -> str:
    """Return an image's species: its file stem without the trailing `_<number>` (AnimalWeb's naming).

    Example:
        >>> species_of("horse_00002.jpg")
        'horse'
    """
    return re.sub(r"_\d+$", "", PurePosixPath(image_name).stem)


def family_of(species: str) -> str:
    """Return the taxonomic family of a species, "unknown" where it is not listed in `FAMILY_OF`."""
    return FAMILY_OF.get(species, "unknown")

"""The pictures of README's tour: small, and drawn of the zoo alone, as photographs may not be handed on."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from cskt import confusion, explorer, figures, figures_ablation, figures_confusion, files, galleries, grids
from cskt.errors import DataError
from cskt.figures_explorer import name_of, side_by_side
from cskt.settings import Setting
from cskt.species import FROM_HUMAN_TO_BEAK

DPI = 100
FACES = 2  # of each species
COLORS = 64  # of a diagram
FEW, FULL = "few_shot", "meta_cskt_corrected"


def write_tour(setting: Setting, folder: str | Path, out: str | Path) -> list[Path]:
    """Draw the pictures anew from a setting's finished runs, of its first seed.

    Args:
        setting: one that lives on the zoo.
        folder: its folder of runs, outputs/<setting>.
        out: where the pictures go, docs/images.

    Returns:
        The files: faces and landmarks as JPEG, diagrams as PNG.

    Raises:
        DataError: the setting has photographs, or a run that is shown has not finished.
    """
    if not setting.cfg.DATA.ZOO_IMAGES:
        raise DataError(f"the tour is drawn of the zoo alone: {setting.cfg.SETTING} has photographs of others")
    folder, out = Path(folder), Path(out)
    drawn: dict[str, Callable[[Setting, Path], object]] = {
        "faces.jpg": _faces,
        "landmarks.jpg": _landmarks,
        "disagreements.png": _disagreements,
        "matrix.png": _matrix,
        "ablation.png": _ablation,
    }
    needed = ("mining/seed0/mining.csv", "species_confusion/matrix.csv", "ablation/ladder.csv")
    for file in needed:
        if not (folder / file).is_file():
            raise DataError(f"{folder / file}: no such file; `make reproduce SETTING={folder.name}` makes it")
    return [_save(draw(setting, folder), out / name) for name, draw in drawn.items()]


def _faces(setting: Setting, _: Path):
    """Some faces of each species with their landmarks, from the human face to the beak."""
    table = pd.concat([setting.annotations(role).table for role in ("human_train", "train")])
    shown = galleries.examples(table, "species", FACES)
    # one column per species
    shown = shown.assign(place=shown.groupby("species").cumcount()).sort_values("place", kind="stable")
    species = [name for name in FROM_HUMAN_TO_BEAK if name in set(shown["species"])]
    titles = [name.replace("_", " ") for name in shown["species"]]
    return galleries.gallery(shown, {"truth": table}, titles=titles, columns=len(species))


def _landmarks(setting: Setting, folder: Path):
    """Test faces drawn at random, before and after the unlabeled images were learned from."""
    tables = {run: explorer.read(folder, run, 0) for run in (FEW, FULL)}
    pairs = explorer.pair(*(scores for scores, _ in tables.values()))
    shown = pairs.sample(8, random_state=0)
    predictions = {name_of(run): found for run, (_, found) in tables.items()}
    return side_by_side(setting.annotations("test"), shown, predictions)


def _disagreements(setting: Setting, folder: Path):
    mining = setting.cfg.MINING
    return figures.disagreements(pd.read_csv(folder / "mining/seed0/mining.csv"), mining.T_POS, mining.T_NEG)


def _matrix(setting: Setting, folder: Path):
    cells = pd.read_csv(folder / "species_confusion/matrix.csv")
    cells = cells[cells["landmarks"] == "shared"]
    return figures_confusion.clustered(cells, confusion.cluster(cells), setting.cfg.CONFUSION.DRAW_SIZE)


def _ablation(setting: Setting, folder: Path):
    rows = pd.read_csv(folder / "ablation/ladder.csv")
    order = [*grids.runs_of(grids.read(), "ablation", setting.cfg.SETTING), FULL]
    return figures_ablation.ladder(rows[rows["run"].isin(order)], {FULL: "+ positives included (full)"})


def _save(axes, path: Path) -> Path:
    """Write a figure as a small file: pictures as JPEG, diagrams with few colors."""
    import matplotlib.pyplot as plt

    figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
    with io.BytesIO() as drawn, io.BytesIO() as small:
        figure.savefig(drawn, format="png", dpi=DPI)
        plt.close(figure)
        with Image.open(drawn) as picture:
            if path.suffix == ".jpg":
                picture.convert("RGB").save(small, "JPEG", quality=82, optimize=True)
            else:
                picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        files.write_bytes(path, small.getvalue())
    return path

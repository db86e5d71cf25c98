"""AP-10K: its layout, on a set of our own and on the two real images at hand; protocols; the benchmark's rules."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cskt import benchmark, figures_neighbours, generalization, oks
from cskt.config import load
from cskt.data import bodies
from cskt.data.ap10k import BACKGROUNDS, annotation_file, instance_details, read_ap10k, read_unlabeled
from cskt.data.augment import half_body
from cskt.data.datasets import labeled_set, unlabeled_set
from cskt.errors import DataError
from cskt.landmarks import SCHEMES
from cskt.report import generalization_table
from cskt.settings import Setting
from cskt.species import family_of

SCHEME = SCHEMES["ap10k17"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A set of 80 drawn animals in AP-10K's layout."""
    return bodies.write_bodies(tmp_path_factory.mktemp("ap10k") / "bodies", images=80)


# --- the layout


def test_each_part_has_its_share_of_the_pictures_and_all_species(root):
    parts = {part: read_ap10k(root, part) for part in ("train", "val", "test")}
    assert {part: faces.table["picture"].nunique() for part, faces in parts.items()} == {
        "train": 56,
        "val": 8,
        "test": 16,
    }
    for faces in parts.values():
        assert set(faces.table["species"]) == {body.name for body in bodies.SPECIES}
        assert len(faces.problems) == 0
    names = [set(faces.table["picture"]) for faces in parts.values()]
    assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])


def test_two_animals_of_a_picture_are_two_rows_of_it(root):
    table = read_ap10k(root, "train").table
    twice = table[table["picture"].duplicated(keep=False)]
    assert len(twice) == 2 * (table["picture"].value_counts() == 2).sum() > 0
    assert twice["image"].str.contains("#").all() and twice["image"].is_unique
    assert table["area"].to_numpy() == pytest.approx((table["w"] * table["h"]).to_numpy(), rel=2e-4)
    assert set(table["background"]) <= set(BACKGROUNDS)


def test_the_landmarks_lie_in_the_box_and_only_an_eye_can_be_missing(root):
    faces = read_ap10k(root, "train")
    points, boxes = faces.landmarks, faces.boxes
    inside = (points >= boxes[:, None, :2] - 1) & (points <= boxes[:, None, :2] + boxes[:, None, 2:] + 1)
    missing = np.isnan(points).any(axis=-1)
    assert (inside.all(axis=-1) | missing).mean() > 0.99
    assert not missing[:, 2:].any() and 0.1 < missing[:, :2].mean() < 0.7


def test_an_animal_that_faces_right_shows_its_right_side(root):
    body, rng = bodies.SPECIES[0], np.random.default_rng(0)
    points, _ = bodies.skeleton(body, rng)
    seen = points @ bodies._camera(0.0, 0.0).T
    place = dict(zip(SCHEME.landmarks, seen, strict=True))
    assert place["neck"][0] > place["root_of_tail"][0]
    # z points towards the viewer
    assert place["right_shoulder"][2] > place["left_shoulder"][2] and place["right_hip"][2] > place["left_hip"][2]
    assert place["left_eye"][1] > place["neck"][1]


def test_the_same_call_writes_the_same_set_and_another_one_is_refused(root, tmp_path):
    again = bodies.write_bodies(tmp_path / "again", images=80)
    name = annotation_file("val")
    assert (again / name).read_bytes() == (root / name).read_bytes()
    assert bodies.write_bodies(again, images=80) == again
    with pytest.raises(FileExistsError, match="holds something else"):
        bodies.write_bodies(again, images=90)
    with pytest.raises(ValueError, match="too few"):
        bodies.write_bodies(tmp_path / "few", images=50)


def test_the_families_are_the_files_own(root, tmp_path):
    content = json.loads((root / annotation_file("val")).read_text())
    for category in content["categories"]:
        category["name"], category["supercategory"] = (
            ("uakari", "Cercopithecidae") if category["id"] == 1 else ("cat", "Felidae")
        )
    (tmp_path / "data").symlink_to(root / "data")
    (tmp_path / "own.json").write_text(json.dumps(content))
    table = read_ap10k(tmp_path, file="own.json").table
    # our taxonomy has the uakari in another family
    assert set(table.loc[table["species"] == "uakari", "family"]) == {"Cercopithecidae"}


def test_a_background_beyond_8_and_a_fourth_split_are_refused(root, tmp_path):
    content = json.loads((root / annotation_file("val")).read_text())
    content["images"][0]["background"] = 9
    (tmp_path / "own.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="expected background 1 to 8, found 9"):
        instance_details(tmp_path / "own.json")
    with pytest.raises(DataError, match="not 'train' of 4"):
        read_ap10k(root, split=4)


def test_what_other_programs_write_is_read_as_coco_is(root, tmp_path):
    """Numbers as 7.0, which pandas writes; nothing for what is not known; an animal without a box."""
    content = json.loads((root / annotation_file("val")).read_text())
    faces = read_ap10k(root, "val")
    for entry in content["annotations"]:
        entry |= {key: float(entry[key]) for key in ("id", "image_id", "category_id")} | {"area": None}
    for image in content["images"]:
        image["background"] = None
    content["categories"][0]["supercategory"] = None
    entry, category = content["annotations"][-1], content["categories"][0]["name"]
    content["annotations"].append({key: entry[key] for key in ("image_id", "category_id", "keypoints")} | {"id": 10**6})
    (tmp_path / "data").symlink_to(root / "data")
    (tmp_path / "own.json").write_text(json.dumps(content))
    read = read_ap10k(tmp_path, file="own.json")
    assert read.problems["problem"].tolist() == ["it has no 'bbox'"]
    assert (read.table["area"] == read.table["w"] * read.table["h"]).all() and set(read.table["background"]) == {""}
    assert read.table["picture"].tolist() == faces.table["picture"].tolist()
    assert set(read.table.loc[read.table["species"] == category, "family"]) == {family_of(category)}
    content["annotations"][0]["area"] = "wide"
    (tmp_path / "own.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"annotations\[0\]: expected .area. as number, found .wide."):
        read_ap10k(tmp_path, file="own.json")


def test_the_unlabeled_part_is_a_folder_of_pictures(root):
    faces = read_unlabeled(root / "data")
    assert len(faces) == 80 and not faces.has_landmarks and faces.scheme == SCHEME


def test_the_two_real_images_are_read_as_their_file_says(shared_data, tmp_path):
    sample = shared_data / "samples" / "ap10k"
    (tmp_path / "data").symlink_to(sample)
    (tmp_path / "own.json").write_text((sample / "test_ap10k.json").read_text())
    faces = read_ap10k(tmp_path, file="own.json")
    jaguar = faces.select(["000000037516.jpg"])
    row = jaguar.table.iloc[0]
    assert (row["species"], row["family"], row["background"]) == ("jaguar", "Felidae", "zoo or human habitation")
    assert (row["area"], jaguar.boxes[0].tolist()) == (559104.0, [66, 192, 1092, 512])
    assert jaguar.landmarks[0, [0, 2, 16]].tolist() == [[134, 415], [94, 475], [636, 602]]
    assert np.isnan(jaguar.landmarks[0, 1]).all() and np.isfinite(jaguar.landmarks[0, 2:]).all()
    content = json.loads((sample / "test_ap10k.json").read_text())
    assert len(content["categories"]) == 54
    # 23 families in the paper; the released file has as many supercategories
    assert len({category["supercategory"] for category in content["categories"]}) == 23


def test_a_setting_of_ap10k_has_its_families(tmp_path):
    """54 categories of 23 families; of its Cercopithecidae our own taxonomy makes three."""
    names = ["alouatta", "monkey", "noisy night monkey", "spider monkey", "uakari"]
    categories = [
        {"id": k, "name": name, "supercategory": "Cercopithecidae", "keypoints": list(SCHEME.landmarks)}
        for k, name in enumerate(names, 12)
    ]
    annotations = [
        {"id": k, "image_id": k, "category_id": k, "bbox": [2, 3, 20, 20], "keypoints": [9, 9, 2] * 17}
        for k in range(12, 17)
    ]
    images = [{"id": k, "file_name": f"{k}.jpg", "width": 32, "height": 32} for k in range(12, 17)]
    (tmp_path / "data").mkdir()
    for image in images:
        Image.new("RGB", (32, 32)).save(tmp_path / "data" / image["file_name"])
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "some.json").write_text(json.dumps(content))
    families = {}
    for form in ("ap10k", "coco"):
        cfg = load("params/ap10k.yaml", {"DATA.FORMAT": form, "DATA.ROOT": str(tmp_path), "DATA.TEST": ["some.json"]})
        families[form] = set(Setting(cfg).annotations("test").table["family"])
    assert families["ap10k"] == {"Cercopithecidae"} and len(families["coco"]) > 1
    assert load("params/ap10k.yaml").DATA.FORMAT == "ap10k"


# --- crops and views of bodies


def test_padding_widens_the_crop_and_not_the_norm(root, tmp_path):
    faces = read_ap10k(root, "val")
    plain, padded = (labeled_set(faces, 32, 1.5, tmp_path, padding) for padding in (1.0, 1.25))
    assert (padded.norm == plain.norm).all()
    # about the crop's center everything is 1.25 times as near
    center = 15.5
    expected = (plain.landmarks_crop - center) / 1.25 + center
    assert torch.allclose(padded.landmarks_crop, expected, atol=1e-4, equal_nan=True)
    # the padded crop's middle is the plain crop, smaller
    inner = unlabeled_set(faces, 32, 1.0, tmp_path, 1.25).take([0]).float().mean()
    assert inner != unlabeled_set(faces, 32, 1.0, tmp_path).take([0]).float().mean()
    assert not np.isin(padded.table[["w"]], plain.table[["w"]], invert=True).any()


def test_half_a_body_fills_the_view():
    points = torch.zeros(1, 17, 2)
    front = list(SCHEME.upper)
    back = [k for k in range(17) if k not in front]
    points[0, front] = torch.tensor([20.0, 30.0]) + torch.linspace(0, 8, len(front))[:, None]
    points[0, back] = torch.tensor([50.0, 30.0]) + torch.linspace(0, 10, len(back))[:, None]
    seen = set()
    for seed in range(8):
        matrix = half_body(points, 64, SCHEME.upper, 1.0, torch.Generator().manual_seed(seed))
        moved = points @ matrix[0, :, :2].T + matrix[0, :, 2]
        spread = {name: moved[0, rows] for name, rows in (("front", front), ("back", back))}
        name = min(spread, key=lambda one: (spread[one].mean(dim=0) - 31.5).abs().max())
        # its mean in the middle of the view, its extent over the side 1 / 1.5
        assert torch.allclose(spread[name].mean(dim=0), torch.tensor([31.5, 31.5]), atol=1e-3)
        extent = (spread[name].amax(dim=0) - spread[name].amin(dim=0)).max()
        assert extent.item() == pytest.approx(64 / 1.5, abs=1e-3)
        seen.add(name)
    assert seen == {"front", "back"}


def test_a_body_with_few_landmarks_stays_whole():
    points = torch.full((2, 17, 2), torch.nan)
    points[0, :7] = torch.rand(7, 2) * 30
    points[1] = torch.rand(17, 2) * 30
    whole = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    matrix = half_body(points, 32, SCHEME.upper, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(matrix[0], whole) and not torch.equal(matrix[1], whole)
    never = half_body(points, 32, SCHEME.upper, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(never, whole.expand(2, 2, 3))


# --- protocols


def table(rows):
    """Images of species, some of each; `rows`: species -> (family, count)."""
    return pd.DataFrame(
        [(f"{name}_{k}", name, family) for name, (family, count) in rows.items() for k in range(count)],
        columns=["image", "species", "family"],
    )


TRAIN = table({"cow": ("Bovidae", 6), "sheep": ("Bovidae", 5), "horse": ("Equidae", 4), "thing": ("unknown", 3)})
TEST = table({"cow": ("Bovidae", 2), "sheep": ("Bovidae", 3), "horse": ("Equidae", 2)})
TEST["image"] = "test_" + TEST["image"]


def test_a_species_is_held_out_within_its_family_and_a_family_as_a_whole():
    intra = list(generalization.intra_family(TRAIN, TEST))
    assert [(one.name, one.family) for one in intra] == [("cow", "Bovidae"), ("sheep", "Bovidae")]
    assert set(intra[0].train) == set(TRAIN.loc[TRAIN["species"] != "cow", "image"])
    assert set(intra[0].test) == {"test_cow_0", "test_cow_1"}
    alone = next(generalization.intra_family(TRAIN, TEST, family_alone=True))
    assert {name.split("_")[0] for name in alone.train} == {"sheep"}
    inter = list(generalization.inter_family(TRAIN, TEST))
    assert [one.name for one in inter] == ["Bovidae", "Equidae"]
    assert {name.split("_")[0] for name in inter[0].train} == {"horse", "thing"}
    assert len(inter[0].test) == 5


def test_a_few_labels_of_what_is_held_out_are_nested_and_too_many_make_no_split():
    zero, two, four = generalization.intra_family(TRAIN, TEST[TEST["species"] == "cow"], shots=(4, 0, 2, 9))
    own = [{name for name in split.train if name.startswith("cow")} for split in (zero, two, four)]
    assert [len(names) for names in own] == [0, 2, 4] and own[1] < own[2]
    assert (zero.shots, two.shots, four.shots) == (0, 2, 4)
    other = next(generalization.intra_family(TRAIN, TEST[TEST["species"] == "cow"], shots=(4,), seed=2))
    assert set(other.train) != set(four.train)


def test_errors_on_held_out_groups_stand_beside_those_of_the_model_that_saw_all():
    rng = np.random.default_rng(0)
    seen = TEST.assign(protocol="all", name="all", shots=0, nme=rng.uniform(0.1, 0.2, len(TEST)))
    cows = seen[seen["species"] == "cow"].assign(protocol="intra", name="cow", nme=lambda t: t["nme"] + 0.05)
    family = seen[seen["family"] == "Bovidae"].assign(protocol="inter", name="Bovidae", nme=lambda t: t["nme"] + 0.1)
    results = generalization.compare(pd.concat([seen, cows, family])).set_index("name")
    assert results.loc["cow", "excess"] == pytest.approx(0.05)
    assert results.loc["cow", "seen"] == pytest.approx(seen.loc[seen["species"] == "cow", "nme"].mean())
    assert results.loc["Bovidae", ["excess_low", "excess_high"]].tolist() == pytest.approx([0.1, 0.1])
    means = generalization.summarize(results.reset_index()).set_index("protocol")
    assert (means.loc["inter", "groups"], means.loc["inter", "excess"]) == (1, pytest.approx(0.1))
    axes = figures_neighbours.generalization(results.reset_index())
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["cow (n = 2)"]


def test_what_is_held_out_with_one_test_image_has_no_interval():
    seen = TEST.assign(protocol="all", name="all", shots=0, nme=0.1)
    cow = seen[seen["image"] == "test_cow_0"].assign(protocol="intra", name="cow", nme=0.15)
    results = generalization.compare(pd.concat([seen, cow]))
    assert results.loc[0, ["images", "nme", "excess"]].tolist() == [1, 0.15, pytest.approx(0.05)]
    assert results.filter(regex="low|high").isna().all(axis=None)
    assert generalization_table(results).splitlines()[-1].endswith("| 1 | 15.00 | 10.00 | +5.00 |")
    figures_neighbours.generalization(results)


# --- the benchmark


def predictions(faces, noise=0.0, confidence=0.9, seed=0):
    points = np.nan_to_num(faces.landmarks, nan=5.0) + np.random.default_rng(seed).normal(
        0, noise, faces.landmarks.shape
    )
    columns = {}
    for k, name in enumerate(SCHEME.landmarks):
        columns |= {f"{name}_x": points[:, k, 0], f"{name}_y": points[:, k, 1], f"{name}_confidence": confidence}
    return pd.concat(
        [faces.table[["image", "species", "family"]], pd.DataFrame(columns, index=faces.table.index)], axis=1
    )


def test_perfect_predictions_have_an_ap_of_1_and_worse_ones_less(root):
    faces, details = read_ap10k(root, "test"), instance_details(root / annotation_file("test"))
    sigmas = np.array(oks.SIGMAS["ap10k17"]["ap10k"])
    perfect, worse = (
        benchmark.evaluate(predictions(faces, noise), faces, details, sigmas, resamples=5) for noise in (0.0, 6.0)
    )
    assert perfect["ap"].tolist() == pytest.approx([1.0] * 9)
    assert perfect.set_index("category").loc["all", "instances"] == len(faces)
    assert 0.1 < worse["ap"][0] < 0.9
    ax = figures_neighbours.average_precision({"a": perfect, "b": worse})
    assert ax.get_xlim() == (0, 100)


def test_a_second_detection_of_the_same_body_is_suppressed(root):
    faces, details = read_ap10k(root, "test"), instance_details(root / annotation_file("test"))
    sigmas = np.array(oks.SIGMAS["ap10k17"]["ap10k"])
    found = predictions(faces)
    pair = faces.table[faces.table["picture"].duplicated(keep=False)].index[:2]
    columns = [name for name in found if name.endswith(("_x", "_y"))]
    same = found.copy()
    same.loc[pair[1], columns] = found.loc[pair[0], columns].to_numpy()
    table = benchmark.evaluate(same, faces, details, sigmas, resamples=5).set_index("category")
    species = faces.table.loc[pair[1], "species"]
    instances = int((faces.table["species"] == species).sum())
    # one body of its species has no detection of its own any more
    assert table.loc[species, "ar50"] == pytest.approx(1 - 1 / instances)


def test_the_published_table_is_that_of_the_specification():
    table = benchmark.published().set_index(["source", "model"])
    assert len(table) == 14
    assert table.loc[("mmpose 0.x", "HRNet-w32"), "ap"] == 0.722
    assert table.loc[("AP-10K repository (old order of sigmas)", "ResNet-101"), "ap_large"] == 0.702
    ours = pd.DataFrame([{"category": "all", "ap": 0.5, "ap50": 0.6, "ap75": 0.4, "ap_medium": 0.3, "ap_large": 0.5}])
    assert benchmark.beside_published({"mine": ours}).iloc[-1][["source", "model", "ap"]].tolist() == [
        "ours",
        "mine",
        0.5,
    ]

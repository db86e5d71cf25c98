"""The embedded data set: exact landmarks, AnimalWeb's layout, splits, and the same pictures whoever draws them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cskt.data import zoo, zoo_photo
from cskt.data.zoo_head import grow
from cskt.data.zoo_render import Camera, rotation, trace
from cskt.species import family_of, species_of

FLIP = [3, 2, 1, 0, 4, 6, 5, 7, 8]
FLAT_LIGHT = zoo_photo.Light(np.array([0.0, 0.6, 0.8]), np.full(3, 0.3), np.full(3, 0.8), np.full(3, 0.6))
BY_NAME = {species.name: species for species in zoo.SPECIES}


def frontal(pitch: float = 0.0, yaw: float = 0.0, size: int = 160) -> Camera:
    return Camera(rotation(np.radians(pitch), np.radians(yaw), 0), 8.0, 0.3 * size, np.array([size / 2, size / 2]))


def picture(head, camera, size: int = 160) -> np.ndarray:
    """The head alone on black, linear color, [size, size, 3]."""
    even = np.zeros((64, 64))
    (left, top, right, bottom), layer = zoo_photo.trace_layer(head, camera, (size, size), FLAT_LIGHT, even)
    canvas = np.zeros((size, size, 3))
    canvas[top:bottom, left:right] = zoo_photo._resize(layer, right - left, bottom - top)[..., :3]
    return canvas


def test_the_zoo_has_at_least_twelve_species_in_eight_families_from_human_to_beak():
    assert zoo.SPECIES[0].name == "human"
    assert len(zoo.SPECIES) >= 12
    assert len({species.family for species in zoo.SPECIES}) >= 8
    assert zoo.SPECIES[-1].family == "Spheniscidae"
    assert set(zoo.UNKNOWN_SPECIES) < set(BY_NAME)


def test_the_taxonomy_knows_every_species_of_the_zoo():
    assert {species.name: family_of(species.name) for species in zoo.SPECIES} == {
        species.name: species.family for species in zoo.SPECIES
    }


@pytest.mark.parametrize("species", [species.name for species in zoo.SPECIES])
def test_landmarks_are_where_the_rays_see_them(species):
    # visible landmarks only: those whose pixel's ray ends at them; seen frontally that is most of the nine
    head = grow(BY_NAME[species], np.random.default_rng(3))
    camera = frontal()
    expected = camera.project(head.landmarks)
    offsets = np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-6, 7)), axis=-1).reshape(-1, 2) * 0.5
    seen = 0
    for landmark, place in zip(head.landmarks, expected, strict=True):
        pixels = place.round() + offsets
        points, distances = trace(head.field, *camera.rays(pixels))
        gap = np.linalg.norm(points - landmark[:, None], axis=0) + distances
        if gap.min() > 0.03:
            continue
        seen += 1
        # the centroid of a small dot around the landmark, as the rays see it
        weight = np.exp(-((gap / 0.025) ** 2))
        assert (weight @ pixels) / weight.sum() == pytest.approx(place, abs=0.75)
    assert seen >= 5  # the outer eye corners of a horse look sideways


@pytest.mark.parametrize("species", ["human", "cat", "macaque"])
def test_painted_eyes_end_at_the_eye_landmarks(species):
    # without the dark rim around it, so that all that changes is the eyeball between the lids
    rimless = replace(BY_NAME[species], eyes=replace(BY_NAME[species].eyes, rim=-9))
    head = grow(rimless, np.random.default_rng(0), variety=0)
    camera = frontal()
    drawn, bare = picture(head, camera), picture(replace(head, eyes=()), camera)
    columns = np.flatnonzero((np.abs(drawn - bare).sum(axis=-1) > 0.02).any(axis=0))
    left_eye, right_eye = columns[columns < 80], columns[columns >= 80]
    landmarks = camera.project(head.landmarks)
    assert left_eye[[0, -1]] == pytest.approx(landmarks[[0, 1], 0], abs=1.5)
    assert right_eye[[0, -1]] == pytest.approx(landmarks[[2, 3], 0], abs=1.5)


@pytest.mark.parametrize("species", ["fox", "cow"])
def test_the_nose_pad_is_painted_around_the_nose_landmark(species):
    head = grow(BY_NAME[species], np.random.default_rng(0), variety=0)
    camera = frontal()
    padless = replace(head, species=replace(head.species, nose=replace(head.species.nose, pad=(0.0, 0.0))))
    change = np.abs(picture(head, camera) - picture(padless, camera)).sum(axis=-1) > 0.01
    rows, columns = np.nonzero(change)
    assert (columns.mean(), rows.mean()) == pytest.approx(camera.project(head.landmarks)[4], abs=2)


@pytest.mark.parametrize("yaw", [0, 35, 80])
def test_a_mirrored_pose_gives_mirrored_landmarks(yaw):
    for species in zoo.SPECIES:
        head = grow(species, np.random.default_rng(5))
        one, other = frontal(10, yaw), frontal(10, -yaw)
        mirrored = [160, 0] + [-1, 1] * other.project(head.landmarks)[FLIP]
        assert one.project(head.landmarks) == pytest.approx(mirrored, abs=1e-9)


def test_a_frontal_face_has_its_landmarks_in_the_order_of_the_scheme():
    for species in zoo.SPECIES:
        head = grow(species, np.random.default_rng(0), variety=0)
        x, y = frontal().project(head.landmarks).T
        assert x[0] < x[1] < x[2] < x[3], species.name
        assert x[5] < x[4] < x[6], species.name
        assert max(y[:4]) < y[4] < y[7] < y[8], species.name


def test_every_individual_has_a_face_even_where_its_first_draw_had_a_gap():
    # these first draws leave a gap between the open jaws, right where a mouth corner should be
    for species, seed in (("tiger", 166), ("horse", 15)):
        assert np.isfinite(grow(BY_NAME[species], np.random.default_rng([99, seed])).landmarks).all()


def test_poses_reach_profile_on_both_sides():
    rng = np.random.default_rng(0)
    turned = np.array([zoo_photo.random_pose(rng) for _ in range(1000)])
    yaw = np.degrees(np.arctan2(turned[:, 0, 2], turned[:, 2, 2]))
    assert yaw.min() < -80 and yaw.max() > 80
    assert 0.1 < (np.abs(yaw) > 55).mean() < 0.3
    assert (np.abs(yaw) < 30).mean() > 0.45


def test_all_landmarks_lie_inside_the_image():
    rng = np.random.default_rng(1)
    heads = [grow(species, rng) for species in zoo.SPECIES]
    for _ in range(40):
        for head in heads:
            size = zoo_photo._image_size(rng)
            landmarks = zoo_photo.aim(head, size, zoo_photo.random_pose(rng), rng).project(head.landmarks)
            assert (landmarks >= 0).all() and (landmarks <= np.array(size) - 1).all()


def test_a_picture_is_drawn_again_from_the_same_seed_and_differs_from_the_next():
    image, landmarks = zoo.render_face("cat", np.random.default_rng(4))
    again, landmarks_again = zoo.render_face("cat", np.random.default_rng(4))
    other, _ = zoo.render_face("cat", np.random.default_rng(5))
    assert image.dtype == np.uint8 and 160 <= max(image.shape[:2]) <= 256
    assert np.array_equal(image, again) and np.array_equal(landmarks, landmarks_again)
    assert image.shape != other.shape or not np.array_equal(image, other)


def test_an_unknown_species_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"unknown species 'unicorn'.*human, macaque"):
        zoo.render_face("unicorn", np.random.default_rng(0))


def test_the_box_has_animalwebs_margins_and_is_cut_at_the_image():
    # W_l = 40, H_l = 20: left 50 - 20 - 1.24, right 90 + 20 + 0.74, top 60 - 16 - 1.68, bottom 80 + 16 + 0.51
    landmarks = np.array([[50.0, 80.0], [90.0, 60.0], [70.0, 70.0]])
    assert zoo.box_of(landmarks, 200, 200) == pytest.approx([28.76, 42.32, 110.74 - 28.76, 96.51 - 42.32])
    assert zoo.box_of(landmarks - [30, 50], 70, 40) == pytest.approx([0, 0, 69, 39])


@pytest.mark.slow
def test_images_do_not_depend_on_the_number_of_workers(tmp_path):
    names = ["human_1.jpg", "cat_1.jpg", "horse_1.jpg", "penguin_1.jpg"]
    boxes = {}
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        boxes[workers] = zoo.draw_images(tmp_path / str(workers), names, seed=9, workers=workers)
    assert np.array_equal(boxes[1], boxes[2])
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(files) == 2 * len(names)
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_splits_of_the_default_zoo_are_disjoint_nested_and_even():
    lists = zoo.splits(3000, seed=0)
    assert {name: len(members) for name, members in lists.items()} == {
        "human_train": 700, "human_test": 100, "train": 1600, "unlabeled": 1600,
        "val": 200, "test": 400, "labeled_40": 40, "labeled_80": 80,
    }  # fmt: skip
    apart = [set(lists[name]) for name in ("human_train", "human_test", "train", "val", "test")]
    assert len(set.union(*apart)) == sum(map(len, apart)) == 3000
    assert set.union(*apart) == set(zoo.image_names(3000))
    assert lists["unlabeled"] == lists["train"]
    assert set(lists["labeled_40"]) < set(lists["labeled_80"]) < set(lists["train"])

    known = {species_of(name) for name in lists["labeled_40"]}
    assert known == set(BY_NAME) - {"human"} - set(zoo.UNKNOWN_SPECIES)
    for split, each in (("labeled_40", (5, 5)), ("labeled_80", (10, 10)), ("test", (33, 34)), ("val", (16, 17))):
        counts = np.unique([species_of(name) for name in lists[split]], return_counts=True)[1]
        assert (counts.min(), counts.max()) == each, split


def test_another_seed_labels_other_images():
    assert set(zoo.splits(3000, 0)["labeled_40"]) != set(zoo.splits(3000, 1)["labeled_40"])


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="50 images are too few"):
        zoo.splits(50, seed=0)


@pytest.fixture
def quick_drawing(monkeypatch):
    """Replace drawing by a stub that writes two bytes, and count the images."""
    drawn = []

    def write(folder, seed, numbered):
        drawn.append(numbered[1])
        (folder / numbered[1]).write_bytes(b"ok")
        return np.array([1.0, 2.0, 3.0, 4.0])

    monkeypatch.setattr(zoo, "_write_image", write)
    return drawn


def test_a_complete_zoo_is_not_drawn_again(tmp_path, quick_drawing):
    root = zoo.write_zoo(tmp_path / "zoo", images=180, workers=1)
    assert len(quick_drawing) == 180
    assert (root / "bbox.csv").read_text().splitlines()[:2] == ["img,x,y,w,h", "human_1.jpg,1.00,2.00,3.00,4.00"]
    assert json.loads((root / "zoo.json").read_text()) == {"images": 180, "seed": 0, "version": zoo.VERSION}
    assert (root / "splits" / "val.txt").read_text().splitlines() == zoo.splits(180, 0)["val"]
    assert [path.name for path in tmp_path.iterdir()] == ["zoo"]

    zoo.write_zoo(root, images=180, workers=1)
    assert len(quick_drawing) == 180


def test_a_folder_with_something_else_is_left_alone(tmp_path, quick_drawing):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a zoo"):
        zoo.write_zoo(tmp_path, images=180, workers=1)
    root = zoo.write_zoo(tmp_path / "zoo", images=180, workers=1)
    with pytest.raises(FileExistsError, match=r"holds the zoo .*'seed': 0.*not .*'seed': 1"):
        zoo.write_zoo(root, images=180, seed=1, workers=1)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(quick_drawing) == 180


def test_an_interrupted_drawing_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch, quick_drawing):
    working = zoo._write_image

    def stop_at_ten(folder, seed, numbered):
        if numbered[0] == 10:
            raise KeyboardInterrupt
        return working(folder, seed, numbered)

    monkeypatch.setattr(zoo, "_write_image", stop_at_ten)
    with pytest.raises(KeyboardInterrupt):
        zoo.write_zoo(tmp_path / "zoo", images=180, workers=1)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(zoo, "_write_image", working)
    assert (zoo.write_zoo(tmp_path / "zoo", images=180, workers=1) / "zoo.json").is_file()


@pytest.mark.slow
def test_a_script_that_cannot_start_processes_ends_with_an_error(tmp_path):
    """A script read from standard input cannot be imported by the processes it starts."""
    script = f"from cskt.data.zoo import draw_images\ndraw_images({str(tmp_path)!r}, ['cat_1.jpg'] * 9, 0, workers=2)\n"
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "BrokenProcessPool" in done.stderr

"""What is fast gives what the plain loops of tests/reference give."""

import copy

import numpy as np
import pytest
import torch
from builders import PUBLISHED, few_shot, labeled_faces, unlabeled_faces, use_tiny_network, weights, write_faces
from builders import meta_cskt as build
from PIL import Image
from reference import loops
from reference.step import meta_step

from cskt import geometry, heatmaps, metrics
from cskt.data.datasets import crop_image, read_image
from cskt.landmarks import SCHEMES
from cskt.training import step_generator

BOXES = np.array([[10.0, 20.0, 200.0, 160.0], [5.5, 3.25, 90.0, 133.0], [300.0, 0.0, 64.0, 64.0]])


@pytest.fixture
def landmarks():
    """Three images' landmarks in image pixels, inside the box, on its border and outside; one missing."""
    places = np.random.default_rng(0).uniform(-0.15, 1.15, (3, 9, 2))
    side = BOXES[:, 2:].max(axis=1)[:, None, None]
    points = BOXES[:, None, :2] + BOXES[:, None, 2:] / 2 + (places - 0.5) * side
    points[1, 4] = np.nan
    return points


def in_cells(points):
    return geometry.apply(geometry.crop_matrix(torch.tensor(BOXES), loops.CELLS), torch.tensor(points))


def noisy_maps(seed=0, size=loops.CELLS):
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(3, 9, 2, generator=generator) * (size - 1)
    places[0, 0] = 0.0
    maps = heatmaps.encode(places, size) + 0.02 * torch.randn(3, 9, size, size, generator=generator)
    maps[2, 3] = -1.0
    return maps


def test_published_heatmaps_are_those_of_a_stamp_for_each_landmark(landmarks):
    maps = heatmaps.encode_published(in_cells(landmarks), loops.CELLS)
    plain = np.stack([loops.draw(points, box) for points, box in zip(landmarks, BOXES, strict=True)])
    assert np.abs(maps.numpy() - plain).max() < 1e-7
    assert maps[0].any() and not maps[1, 4].any()


def test_exact_heatmaps_are_those_of_an_exponential_in_each_cell(landmarks):
    cells = in_cells(landmarks).float()
    plain = np.stack([loops.draw_exact(points) for points in cells.numpy()])
    assert np.abs(heatmaps.encode(cells, loops.CELLS).numpy() - plain).max() < 1e-5


def test_published_landmarks_are_those_of_the_loop_over_maps():
    maps = noisy_maps()
    cells, peak = heatmaps.decode_published(maps)
    assert torch.equal(cells, loops.find_cells(maps))
    assert torch.equal(peak, maps.flatten(-2).amax(-1))
    to_crop = geometry.crop_matrix(torch.tensor(BOXES), loops.CELLS)
    found = heatmaps.round_published(geometry.apply(geometry.invert(to_crop), cells.double()))
    assert np.array_equal(found.numpy(), loops.find_landmarks(maps, BOXES))


def test_subpixel_landmarks_are_those_of_a_parabola_for_each_map():
    maps = noisy_maps()
    assert np.abs(heatmaps.decode(maps)[0].numpy() - loops.find_subpixel(maps)).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_equal_maxima_the_first_counts(dtype):
    maps = torch.zeros(1, 1, 8, 8, dtype=dtype)
    maps[0, 0, 2, 5] = maps[0, 0, 3, 1] = 1.0
    assert heatmaps.decode_published(maps)[0].trunc().tolist() == [[[5.0, 2.0]]]


def test_errors_and_disagreements_are_those_of_the_loops(landmarks):
    rng = np.random.default_rng(1)
    found = np.where(np.isnan(landmarks), 0.0, landmarks) + rng.normal(0, 3, landmarks.shape)
    norm = np.sqrt(BOXES[:, 2] * BOXES[:, 3])
    assert metrics.nme(found, landmarks, norm) == pytest.approx(loops.nme(found, landmarks, norm), abs=1e-15)
    other = found + rng.normal(0, 5, found.shape)
    human = metrics.nme(other[:, : loops.SHARED], found[:, : loops.SHARED], norm)
    assert human == pytest.approx(loops.human_disagreement(other, found, norm), abs=1e-15)
    back = torch.tensor(other)
    back[..., 0] = 255 - back[..., 0]
    back = geometry.swap_sides(back, SCHEMES["animalweb9"].flip_permutation).numpy()
    assert metrics.nme(back, found, norm) == pytest.approx(loops.flip_disagreement(other, found, norm, 256), abs=1e-15)


def test_a_crop_is_that_of_the_released_cut_but_for_its_whole_pixels():
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (4, 5, 3), dtype=np.uint8))
    picture = coarse.resize((800, 600), Image.Resampling.BICUBIC)
    for box in (np.array([120.0, 60.0, 500.0, 420.0]), np.array([300.0, 200.0, 130.0, 128.0])):
        plain = loops.cut(np.asarray(picture), box, 128).astype(float)
        ours = crop_image(picture, box, 128, 128).astype(float)
        assert np.abs(plain - ours)[8:-8, 8:-8].mean() < 2.0


def test_an_item_is_looked_up_decoded_and_drawn(tmp_path):
    faces = write_faces(tmp_path, count=2)
    image, maps = loops.item(faces.table, "cat_1.png", tmp_path / "images", size=64)
    assert np.array_equal(loops.look_up(faces.table, "cat_1.png"), faces.boxes[1])
    cells = geometry.apply(geometry.crop_matrix(torch.tensor(faces.boxes), 64), torch.tensor(faces.landmarks))
    assert np.abs(maps.numpy() - heatmaps.encode_published(cells, 64).numpy()[1]).max() < 1e-7
    crop = crop_image(read_image(faces.table["path"][1]), faces.boxes[1], 64, 64)
    assert image.shape == (3, 64, 64) and crop.shape == (64, 64, 3)


def test_a_step_of_the_published_variant_is_the_plain_one(monkeypatch):
    """Same weights and same losses after three steps, to rounding: the mathematics is the same, forward for forward."""
    use_tiny_network(monkeypatch)
    labeled, unlabeled = labeled_faces(4), unlabeled_faces(8)
    options = {**PUBLISHED, "batch_labeled": 4, "batch_unlabeled": 8, "label_jitter": 0.0}
    ours = build(labeled, unlabeled, output="linear", codec="published", **options)
    # two that differ: while they agree the student's gradient is rounding noise, of which Adam makes whole steps
    ours.student.load_state_dict(few_shot("linear", seed=1).state_dict())
    teacher, student = copy.deepcopy(ours.teacher), copy.deepcopy(ours.student)
    teacher_opt, student_opt = (torch.optim.Adam(net.parameters(), lr=1e-3) for net in (teacher, student))
    for step in range(3):
        rows = ours._labeled_batch(step, step_generator(0, step))
        others = ours._unlabeled_batch(step, step_generator(0, step))
        size, cells = labeled.size, teacher.cells
        # a box of the crop's own size: image pixels are the crop's, whose border is at 0
        targets = [loops.draw(points + 0.5, (0, 0, size, size), cells) for points in rows.landmarks.numpy()]
        plain, _ = meta_step(teacher, student, teacher_opt, student_opt, rows.images,
                             torch.from_numpy(np.stack(targets)), others.weak)  # fmt: skip
        losses = ours.step(step, 1e-3, step_generator(0, step))
        for name, value in plain.items():
            assert float(losses[name]) == pytest.approx(value, rel=1e-3, abs=1e-6), (step, name)
    assert torch.allclose(weights(ours.teacher), weights(teacher), atol=1e-5)
    assert torch.allclose(weights(ours.student), weights(student), atol=1e-5)

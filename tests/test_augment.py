"""Views of crops, and what moves with them."""

import numpy as np
import pytest
import torch
from builders import SCHEME, labeled_faces

from cskt.data.augment import (
    Augmentation,
    View,
    between,
    change_colors,
    paint_rectangles,
    random_view,
    take_view,
    view_landmarks,
    warp_heatmaps,
)
from cskt.heatmaps import encode

PERMUTATION = SCHEME.flip_permutation
STRONG = Augmentation(rotation=40, scale=0.3, shift=0.08, flip=0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def move(x, y):
    return View(torch.tensor([[[1.0, 0.0, x], [0.0, 1.0, y]]]), torch.tensor([False]))


# --- pictures and landmarks


def test_no_augmentation_shows_the_plain_crop():
    faces = labeled_faces(2, size=32, margin=8)
    view = random_view(2, 32, Augmentation(), generator())
    images = take_view(faces.take([0, 1]), view, 32)
    plain = torch.from_numpy(faces.crops[:, 8:40, 8:40]).permute(0, 3, 1, 2) / 255
    assert images.allclose(plain, atol=1e-4)
    assert view_landmarks(faces.landmarks_crop, view, PERMUTATION).allclose(faces.landmarks_crop, atol=1e-4)


def test_a_view_that_reaches_beyond_the_crop_shows_what_is_there():
    faces = labeled_faces(1, size=32, margin=8)
    wide = torch.from_numpy(faces.crops).permute(0, 3, 1, 2) / 255
    assert take_view(faces.take([0]), move(5, -3), 32).allclose(wide[..., 11:43, 3:35], atol=1e-4)
    beyond = take_view(faces.take([0]), move(12, 0), 32)
    assert beyond[..., :4].abs().max() < 1e-4, "black where the cached crop ends"


def brightest(images, landmarks):
    """Color of the pixel nearest to each landmark, [B, L, 3]."""
    x, y = landmarks.round().long().unbind(-1)
    return torch.stack([image[:, rows, columns].T for image, rows, columns in zip(images, y, x, strict=True)])


def test_a_landmark_stays_on_its_dot_and_its_name_on_its_side():
    """Without a mirror the landmark keeps its dot; in the mirror it has its partner's: the viewer's left is left."""
    faces = labeled_faces(2, size=64, margin=32)
    faces.crops[:] = np.clip(faces.crops, 0, 255)
    plain = View(torch.eye(2, 3).expand(2, 2, 3), torch.zeros(2, dtype=torch.bool))
    shown = brightest(take_view(faces.take([0, 1]), plain, 64), faces.landmarks_crop)
    for seed in range(4):
        view = random_view(2, 64, Augmentation(rotation=30, flip=0.5), generator(seed))
        landmarks = view_landmarks(faces.landmarks_crop, view, PERMUTATION)
        found = brightest(take_view(faces.take([0, 1]), view, 64), landmarks)
        expected = torch.where(view.mirrored[:, None, None], shown[:, list(PERMUTATION)], shown)
        assert (found - expected).abs().mean() < 0.08
        assert (found - shown[:, list(PERMUTATION)]).abs().mean() > 0.08 or view.mirrored.all()
        assert (landmarks[:, 0, 0] < landmarks[:, 3, 0]).all(), "the left eye is on the left of every view"


def test_a_missing_landmark_is_missing_under_its_new_name():
    landmarks = torch.rand(1, 9, 2) * 20
    landmarks[0, 0] = torch.nan
    mirror = View(torch.tensor([[[-1.0, 0.0, 31.0], [0.0, 1.0, 0.0]]]), torch.tensor([True]))
    moved = view_landmarks(landmarks, mirror, PERMUTATION)
    assert moved.isnan().any(-1).tolist() == [[False] * 3 + [True] + [False] * 5], "0 becomes 3 in the mirror"
    assert view_landmarks(landmarks, move(1, 1), PERMUTATION).isnan().any(-1)[0].nonzero().tolist() == [[0]]


# --- from one view to another


@pytest.mark.parametrize("seed", range(3))
def test_between_takes_what_the_first_view_shows_to_the_second(seed):
    """With eight views of random mirror state, all four combinations occur."""
    first, second = (random_view(8, 48, STRONG, generator(10 * seed + k)) for k in (0, 1))
    landmarks = 48 * torch.rand(8, 9, 2, generator=generator(seed))
    direct = view_landmarks(landmarks, second, PERMUTATION)
    bridge = between(first, second)
    assert view_landmarks(view_landmarks(landmarks, first, PERMUTATION), bridge, PERMUTATION).allclose(
        direct, atol=1e-3
    )
    assert bridge.mirrored.equal(first.mirrored != second.mirrored)


def test_between_a_view_and_itself_nothing_moves():
    view = random_view(8, 48, STRONG, generator())
    bridge = between(view, view)
    assert bridge.matrix.allclose(torch.eye(2, 3), atol=1e-4)
    assert not bridge.mirrored.any()


@pytest.mark.parametrize(("size", "cells"), [(64, 32), (255, 64)])
def test_heatmaps_move_as_landmarks_do(size, cells):
    view = random_view(8, size, STRONG, generator(2))
    assert 0 < view.mirrored.sum() < 8
    landmarks = size * (0.35 + 0.3 * torch.rand(8, 9, 2, generator=generator(3)))
    to_cells = cells / size
    heatmaps = encode((landmarks + 0.5) * to_cells - 0.5, cells, sigma=2.0)
    moved = warp_heatmaps(heatmaps, view, size, PERMUTATION)
    expected = (view_landmarks(landmarks, view, PERMUTATION) + 0.5) * to_cells - 0.5
    axis = torch.arange(cells, dtype=torch.float32)
    mass = moved.sum(dim=(-2, -1))
    center = torch.stack([(moved.sum(-2) * axis).sum(-1), (moved.sum(-1) * axis).sum(-1)], dim=-1) / mass[..., None]
    assert (center - expected).abs().max() < 0.02


def test_an_unmoved_heatmap_is_unchanged():
    heatmaps = torch.rand(1, 9, 16, 16)
    assert warp_heatmaps(heatmaps, move(0, 0), 32, PERMUTATION).allclose(heatmaps, atol=1e-4)


# --- colors and rectangles


def test_no_strength_leaves_the_picture():
    images = torch.rand(2, 3, 8, 8)
    assert change_colors(images, 0.0, generator()).equal(images)
    assert paint_rectangles(images, 0, generator()).equal(images)


def test_a_gray_picture_changes_by_brightness_and_tint_within_their_limits():
    images = torch.full((3000, 3, 1, 1), 0.5)
    changed = change_colors(images, 0.4, generator())[..., 0, 0]
    # tint: 0.5 (1 +- 0.12) for each color, spread by up to 40 % of contrast; brightness: +- 0.16
    tint = changed - changed.mean(1, keepdim=True)
    assert 0.06 < tint.abs().max() <= 0.08 * 1.4 + 1e-6
    level = changed.mean(1)
    assert 0.17 < (level - 0.5).abs().max() <= 0.16 + 0.06 + 1e-6
    assert images.eq(0.5).all(), "the argument is not written into"


def test_colors_stay_between_0_and_1():
    changed = change_colors(torch.rand(50, 3, 6, 6).round(), 1.0, generator())
    assert changed.min() >= 0 and changed.max() <= 1


def test_about_a_seventh_of_the_pictures_loses_its_colors():
    # two pixels of one lightness and opposite hue: without colors they are the same
    images = torch.tensor([[0.6, 0.4], [0.5, 0.5], [0.4, 0.6]]).view(1, 3, 1, 2).expand(2000, 3, 1, 2)
    changed = change_colors(images, 0.2, generator())
    difference = (changed[..., 0] - changed[..., 1]).abs().amax(dim=(1, 2))
    assert 0.12 < (difference < 1e-4).float().mean() < 0.18


def test_each_rectangle_is_painted_half_of_the_time_within_its_size():
    images = torch.zeros(1000, 3, 50, 50)
    painted = (paint_rectangles(images, 1, generator()) != 0).any(1)
    some = painted.flatten(1).any(1)
    assert 0.45 < some.float().mean() < 0.55
    width, height = painted.any(1).sum(-1)[some], painted.any(2).sum(-1)[some]
    assert (painted.flatten(1).sum(1)[some] == width * height).all(), "a rectangle is filled"
    assert 15 <= max(width.max(), height.max()) <= 17, "at most 32 % of 50 pixels, and one for where it begins"
    assert images.eq(0).all(), "the argument is not written into"


def test_more_rectangles_hide_more():
    images = torch.zeros(300, 3, 40, 40)
    shares = [(paint_rectangles(images, most, generator()) != 0).float().mean() for most in (1, 3, 9)]
    assert shares[0] < shares[1] < shares[2]

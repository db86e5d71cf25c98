"""Frames, points and pictures moving between them."""

import math

import numpy as np
import pytest
import torch

from cskt import geometry
from cskt.heatmaps import encode


def mirror_matrix(size):
    """x' = size - 1 - x, the exact mirror of 0-based pixel centers (spec 1.4)."""
    return torch.tensor([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0]])


def matrix(*rows):
    return torch.tensor([rows], dtype=torch.float64)


def test_the_crop_is_the_square_around_the_center_of_the_box():
    # box 40 x 20 at (10, 20): the square of side 40 begins at (10, 10); 80 pixels wide it is scaled by 2
    to_crop = geometry.crop_matrix(torch.tensor([[10.0, 20.0, 40.0, 20.0]]), 80)
    corners = torch.tensor([[[10.0, 10.0], [50.0, 50.0], [30.0, 30.0]]])
    assert geometry.apply(to_crop, corners).tolist() == [[[-0.5, -0.5], [79.5, 79.5], [39.5, 39.5]]]


def test_context_widens_the_square_about_the_same_center():
    to_crop = geometry.crop_matrix(torch.tensor([[10.0, 20.0, 40.0, 20.0]]), 60, context=1.5)
    assert geometry.apply(to_crop, torch.tensor([[[0.0, 0.0], [30.0, 30.0]]])).tolist() == [
        [[-0.5, -0.5], [29.5, 29.5]]
    ]


def test_two_samplings_of_one_square_share_its_edges():
    for source, target in ((255, 64), (64, 256), (48, 48)):
        resize = geometry.resize_matrix(source, target).double()
        edges = torch.tensor([[-0.5, -0.5], [source - 0.5, source - 0.5]], dtype=torch.float64)
        expected = torch.tensor([[-0.5, -0.5], [target - 0.5, target - 0.5]], dtype=torch.float64)
        assert geometry.apply(resize, edges).allclose(expected, atol=1e-4)


def test_a_missing_point_stays_missing_and_the_others_move():
    moved = geometry.apply(matrix((2, 0, 1), (0, 3, 0))[0], torch.tensor([[math.nan] * 2, [1.0, 1.0]]).double())
    assert moved[0].isnan().all()
    assert moved[1].tolist() == [3.0, 3.0]


def test_compose_applies_the_first_and_then_the_second():
    double, move = matrix((2, 0, 0), (0, 2, 0)), matrix((1, 0, 5), (0, 1, 7))
    point = torch.tensor([[[1.0, 1.0]]]).double()
    assert geometry.apply(geometry.compose(move, double), point).tolist() == [[[7.0, 9.0]]]
    assert geometry.apply(geometry.compose(double, move), point).tolist() == [[[12.0, 16.0]]]


def test_one_transform_composes_with_each_of_a_batch():
    views, _ = some_views(3, 32)
    one = geometry.resize_matrix(32, 16)
    points = torch.rand(3, 4, 2)
    in_turn = geometry.apply(one, geometry.apply(views, points))
    assert geometry.apply(geometry.compose(one, views), points).allclose(in_turn, atol=1e-5)


def test_inverse_brings_points_back():
    views, _ = some_views(8, 64)
    points = 64 * torch.rand(8, 9, 2, dtype=torch.float64)
    back = geometry.apply(geometry.invert(views.double()), geometry.apply(views.double(), points))
    assert back.allclose(points, atol=1e-9)


def test_a_singular_transform_has_no_inverse():
    with pytest.raises(RuntimeError, match="singular"):
        geometry.invert(matrix((1, 1, 0), (1, 1, 0)))


# --- random views


def some_views(count, size, seed=0, **changes):
    how = {"rotation": 40.0, "scale": 0.3, "shift": 0.08, "flip": 0.5} | changes
    return geometry.random_views(count, size, generator=torch.Generator().manual_seed(seed), **how)


def test_a_view_of_no_strength_is_the_plain_frame():
    views, mirrored = some_views(5, 33, rotation=0.0, scale=0.0, shift=0.0, flip=0.0)
    assert views.allclose(torch.eye(2, 3), atol=1e-5)
    assert not mirrored.any()


def test_a_certain_flip_is_the_mirror_matrix():
    views, mirrored = some_views(2, 33, rotation=0.0, scale=0.0, shift=0.0, flip=1.0)
    assert views.allclose(mirror_matrix(33), atol=1e-5)
    assert mirrored.all()


def test_views_are_similarities_within_their_limits():
    views, mirrored = some_views(2000, 100)
    linear = views[..., :2].double()
    zoom = linear.det().abs().sqrt()
    assert 1 / 1.3 - 1e-6 <= zoom.min() < 0.79 and 1.28 < zoom.max() <= 1.3 + 1e-6
    assert (linear @ linear.mT).allclose(zoom[:, None, None] ** 2 * torch.eye(2, dtype=torch.float64), atol=1e-5)
    assert mirrored.equal(linear.det() < 0)
    assert 0.45 < mirrored.double().mean() < 0.55
    # the second column is never mirrored: (-sin, cos) of the turn
    angle = torch.rad2deg(torch.atan2(-linear[:, 0, 1], linear[:, 1, 1]))
    assert 39 < angle.abs().max() <= 40 + 1e-4
    center = geometry.apply(views, torch.full((2000, 1, 2), 49.5)) - 49.5
    assert 7.9 < center.abs().max() <= 8 + 1e-4


def test_views_follow_from_the_generator():
    assert some_views(4, 32, seed=3)[0].equal(some_views(4, 32, seed=3)[0])
    assert not some_views(4, 32, seed=3)[0].equal(some_views(4, 32, seed=4)[0])


def test_a_turn_and_a_zoom_are_about_the_center_of_the_frame_or_of_its_mirror():
    # (20, 16) is four pixels to the right of the center, (16, 16), of a frame of 33
    point = torch.tensor([[20.0, 16.0]])
    plain, flipped = geometry.turned_views(2, 33, 90.0, False)
    assert geometry.apply(plain, point).allclose(torch.tensor([[16.0, 20.0]]), atol=1e-4) and not flipped.any()
    mirror, flipped = geometry.turned_views(2, 33, 90.0, True, zoom=2.0)
    assert geometry.apply(mirror, point).allclose(torch.tensor([[16.0, 8.0]]), atol=1e-4) and flipped.all()
    both = geometry.turned_and_zoomed(33, torch.tensor([90.0, -90.0]), torch.tensor([1.0, 2.0]))
    assert geometry.apply(both, point)[:, 0].allclose(torch.tensor([[16.0, 20.0], [16.0, 8.0]]), atol=1e-4)


def test_mirroring_twice_is_the_identity_for_points_names_and_maps():
    permutation = (3, 2, 1, 0, 4)
    points = torch.rand(2, 5, 2) * 31
    mirror = mirror_matrix(32)

    def flip(values):
        return geometry.swap_sides(geometry.apply(mirror, values), permutation)

    assert flip(flip(points)).allclose(points, atol=1e-5)
    assert flip(points)[:, 0].allclose(torch.stack([31 - points[:, 3, 0], points[:, 3, 1]], dim=-1))
    maps = torch.rand(2, 5, 6, 6)
    assert geometry.swap_sides(geometry.swap_sides(maps, permutation), permutation).equal(maps)


# --- pictures


def test_the_identity_and_whole_pixel_moves_are_exact():
    images = torch.rand(1, 3, 12, 12)
    assert geometry.warp(images, matrix((1, 0, 0), (0, 1, 0)).float(), 12).allclose(images, atol=1e-5)
    moved = geometry.warp(images, matrix((1, 0, 2), (0, 1, -1)).float(), 12)
    assert moved[..., :11, 2:].allclose(images[..., 1:, :10], atol=1e-5)
    assert moved[..., :2].abs().max() < 1e-5, "black where the picture does not reach"


def test_the_mirror_matrix_mirrors_pictures():
    images = torch.rand(2, 3, 9, 9)
    assert geometry.warp(images, mirror_matrix(9).expand(2, 2, 3), 9).allclose(images.flip(-1), atol=1e-5)


def test_a_picture_that_is_not_square_is_resampled_into_a_square_frame():
    images = torch.rand(1, 1, 6, 10)
    assert geometry.warp(images, matrix((1, 0, 0), (0, 1, 0)).float(), 6).allclose(images[..., :6], atol=1e-5)
    assert geometry.warp(images, matrix((1, 0, -4), (0, 1, 0)).float(), 6).allclose(images[..., 4:], atol=1e-5)


def slow_warp(image, back, size):
    """Bilinear sampling by plain loops, zero outside; `back` takes the new frame's pixels to the picture's."""
    height, width = image.shape
    result = np.zeros((size, size))
    for v in range(size):
        for u in range(size):
            x, y = back[:, :2] @ (u, v) + back[:, 2]
            left, top = math.floor(x), math.floor(y)
            for row, weight_y in ((top, 1 - (y - top)), (top + 1, y - top)):
                for column, weight_x in ((left, 1 - (x - left)), (left + 1, x - left)):
                    if 0 <= row < height and 0 <= column < width:
                        result[v, u] += weight_x * weight_y * image[row, column]
    return result


def test_resampling_agrees_with_plain_loops():
    images = torch.rand(4, 1, 14, 14)
    views, _ = some_views(4, 14, rotation=90.0)
    warped = geometry.warp(images, views, 10)
    for image, view, found in zip(images[:, 0], views, warped[:, 0], strict=True):
        expected = slow_warp(image.numpy(), np.linalg.inv(np.vstack([view.numpy(), [0, 0, 1]]))[:2], 10)
        assert found.numpy() == pytest.approx(expected, abs=2e-4)


def test_a_blob_moves_to_where_its_point_moves():
    rng = np.random.default_rng(0)
    true = torch.from_numpy(rng.uniform(20, 43, (16, 1, 2)))
    blobs = encode(true, 64, sigma=3.0).float()
    views, _ = some_views(16, 64)
    found = center_of_mass(geometry.warp(blobs, views, 64))
    assert (found - geometry.apply(views, true.float())).abs().max() < 0.02


def center_of_mass(maps):
    axis = torch.arange(maps.shape[-1], dtype=maps.dtype)
    mass = maps.sum(dim=(-2, -1))
    return torch.stack([(maps.sum(dim=-2) * axis).sum(-1), (maps.sum(dim=-1) * axis).sum(-1)], dim=-1) / mass[..., None]

"""What a network's maps mean, and how far they are from targets."""

import math

import numpy as np
import pytest
import torch

from cskt.heatmaps import encode
from cskt.models.losses import heatmap_loss, per_landmark, to_heatmaps


def gaussians(*places, size=24):
    return encode(torch.tensor([places]), size)


def test_squared_error_of_an_empty_map_is_the_published_7_7e_4():
    # the squares of a Gaussian of sigma 1 sum to pi; a map has 64 x 64 cells (spec 1.5)
    target = gaussians((30.2, 33.9), size=64)
    loss = per_landmark(torch.zeros_like(target), target, "linear")
    assert loss.item() == pytest.approx(math.pi / 64**2, rel=2e-4)
    assert loss.item() == pytest.approx(7.7e-4, abs=0.05e-4)


def test_linear_maps_are_heatmaps_and_a_perfect_one_costs_nothing():
    target = gaussians((10.3, 9.1))
    assert to_heatmaps(target, "linear").equal(target)
    assert per_landmark(target, target, "linear").item() == 0.0


def test_logits_of_a_gaussian_are_the_gaussian_itself():
    target = gaussians((10.3, 9.1))
    heatmaps = to_heatmaps(target.clamp(min=1e-30).log() + 5.0, "softmax")
    assert heatmaps.allclose(target, atol=1e-6)


def test_cross_entropy_of_a_flat_map_is_the_logarithm_of_the_cells():
    target = gaussians((10.3, 9.1), (3.0, 20.0))
    losses = per_landmark(torch.full_like(target, 7.0), target, "softmax")
    assert losses[0].tolist() == pytest.approx([math.log(24 * 24)] * 2, rel=1e-6)


def test_cross_entropy_is_least_at_the_target_and_falls_towards_it():
    target = gaussians((10.3, 9.1))
    best = target.clamp(min=1e-30).log().requires_grad_()
    loss = per_landmark(best, target, "softmax").sum()
    # the entropy of a Gaussian of sigma 1 in two dimensions
    assert loss.item() == pytest.approx(1 + math.log(2 * math.pi), rel=1e-4)
    assert torch.autograd.grad(loss, best)[0].abs().max() < 1e-6


def test_height_of_the_target_does_not_matter_to_cross_entropy_until_it_is_empty():
    maps, target = torch.randn(1, 1, 24, 24), gaussians((10.3, 9.1))
    whole, faint = (per_landmark(maps, k * target, "softmax").item() for k in (1.0, 1e-3))
    assert faint == pytest.approx(whole, rel=1e-5)
    empty = maps.clone().requires_grad_()
    loss = per_landmark(empty, 0 * target, "softmax").sum()
    assert loss.item() == 0.0
    assert torch.autograd.grad(loss, empty)[0].eq(0).all()


def test_losses_agree_with_plain_loops():
    rng = np.random.default_rng(0)
    maps, target = rng.normal(size=(2, 3, 4, 5)), rng.uniform(size=(2, 3, 4, 5))
    linear = per_landmark(torch.from_numpy(maps), torch.from_numpy(target), "linear")
    softmax = per_landmark(torch.from_numpy(maps), torch.from_numpy(target), "softmax")
    for b in range(2):
        for k in range(3):
            z, t = maps[b, k].ravel(), target[b, k].ravel()
            assert linear[b, k].item() == pytest.approx(sum((z - t) ** 2) / 20, rel=1e-5)
            log_p = [value - math.log(sum(math.exp(other) for other in z)) for value in z]
            expected = -sum(p / sum(t) * q for p, q in zip(t, log_p, strict=True))
            assert softmax[b, k].item() == pytest.approx(expected, rel=1e-5)


def test_the_mean_is_over_weights():
    maps = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    zero = torch.zeros(1, 3, 2, 2)
    assert heatmap_loss(maps, zero, "linear").item() == pytest.approx(14 / 3)
    assert heatmap_loss(maps, zero, "linear", torch.tensor([[1, 0, 1]])).item() == pytest.approx((1 + 9) / 2)
    assert heatmap_loss(maps, zero, "linear", torch.tensor([[True, True, False]])).item() == pytest.approx(2.5)
    assert heatmap_loss(maps, zero, "linear", torch.zeros(1, 3)).item() == 0.0


@pytest.mark.parametrize("output", ["linear", "softmax"])
def test_half_precision_maps_are_summed_in_single_precision(output):
    maps, target = torch.randn(1, 2, 24, 24).bfloat16(), gaussians((10.3, 9.1), (3.0, 20.0))
    assert per_landmark(maps, target, output).equal(per_landmark(maps.float(), target, output))
    assert to_heatmaps(maps, output).dtype == torch.float32

"""Supervised training."""

import os
import signal

import numpy as np
import pytest
import torch
from builders import few_shot as net
from builders import labeled_faces, same, use_tiny_network

from cskt.data.augment import Augmentation
from cskt.data.datasets import plain_images
from cskt.heatmaps import CODECS, encode
from cskt.methods.supervised import Supervised, Surroundings, labeled_loss, to_cells
from cskt.training import learning_rate, step_generator, train

AROUND = Surroundings(CODECS["subpixel"], torch.device("cpu"), "float32", seed=0)
AUGMENTATION = Augmentation(rotation=20, scale=0.1, shift=0.05, flip=0.5, color=0.3, cutout=1)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    use_tiny_network(monkeypatch)


def supervised(data=None, batch=3, ema=0.9, augmentation=AUGMENTATION, **how):
    return Supervised(net(), data or labeled_faces(5), AROUND, batch=batch, augmentation=augmentation, ema=ema, **how)


# --- the loss


def test_cells_cover_the_same_square_as_pixels():
    assert to_cells(torch.tensor([-0.5, 15.5, 31.5]).view(3, 1, 1).expand(3, 1, 2), 32, 16)[:, 0, 0].tolist() == [
        -0.5,
        7.5,
        15.5,
    ]


def test_a_missing_landmark_weighs_nothing():
    maps = torch.rand(2, 9, 16, 16, requires_grad=True)
    landmarks = 32 * torch.rand(2, 9, 2)
    landmarks[0, 3] = torch.nan
    loss = labeled_loss(maps, landmarks, net("linear"), CODECS["subpixel"])
    gradient = torch.autograd.grad(loss, maps)[0]
    assert gradient[0, 3].eq(0).all() and gradient[0, 2].ne(0).any()
    # the mean is over the 17 that are annotated
    target = encode((landmarks + 0.5) / 2 - 0.5, 16)
    each = (maps - target).square().mean(dim=(-2, -1))
    assert loss.item() == pytest.approx((each.sum() - each[0, 3]).item() / 17, rel=1e-5)


def test_a_batch_without_a_landmark_costs_nothing():
    maps = torch.rand(1, 9, 16, 16, requires_grad=True)
    loss = labeled_loss(maps, torch.full((1, 9, 2), torch.nan), net(), CODECS["subpixel"])
    assert loss.item() == 0.0
    assert torch.autograd.grad(loss, maps)[0].eq(0).all()


@pytest.mark.parametrize("codec", ["subpixel", "published"])
def test_the_target_is_drawn_by_the_codec(codec):
    maps, landmarks = torch.zeros(1, 1, 16, 16), torch.tensor([[[10.3, 20.9]]])
    target = CODECS[codec].encode((landmarks + 0.5) / 2 - 0.5, 16)
    found = labeled_loss(maps, landmarks, net("linear"), CODECS[codec])
    assert found.item() == pytest.approx(target.square().mean().item(), rel=1e-5)


# --- training


def test_the_loss_of_a_step_is_that_of_the_weights_before_it():
    method = supervised(labeled_faces(3), batch=3, augmentation=Augmentation())
    before = net().train()
    found = method.step(0, 1e-3, step_generator(0, 0))["labeled"]
    data = labeled_faces(3)
    expected = labeled_loss(before(plain_images(data, np.arange(3), AROUND.device)), data.landmarks_crop, before,
                            AROUND.codec)  # fmt: skip
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.slow
def test_a_few_faces_are_learned_by_heart():
    data = labeled_faces(3)
    method = supervised(data, batch=3, augmentation=Augmentation(), ema=0.0)
    for step in range(150):
        method.step(step, 1e-2, step_generator(0, step))
    heatmaps = method.result.eval().heatmaps(plain_images(data, np.arange(3), AROUND.device))
    found, _ = AROUND.codec.decode(heatmaps.detach())
    error = (2 * found + 0.5 - data.landmarks_crop).norm(dim=-1)
    assert error.mean() < 1.0, "pixels of the crop"


def test_the_average_forgets_its_beginning_first():
    """The decay begins at 0 and rises towards its value: 0, 1/11, 2/12, ... so the random start has no weight."""
    method = supervised(ema=0.5)
    weights = []
    for step in range(3):
        method.step(step, 1e-2, step_generator(0, step))
        weights.append(method.net.net.head.weight.detach().clone())
    expected = weights[0]
    for step, weight in ((1, weights[1]), (2, weights[2])):
        decay = step / (step + 10)
        expected = decay * expected + (1 - decay) * weight
    assert method.result is method.average
    assert method.result.net.head.weight.allclose(expected, atol=1e-6)


def test_without_an_average_the_last_weights_are_the_result():
    method = supervised(ema=0.0)
    assert method.result is method.net


# --- stopping and going on


HOW = {"steps": 5, "rate": lambda step: learning_rate(step, 5, 1e-2, warmup=2), "seed": 0}


@pytest.mark.parametrize("ema", [0.9, pytest.param(0.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["crash", pytest.param("terminated", marks=pytest.mark.slow)])
def test_a_stopped_run_ends_in_the_same_bits(tmp_path, ema, how):
    whole = supervised(ema=ema)
    metrics = train(whole, **HOW, folder=tmp_path / "whole")

    stopped = supervised(ema=ema)
    step = stopped.step

    def interrupt(t, lr, generator):
        if t == 3 and how == "crash":
            raise KeyboardInterrupt
        if t == 2 and how == "terminated":
            os.kill(os.getpid(), signal.SIGTERM)
        return step(t, lr, generator)

    stopped.step = interrupt
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(stopped, **HOW, folder=tmp_path / "stopped", save_seconds=0)
    resumed = supervised(ema=ema)
    torch.manual_seed(99)  # nothing may depend on the chance around
    again = train(resumed, **HOW, folder=tmp_path / "stopped")
    assert same(resumed.state_dict(), whole.state_dict())
    assert again.drop(columns="seconds").equals(metrics.drop(columns="seconds"))

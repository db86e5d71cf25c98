"""The last stage of the improved variant: a network learns what six views of it agree on."""

import copy

import numpy as np
import pytest
import torch
from builders import CPU, PLAIN, VIEWS, few_shot, labeled_faces, meta_cskt, run, same, unlabeled_faces, use_tiny_network

from cskt import config
from cskt.consensus import consensus
from cskt.heatmaps import CODECS
from cskt.methods.distillation import Distillation
from cskt.methods.semi_supervised import Terms
from cskt.methods.supervised import Surroundings
from cskt.settings import Setting
from cskt.training import learning_rate, train

AROUND = Surroundings(CODECS["subpixel"], CPU, "float32", seed=0)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    use_tiny_network(monkeypatch)


def distillation(first=3, views=PLAIN, unlabeled=None):
    labeled, unlabeled = labeled_faces(4), unlabeled or unlabeled_faces(8)
    terms = Terms(batch_labeled=4, batch_unlabeled=4)
    method = meta_cskt(labeled, unlabeled, views=views)
    return Distillation(method, first, few_shot(), labeled, unlabeled, AROUND, terms, views)


def test_until_its_last_step_the_method_is_as_it_is_alone():
    alone, staged = meta_cskt(), distillation(first=3)
    assert run(alone, 3) == run(staged, 3)
    assert same(alone.state_dict(), staged.method.state_dict())
    assert staged.result is staged.method.result


@pytest.mark.slow
def test_then_the_result_begins_to_learn_its_own_consensus():
    unlabeled = unlabeled_faces(8)
    staged = distillation(first=3, unlabeled=unlabeled)
    run(staged, 3, lr=1e-2)
    former = {name: value.clone() for name, value in staged.method.result.state_dict().items()}
    expected, _ = consensus(staged.method.result, unlabeled)
    method = copy.deepcopy(staged.method.state_dict())
    first = run(staged, 1, lr=0.0, first=3)
    assert staged.agreed.landmarks_crop.equal(expected)
    assert all(
        staged.student.net.state_dict()[name].equal(former[name]) for name, _ in staged.student.net.named_parameters()
    )
    last = run(staged, 20, lr=1e-2, first=4)
    assert last["imitation"] < first["imitation"] and last["labeled"] < first["labeled"]
    assert staged.agreed.landmarks_crop.equal(expected), "it is asked once"
    assert same(method, staged.method.state_dict()), "the method has ended"
    assert staged.result is staged.student.average


def test_an_image_that_the_method_left_out_is_learned_too():
    unlabeled = unlabeled_faces(8)
    labeled = labeled_faces(4)
    method = meta_cskt(labeled, unlabeled.subset([0, 1]), [True, False])
    staged = Distillation(method, 1, few_shot(), labeled, unlabeled, AROUND, Terms(batch_unlabeled=4), PLAIN)
    run(staged, 2)
    assert len(staged.agreed) == 8


@pytest.mark.slow
@pytest.mark.parametrize("stop", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_run_stopped_in_either_stage_ends_in_the_same_weights(tmp_path, stop):
    def loop(steps):
        return {"steps": steps, "rate": lambda step: 1e-3, "seed": 0}

    whole, stopped, resumed = (distillation(first=3, views=VIEWS) for _ in range(3))
    train(whole, **loop(6), folder=tmp_path / "whole")
    run(stopped, stop)
    resumed.load_state_dict(stopped.state_dict())
    run(resumed, 6 - stop, first=stop)
    assert same(resumed.state_dict(), whole.state_dict())
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    assert same(torch.load(tmp_path / "state.pt", weights_only=True), stopped.state_dict())


def test_the_improved_variant_is_three_times_as_long_and_its_schedule_begins_anew():
    cfg = config.load(
        "params/zoo.yaml", {"METHOD.VARIANT": "improved", "METHOD.STEPS": 10, "MODEL.NAME": "tiny", "INPUT.SIZE": 32}
    )
    setting, unlabeled = Setting(cfg), unlabeled_faces(8)
    categories = np.array(["hard_negative", "positive"] * 4)
    method, loop = setting.method(few_shot(), labeled_faces(4), unlabeled, categories)
    assert isinstance(method, Distillation) and method.first == 10 and loop["steps"] == 30
    assert len(method.method.unlabeled) == 8, "hard negatives are not left out"
    m = cfg.METHOD
    assert [loop["rate"](step) for step in (3, 10, 12)] == [
        learning_rate(3, 10, m.LR, m.WARMUP), learning_rate(0, 20, m.LR, m.WARMUP), learning_rate(2, 20, m.LR, m.WARMUP)
    ]  # fmt: skip

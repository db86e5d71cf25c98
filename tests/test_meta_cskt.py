"""Meta-CSKT: targets, feedback, the pool, and exact resume."""

import copy
import dataclasses
import os
import signal

import numpy as np
import pytest
import torch
from builders import (
    CELLS,
    CPU,
    PLAIN,
    PUBLISHED,
    SCHEME,
    VIEWS,
    few_shot,
    labeled_faces,
    meta_cskt,
    run,
    same,
    statistics,
    unlabeled_faces,
    use_tiny_network,
    weights,
)

from cskt.data.augment import view_landmarks
from cskt.data.datasets import LabeledSet, batch_indices, plain_images
from cskt.heatmaps import CODECS, decode, encode
from cskt.methods.meta_cskt import MetaCSKT, Options
from cskt.methods.selection import BestOnLabels
from cskt.methods.supervised import Surroundings
from cskt.models.losses import heatmap_loss
from cskt.predict import find_landmarks
from cskt.training import learning_rate, step_generator, train


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    use_tiny_network(monkeypatch)


# --- targets of the student


def test_the_student_is_asked_for_the_teachers_landmarks_where_its_own_view_shows_them():
    """Including views of which only one is mirrored, where left and right change names."""
    method = meta_cskt(views=VIEWS)
    unlabeled = method._unlabeled_batch(0, step_generator(0, 0))
    assert 0 < (unlabeled.weak_view.mirrored ^ unlabeled.strong_view.mirrored).sum() < 4
    plain = 8 + 16 * torch.rand(4, 9, 2)
    weak, strong = (view_landmarks(plain, view, SCHEME.flip_permutation)
                    for view in (unlabeled.weak_view, unlabeled.strong_view))  # fmt: skip
    maps = encode((weak + 0.5) / 2 - 0.5, CELLS).clamp(min=1e-30).log()
    target = method._targets(torch.cat([maps[:1], maps]), unlabeled, n=1)
    assert target[:1].allclose(encode((weak[:1] + 0.5) / 2 - 0.5, CELLS), atol=1e-3)
    mass = target[1:].sum(dim=(-2, -1))
    axis = torch.arange(CELLS)
    found = torch.stack([(target[1:].sum(-2) * axis).sum(-1), (target[1:].sum(-1) * axis).sum(-1)], -1)
    found = 2 * found / mass[..., None] + 0.5
    inside = ((strong > 7) & (strong < 24)).all(-1)
    assert inside.sum() > 10
    assert (found - strong)[inside].abs().max() < 0.3, "pixels"


def test_sharpened_targets_have_height_1_and_soft_ones_are_the_teachers():
    maps = torch.randn(6, 9, CELLS, CELLS)
    for target, expected in (("soft", maps), ("sharpened", encode(decode(maps)[0], CELLS))):
        method = meta_cskt(output="linear", target=target)
        unlabeled = method._unlabeled_batch(0, step_generator(0, 0))
        assert method._targets(maps, unlabeled, n=2).allclose(expected, atol=1e-3)


@pytest.mark.slow
def test_without_the_unsupervised_loss_the_teacher_learns_the_labels_alone_and_is_the_result():
    """The paper's row L_s: no unlabeled image has a part in it, not even through batch-norm statistics."""
    labeled = labeled_faces(4)
    methods = [
        meta_cskt(labeled, unlabeled_faces(8, seed=seed), np.zeros(8, bool), unsupervised=0.0, ema=0.9)
        for seed in (1, 2)
    ]
    before = weights(methods[0].student)
    losses = [run(method, 20, lr=1e-2) for method in methods]
    assert same(methods[0].teacher.state_dict(), methods[1].teacher.state_dict())
    assert weights(methods[0].student).equal(before)
    assert losses[0]["labeled"] < float(run(meta_cskt(labeled), 1)["labeled"])
    # what is evaluated moved with the teacher
    moved = (weights(methods[0].result) - before).norm() / (weights(methods[0].teacher) - before).norm()
    assert 0.5 < moved < 1.0
    last = meta_cskt(labeled, unsupervised=0.0, ema=0.0)
    assert last.result is last.teacher
    assert meta_cskt(labeled, ema=0.0).result is not last.teacher


# --- feedback


def plain_teacher(method, lr=1.0):
    """Let the teacher descend its plain gradient, so that its move tells the gradient."""
    method.teacher_opt = torch.optim.SGD(method.teacher.parameters(), lr=lr)
    return method


def test_a_step_that_lowers_the_labeled_loss_gives_a_positive_feedback():
    """The teacher is right about the labeled images, so imitating it helps the student; the reverse hurts."""
    method = meta_cskt(feedback="raw", feedback_on="labels", ema=0.0)
    for step in range(40):  # the teacher alone learns the labels
        method.options = dataclasses.replace(method.options, unsupervised=0.0)
        method.step(step, 1e-2, step_generator(0, step))
    method.options = dataclasses.replace(method.options, unsupervised=1.0)
    helped = run(method, 1, lr=1e-3, first=40)
    assert helped["gain"] > 0 and helped["feedback"] == helped["gain"]
    # now the student goes uphill: away from a teacher that is right
    method.student_opt = torch.optim.SGD(method.student.parameters(), lr=1.0, maximize=True)
    hurt = run(method, 1, lr=1e-2, first=41)
    assert hurt["gain"] < 0 and hurt["feedback"] == hurt["gain"]


@pytest.mark.parametrize("feedback", ["raw", "normalized"])
@pytest.mark.parametrize("forward", ["eval", "train_shrunk"])
def test_feedback_reaches_the_teachers_gradient(feedback, forward):
    """The teacher moves along labeled + feedback * pseudo: against a run without, by feedback * gradient(pseudo)."""
    weight = 1e3
    common = {"feedback_forward": forward, "feedback_weight": weight}
    with_feedback, without = (plain_teacher(meta_cskt(feedback=f, **common)) for f in (feedback, "none"))
    net = copy.deepcopy(with_feedback.teacher)
    lr = 1e-3
    losses = run(with_feedback, 1, lr)
    run(without, 1, lr)
    expected = losses["gain"] * weight
    if feedback == "normalized":
        before = losses["gain"] * weight / losses["feedback"]
        assert before > 0.5, "cross-entropy in nats"
    else:
        assert losses["feedback"] == pytest.approx(expected)
    assert abs(losses["feedback"]) > 1e-3

    images = torch.cat([plain_images(with_feedback.labeled, batch_indices(4, 4, 0, 0), CPU),
                        plain_images(with_feedback.unlabeled, batch_indices(8, 4, 2, 0), CPU)])  # fmt: skip
    maps = net(images)[4:]
    hard = encode(decode(maps.detach().flatten(-2).softmax(-1).view_as(maps))[0], CELLS)
    heatmap_loss(maps, hard, "softmax").backward()
    gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
    move = weights(with_feedback.teacher) - weights(without.teacher)
    assert torch.cosine_similarity(move, -gradient * losses["feedback"], dim=0) > 0.99
    assert move.norm().item() == pytest.approx(lr * abs(losses["feedback"]) * gradient.norm().item(), rel=0.02)


def test_a_student_that_does_not_learn_gives_no_feedback_and_one_that_does_changes_the_teacher():
    """With the student's rate at zero the teacher's gradient is that without feedback; and with it back, it differs."""

    class Still(torch.optim.SGD):
        def step(self):
            """Rate zero."""

    def teacher_after(feedback, student_learns):
        method = plain_teacher(meta_cskt(feedback=feedback, feedback_weight=1e3))
        if not student_learns:
            method.student_opt = Still(method.student.parameters(), lr=0.0)
        run(method, 1, lr=1e-3)
        return weights(method.teacher)

    without = teacher_after("none", student_learns=True)
    assert teacher_after("raw", student_learns=False).equal(without)
    assert not teacher_after("raw", student_learns=True).equal(without)


def test_normalized_feedback_is_the_gain_over_the_loss_before():
    losses = run(meta_cskt(feedback="normalized", feedback_weight=2.0), 1)
    raw = run(meta_cskt(feedback="raw", feedback_weight=2.0), 1)
    assert losses["gain"] == raw["gain"] != 0
    assert raw["feedback"] == 2 * raw["gain"]
    student = few_shot().train()
    data = labeled_faces(4)
    # in evaluation mode, but with the running statistics of the training-mode pass before
    student(torch.cat([plain_images(data, batch_indices(4, 4, 0, 0), CPU),
                       plain_images(unlabeled_faces(8), batch_indices(8, 4, 2, 0), CPU)]))  # fmt: skip
    student.eval()
    rows = batch_indices(4, 4, 3, 0)
    target = encode((data.landmarks_crop[rows] + 0.5) / 2 - 0.5, CELLS)
    before = heatmap_loss(student(plain_images(data, rows, CPU)), target, "softmax").item()
    assert losses["feedback"] == pytest.approx(2 * losses["gain"] / before, rel=1e-3)


def test_noise_is_as_large_as_the_normalized_feedback_but_knows_nothing():
    method = meta_cskt(feedback="noise")
    draws = [method._feedback(gain=0.01 * (-1) ** k, before=2.0, generator=step_generator(0, k)) for k in range(400)]
    draws = np.array(draws[100:])
    assert np.sqrt((draws**2).mean()) == pytest.approx(0.005, rel=0.15)
    assert abs(draws.mean()) < 0.001, "the sign is not the gain's"


def test_a_loss_of_zero_gives_no_feedback():
    """A probe without any annotated landmark costs nothing, before and after."""
    empty = labeled_faces(4)
    empty.landmarks_crop[:] = torch.nan
    for feedback in ("raw", "normalized", "noise"):
        assert run(meta_cskt(labeled=empty, feedback=feedback), 1)["feedback"] == 0.0


# --- the pool and the labeled list


def test_average_labels_are_the_averaged_students_and_only_positives_get_one():
    positive = np.array([True, False] * 4)
    method = meta_cskt(positive=positive, update_steps=2, ema=0.5)
    run(method, 2)
    assert method.pool.size == 0
    average = copy.deepcopy(method.average)
    run(method, 1, first=2)
    expected, _ = find_landmarks(average, method.unlabeled, average=True)
    rows, labels = method.pool.labels()
    assert rows.tolist() == [0, 2, 4, 6]
    assert labels.allclose(expected[::2], atol=1e-4)
    assert len(method.current) == 8
    assert method.current.landmarks_crop[4:].equal(labels)


@pytest.mark.slow
def test_a_capped_pool_holds_so_many_of_the_positives_and_always_the_same():
    positive = np.array([True, False] * 4)
    method = meta_cskt(positive=positive, update_steps=1, pool_cap=3)
    run(method, 4)
    assert method.pool.size == 3
    assert positive[method.pool.labels()[0]].all()
    assert (meta_cskt(positive=positive, pool_cap=3).pool.positives == method.pool.positives).all()
    assert meta_cskt(positive=positive, pool_cap=5).pool.positives.tolist() == [0, 2, 4, 6]


def test_an_image_whose_label_is_known_gets_no_other():
    """Spec 1.6: images already in the labeled list keep their ground truth."""
    unlabeled = unlabeled_faces(4)
    unlabeled.table["image"] = ["labeled_1.png", "a.png", "labeled_0.png", "b.png"]
    method = meta_cskt(unlabeled=unlabeled, update_steps=1)
    run(method, 2)
    assert method.pool.labels()[0].tolist() == [1, 3]


def test_a_batch_holds_its_share_of_true_labels():
    counts = {}
    for share in (0.0, 0.25, 0.5, 1.0):
        method = meta_cskt(true_share=share, batch_labeled=8)
        assert (method._labeled_batch(0, step_generator(0, 0)).indices < 4).all(), "there is nothing else yet"
        method.pool.put(np.arange(8), torch.zeros(8, 9, 2))
        method._join(*method.pool.labels())
        rows = [method._labeled_batch(step, step_generator(0, step)).indices for step in range(3)]
        counts[share] = sum(int((r < 4).sum()) for r in rows)
    # share 0: three batches of eight are two passes over the four true and eight pooled images
    assert counts == {0.0: 8, 0.25: 6, 0.5: 12, 1.0: 24}


def test_without_a_positive_the_pool_stays_empty():
    """As in the macaque setting, whose T_pos is 0."""
    method = meta_cskt(positive=np.zeros(8, dtype=bool), update_steps=1)
    assert run(method, 3)["pool"] == 0
    assert method.current is method.labeled


def test_no_landmark_of_an_unlabeled_image_is_ever_seen():
    """Unlabeled images that do carry landmarks train as those that do not."""
    plain = meta_cskt(update_steps=2)
    faces = labeled_faces(8, seed=1)
    faces.table["image"] = unlabeled_faces(8).table["image"]
    faces.landmarks_crop[:] = torch.nan
    seeing = meta_cskt(unlabeled=faces, update_steps=2)
    assert isinstance(seeing.unlabeled, LabeledSet)
    assert run(plain, 4) == run(seeing, 4)
    assert same(plain.state_dict(), seeing.state_dict())


# --- results


def test_the_result_is_the_averaged_student_or_the_student():
    method = meta_cskt(ema=0.75)
    start = weights(method.student)
    run(method, 1, lr=1e-2)
    assert weights(method.result).allclose(0.75 * start + 0.25 * weights(method.student), atol=1e-6)
    method = meta_cskt(ema=0.0)
    assert method.result is method.student


def test_teacher_and_student_start_from_the_same_network_and_leave_it_alone():
    start = few_shot()
    before = weights(start)
    method = MetaCSKT(start, labeled_faces(4), unlabeled_faces(8), np.ones(8, bool),
                      Surroundings(CODECS["subpixel"], CPU, "float32", 0),
                      Options(batch_labeled=4, batch_unlabeled=4), PLAIN)  # fmt: skip
    assert weights(method.teacher).equal(before) and weights(method.student).equal(before)
    run(method, 2, lr=0.1)
    assert weights(start).equal(before)
    assert not weights(method.teacher).equal(weights(method.student))


def test_a_teacher_may_be_drawn_towards_the_student():
    def teacher(decay):
        method = meta_cskt(teacher_ema=decay, feedback="none")
        run(method, 1, lr=1e-2)
        return weights(method.teacher), weights(method.student)

    (alone, student), (drawn, same_student) = teacher(0.0), teacher(0.75)
    assert same_student.equal(student)
    assert drawn.allclose(0.75 * alone + 0.25 * student, atol=1e-6)


# --- stopping and going on


HOW = {"steps": 7, "rate": lambda step: learning_rate(step, 7, 1e-2, warmup=2), "seed": 0}
CORRECTED = {"update_steps": 2, "views": VIEWS, "feedback": "noise", "ema": 0.9, "label_jitter": 0.01}
RELEASED = PUBLISHED | {"update_steps": 3, "output": "linear", "codec": "published"}


@pytest.mark.parametrize("options", [CORRECTED, RELEASED], ids=["corrected", "published"])
@pytest.mark.parametrize("stop", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_stopped_run_ends_in_the_same_bits(tmp_path, options, stop):
    whole = meta_cskt(**options)
    metrics = train(whole, **HOW, folder=tmp_path / "whole")
    assert whole.pool.size == 8 and whole.walk.ne(0).any()

    stopped = meta_cskt(**options)
    step = stopped.step

    def interrupt(t, lr, generator):
        if t == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(t, lr, generator)

    stopped.step = interrupt
    with pytest.raises(SystemExit):
        train(stopped, **HOW, folder=tmp_path / "stopped")
    resumed = meta_cskt(**options)
    torch.manual_seed(99)  # nothing may depend on the chance around
    again = train(resumed, **HOW, folder=tmp_path / "stopped")
    assert same(resumed.state_dict(), whole.state_dict())
    assert statistics(resumed.average).equal(statistics(whole.average))
    assert again.drop(columns="seconds").equals(metrics.drop(columns="seconds"))
    assert resumed.current.landmarks_crop.equal(whole.current.landmarks_crop)


@pytest.mark.slow
def test_the_chosen_weights_outlive_a_stop(tmp_path):
    def method(stop=None):
        chosen = BestOnLabels(meta_cskt(ema=0.0), 2, lambda net: float(weights(net).sum() * 1e3 % 7))
        if stop:
            step = chosen.step
            chosen.step = lambda t, *rest: (_ for _ in ()).throw(KeyboardInterrupt) if t == stop else step(t, *rest)
        return chosen

    whole, resumed = method(), method()
    train(whole, **HOW, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(method(stop=5), **HOW, folder=tmp_path / "stopped", save_seconds=0)
    train(resumed, **HOW, folder=tmp_path / "stopped")
    assert same(resumed.state_dict(), whole.state_dict())
    assert weights(resumed.result).equal(weights(whole.result))

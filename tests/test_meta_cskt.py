"""Meta-CSKT: the step, its feedback, the pool, the named faults of the release (spec 1.14), and exact resume."""

import copy
import dataclasses
import os
import signal

import numpy as np
import pytest
import torch
from builders import SCHEME, labeled_faces, unlabeled_faces
from test_supervised import same

from cskt import files, geometry
from cskt.config import VARIANTS
from cskt.data.augment import Augmentation, view_landmarks
from cskt.data.datasets import LabeledSet, batch_indices, labeled_batch, plain_images, unlabeled_batch
from cskt.heatmaps import CODECS, decode, encode
from cskt.methods.meta_cskt import MetaCSKT, Options
from cskt.methods.selection import BestOnLabels
from cskt.methods.supervised import Surroundings
from cskt.models import NETWORKS, LandmarkNet
from cskt.models.losses import heatmap_loss
from cskt.models.unet import UNet
from cskt.predict import find_landmarks
from cskt.training import learning_rate, step_generator, train

CPU = torch.device("cpu")
SIZE, CELLS = 32, 16
PLAIN = dict.fromkeys(("labeled", "weak", "strong"), Augmentation())
VIEWS = {
    "labeled": Augmentation(rotation=20, scale=0.1, flip=0.5, color=0.3),
    "weak": Augmentation(rotation=5, flip=0.5),
    "strong": Augmentation(rotation=40, scale=0.2, shift=0.05, flip=0.5, color=0.4, cutout=2),
}
PUBLISHED = {k.lower(): v for k, v in VARIANTS["published"].items() if hasattr(Options, k.lower())}
MOUTH = [5, 6, 7, 8]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny", (lambda landmarks, weights: UNet(landmarks, width=4), 2))
    monkeypatch.setattr(files, "_sync", lambda path: None)


def few_shot(output="softmax", seed=0):
    torch.manual_seed(seed)
    return LandmarkNet("tiny", SCHEME.name, 9, SIZE, output)


def meta_cskt(labeled=None, unlabeled=None, positive=None, views=PLAIN, output="softmax", codec="subpixel", **options):
    options = {"batch_labeled": 4, "batch_unlabeled": 4} | options
    labeled, unlabeled = labeled or labeled_faces(4), unlabeled or unlabeled_faces(8)
    positive = np.ones(len(unlabeled), dtype=bool) if positive is None else positive
    around = Surroundings(CODECS[codec], CPU, "float32", seed=0)
    return MetaCSKT(few_shot(output), labeled, unlabeled, positive, around, Options(**options), views)


def run(method, steps, lr=1e-3, first=0):
    """Take steps; return the losses of the last one as numbers."""
    for step in range(first, first + steps):
        losses = method.step(step, lr, step_generator(0, step))
    return {name: float(value) for name, value in losses.items()}


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def statistics(net):
    return torch.cat([b.flatten().double() for name, b in net.named_buffers() if "running" in name])


# --- the step as published, by a plain transcription


def mse(a, b):
    return (a - b).square().mean()


def released_step(teacher, student, teacher_opt, student_opt, x_l, y_l, x_u):
    """One step of the released training script, as spec 1.5 writes it down."""
    n = len(x_l)
    t = teacher(torch.cat([x_l, x_u]))
    t_sup = mse(t[:n], y_l)
    if n > 5:
        t_sup = t_sup + mse(t[5:n], y_l[5:])
    s = student(torch.cat([x_l, x_u]))
    l_old = mse(s[:n].detach(), y_l)
    s_loss = mse(s, t.detach())
    student_opt.zero_grad()
    s_loss.backward()
    student_opt.step()
    with torch.no_grad():
        l_new = mse(student(x_l), y_l)
    d = l_old - l_new
    hard = torch.zeros_like(t[n:])
    rows = torch.arange(CELLS)
    for image, maps in enumerate(t[n:].detach()):
        for landmark, heatmap in enumerate(maps):
            row, column = divmod(int(heatmap.argmax()), CELLS)
            if column > 0:
                dx, dy = rows[None] - column, rows[:, None] - row
                gaussian = torch.exp(-(dx**2 + dy**2) / 2) * ((dx.abs() <= 3) & (dy.abs() <= 3))
                hard[image, landmark] = gaussian
    t_loss = t_sup + d * mse(t[n:], hard)
    teacher_opt.zero_grad()
    t_loss.backward()
    teacher_opt.step()
    return {"imitation": s_loss, "labeled": t_sup, "gain": d, "pseudo": mse(t[n:], hard)}


@pytest.mark.parametrize("batch", [4, 8])
def test_the_published_step_is_the_released_one(batch):
    data = labeled_faces(8), unlabeled_faces(8)
    options = PUBLISHED | {"label_jitter": 0.0, "batch_labeled": batch, "update_steps": 100}
    method = meta_cskt(*data, output="linear", codec="published", **options)
    teacher, student = few_shot("linear").train(), few_shot("linear").train()
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-3) for net in (teacher, student)]
    for step in range(3):
        found = method.step(step, 1e-3, step_generator(0, step))
        rows = batch_indices(8, batch, 0, step)
        labeled = labeled_batch(data[0], rows, Augmentation(), torch.Generator(), CPU)
        unlabeled = unlabeled_batch(data[1], batch_indices(8, 4, 2, step), Augmentation(), Augmentation(),
                                    torch.Generator(), CPU)  # fmt: skip
        target = CODECS["published"].encode((labeled.landmarks + 0.5) / 2 - 0.5, CELLS)
        expected = released_step(teacher, student, *optimizers, labeled.images, target, unlabeled.weak)
        for name, value in expected.items():
            assert float(found[name]) == pytest.approx(value.item(), rel=1e-3, abs=1e-7), (step, name)
    # Adam turns the sign of a gradient that is all rounding into a whole step: hence not the largest difference
    for net, other in ((method.teacher, teacher), (method.student, student)):
        assert (weights(net) - weights(other)).abs().mean() < 1e-5
        assert (weights(net) - weights(few_shot("linear"))).abs().mean() > 1e-3
        assert statistics(net).allclose(statistics(other), atol=1e-4)


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


def test_without_the_unsupervised_loss_the_student_stays():
    method = meta_cskt(unsupervised=0.0, ema=0.0)
    before = weights(method.student)
    losses = run(method, 3, lr=0.1)
    assert weights(method.student).equal(before)
    assert losses["gain"] == 0.0


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


# --- the faults of the release, each by its option


def labeled_loss_of_images(rows, landmarks=slice(None), output="linear"):
    """The teacher's loss on single images of its first step, one number each."""
    net, data = few_shot(output).train(), labeled_faces(8)
    maps = net(torch.cat([plain_images(data, rows, CPU), plain_images(unlabeled_faces(8), batch_indices(8, 4, 2, 0), CPU)]))
    target = encode((data.landmarks_crop[rows] + 0.5) / 2 - 0.5, CELLS)
    each = (maps[: len(rows)] - target).square().mean(dim=(-2, -1))
    return each[:, landmarks].mean(dim=1)


@pytest.mark.parametrize("batch", [4, 8])
def test_fault_1_the_mouth_term_slices_images_instead_of_landmarks(batch):
    """Nothing in the released batch of four; in one of eight, the sixth image and those after it count twice."""

    def labeled(term):
        return run(meta_cskt(labeled_faces(8), output="linear", batch_labeled=batch, mouth_term=term), 1)["labeled"]

    rows = batch_indices(8, batch, 0, 0)
    images = labeled_loss_of_images(rows)
    assert labeled("none") == pytest.approx(images.mean().item(), rel=1e-4)
    extra = images[5:].mean().item() if batch == 8 else 0.0
    assert labeled("batch_slice") == pytest.approx(images.mean().item() + extra, rel=1e-4)
    mouth = labeled_loss_of_images(rows, MOUTH).mean().item()
    assert labeled("landmarks") == pytest.approx(images.mean().item() + mouth, rel=1e-4)


def test_fault_2_a_peak_in_the_first_column_is_asked_to_vanish():
    places = torch.tensor([[[0.0, 3.0], [1.0, 3.0], [0.0, 9.0], [9.0, 0.0]] + [[5.0, 5.0]] * 5])
    maps = 0.8 * encode(places, CELLS)
    hard = encode(places, CELLS)
    everywhere = meta_cskt(output="linear", hard_targets="all")._pseudo_loss(maps)
    assert everywhere.item() == pytest.approx(mse(maps, hard).item(), rel=1e-4)
    hard = CODECS["published"].encode(places, CELLS)
    hard[0, [0, 2]] = 0.0
    skipped = meta_cskt(output="linear", hard_targets="skip_first_column")._pseudo_loss(maps)
    assert skipped.item() == pytest.approx(mse(maps, hard).item(), rel=1e-4)


def test_fault_3_feedback_of_a_shrunk_training_batch_is_batch_norm_noise():
    """At a learning rate of 0 nothing is learned, yet the released comparison sees a gain, and moves the statistics."""
    clean, faulty = (meta_cskt(feedback="raw", feedback_forward=f) for f in ("eval", "train_shrunk"))
    assert run(clean, 1, lr=0.0)["feedback"] == 0.0
    assert abs(run(faulty, 1, lr=0.0)["feedback"]) > 1e-5
    assert weights(clean.student).equal(weights(faulty.student))
    assert not statistics(clean.student).allclose(statistics(faulty.student))
    passes = [m.student.net.stem[1].num_batches_tracked.item() for m in (clean, faulty)]
    assert passes == [1, 2], "the pass over the labeled images alone counts as another batch"
    assert clean.student.training and faulty.student.training


def test_fault_4_the_pool_takes_what_the_student_said_in_passing():
    """Of the images of the step, by the student before its update in training mode, in whole image pixels."""
    positive = np.arange(8) % 2 == 0
    method = meta_cskt(positive=positive, pool_labels="visited", update_steps=1)
    student, data = copy.deepcopy(method.student), method.unlabeled
    run(method, 1, lr=0.1)
    visited = batch_indices(8, 4, 2, 0)
    rows, labels = method.pool.labels()
    assert set(rows) == {row for row in visited if positive[row]} and 0 < len(rows) < 4

    maps = student(torch.cat([plain_images(method.labeled, batch_indices(4, 4, 0, 0), CPU),
                              plain_images(data, visited, CPU)]))[4:]  # fmt: skip
    cells, _ = CODECS["published"].decode(maps.detach().flatten(-2).softmax(-1).view_as(maps))
    # the crop shows a box of 96 px at (100, 200): 6 image pixels a cell
    image = ((cells + 0.5) * 6 + torch.tensor([100.0, 200.0])).trunc() + 1
    expected = {int(row): place for row, place in zip(visited, image, strict=True)}
    found = geometry.apply(geometry.invert(data.to_crop[rows]), labels.double())
    for row, place in zip(rows, found, strict=True):
        assert place.numpy() == pytest.approx(expected[row].numpy(), abs=1e-3)


def test_fault_4_the_labeled_list_is_renewed_from_the_pool_only_every_update_steps():
    method = meta_cskt(pool_labels="visited", update_steps=3, true_share=0.0)
    sizes = []
    for step in range(4):
        run(method, 1, first=step)
        sizes.append(len(method.current))
    assert sizes == [4, 4, 4, 12], "4 true labels, and the 8 images that were seen in the 3 steps before"


def test_visited_labels_of_a_mirrored_view_have_their_sides_exchanged_back():
    """What the student says of a mirrored view is put under the name that it has in the plain crop."""
    method = meta_cskt(views=VIEWS, pool_labels="visited")
    unlabeled = method._unlabeled_batch(0, step_generator(0, 0))
    assert 0 < unlabeled.strong_view.mirrored.sum() < 4
    plain = 10 + 12 * torch.rand(4, 9, 2)
    seen = view_landmarks(plain, unlabeled.strong_view, SCHEME.flip_permutation)
    method._remember(encode((seen + 0.5) / 2 - 0.5, CELLS).clamp(min=1e-30).log(), unlabeled)
    rows, labels = method.pool.labels()
    order = [unlabeled.indices.tolist().index(row) for row in rows]
    assert (labels - plain[order]).abs().max() < 2.0, "a cell of 2 pixels, cut to whole ones"


def with_pool(labels, **options):
    """A method whose current list already holds all unlabeled images with these labels."""
    method = meta_cskt(true_share=0.0, batch_labeled=8, **options)
    method.pool.put(np.arange(8), labels)
    method._join(*method.pool.labels())
    return method


def test_fault_4_the_gain_is_measured_on_pseudo_labels():
    """`batch`: on the labeled batch with what the pool says; `labels`: on true labels, whatever the pool says."""
    sensible, absurd = unlabeled_faces(8), torch.zeros(8, 9, 2)
    right = labeled_faces(8, seed=1).landmarks_crop
    assert np.array_equal(labeled_faces(8, seed=1).crops, sensible.crops), "the labels of the same faces"
    gains = {
        on: [run(with_pool(labels, feedback="raw", feedback_on=on), 1)["gain"] for labels in (right, absurd)]
        for on in ("labels", "batch")
    }
    assert gains["labels"][0] == gains["labels"][1]
    assert gains["batch"][0] != gains["batch"][1]


def test_faults_11_and_16_weights_are_chosen_by_their_error_on_labels():
    errors = iter([0.5, 0.2, 0.4, 0.2])
    seen = []

    def error(net):
        seen.append(weights(net))
        return next(errors)

    method = BestOnLabels(meta_cskt(ema=0.0), steps=2, error=error)
    assert weights(method.result).equal(weights(few_shot())), "no look was taken yet"
    run(method, 9, lr=1e-2)
    assert len(seen) == 4, "every second step"
    assert weights(method.result).equal(seen[1]), "the first of the best"
    assert not weights(method.method.result).equal(seen[1]), "training went on"


def test_fault_13_detached_feedback_never_reaches_the_teacher():
    def teacher(feedback):
        method = meta_cskt(feedback=feedback, feedback_weight=1e3)
        losses = run(method, 1)
        return weights(method.teacher), losses["feedback"]

    (detached, constant), (without, _), (raw, number) = (teacher(f) for f in ("detached", "none", "raw"))
    assert constant == number != 0, "it is computed and logged all the same"
    assert detached.equal(without)
    assert not raw.equal(without)


def test_fault_21_label_jitter_is_a_random_walk_of_the_mouth():
    method = meta_cskt(label_jitter=0.01)
    true = method.labeled.landmarks_crop.clone()
    spread = []
    for step in range(900):
        before = method.walk.clone()
        batch = method._labeled_batch(step, step_generator(0, step))
        move = method.walk[:4] - before[:4]
        assert move.abs().max() <= 0.01 * SIZE
        moved = batch.landmarks - true[batch.indices]
        assert moved[:, MOUTH].allclose(method.walk[batch.indices], atol=1e-4)
        moved[:, MOUTH] = 0
        assert moved.abs().max() < 1e-4, "eyes and nose stay"
        if step in (99, 899):
            spread.append(method.walk[:4].square().mean().item())
    # half of the time a uniform step of variance (0.32)^2 / 3: 5.1e-2 / 3 a visit
    assert spread[0] == pytest.approx(100 * 0.32**2 / 6, rel=0.6)
    assert spread[1] == pytest.approx(900 * 0.32**2 / 6, rel=0.6)
    assert method.labeled.landmarks_crop.equal(true), "the labels themselves are not written into"


def test_fault_21_half_of_the_mouth_landmarks_move_at_a_visit():
    method = meta_cskt(label_jitter=0.01)
    moved = []
    for step in range(200):
        before = method.walk[:4].clone()
        method._labeled_batch(step, step_generator(0, step))
        moved.append((method.walk[:4] != before).any(-1).float().mean().item())
    assert np.mean(moved) == pytest.approx(0.5, abs=0.05)


def test_without_jitter_labels_are_exact():
    method = meta_cskt()
    batch = method._labeled_batch(3, step_generator(0, 3))
    assert batch.landmarks.allclose(method.labeled.landmarks_crop[batch.indices], atol=1e-4)


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
@pytest.mark.parametrize("stop", [1, 4])
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

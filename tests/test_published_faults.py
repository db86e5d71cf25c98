"""The published step against a plain transcription, and the named option of each of its faults (spec 1.14)."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import (
    CELLS,
    CPU,
    PUBLISHED,
    SCHEME,
    SIZE,
    VIEWS,
    few_shot,
    labeled_faces,
    meta_cskt,
    run,
    statistics,
    unlabeled_faces,
    use_tiny_network,
    weights,
)

from cskt import config, geometry
from cskt.data.augment import Augmentation, view_landmarks
from cskt.data.datasets import batch_indices, labeled_batch, plain_images, unlabeled_batch
from cskt.heatmaps import CODECS, encode
from cskt.methods.selection import BestOnLabels
from cskt.training import step_generator

MOUTH = [5, 6, 7, 8]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    use_tiny_network(monkeypatch)


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


# --- the faults of the release, each by its option


def labeled_loss_of_images(rows, landmarks=slice(None), output="linear"):
    """The teacher's loss on single images of its first step, one number each."""
    net, data = few_shot(output).train(), labeled_faces(8)
    maps = net(
        torch.cat([plain_images(data, rows, CPU), plain_images(unlabeled_faces(8), batch_indices(8, 4, 2, 0), CPU)])
    )
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


@pytest.mark.slow
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


def test_the_page_on_the_release_says_what_its_variant_sets():
    """An option in brackets belongs to another run of the authors; those of no fault are told in the text."""
    page = (Path(__file__).parents[1] / "docs" / "released_code.md").read_text(encoding="utf-8")
    training = page.split("## Training")[1].split("## Settings")[0]
    told = dict(re.findall(r"(?<!\[)`([A-Z_]+): ([\w.]+)`(?=[^|\n]*\|)", training))
    sets = {key: value for key, value in config.VARIANTS["published"].items() if "." not in key}
    assert told.keys() == sets.keys() - {"EMA", "TEACHER_EMA", "FEEDBACK"}
    for key, value in told.items():
        assert value == str(sets[key]).lower() or float(value) == sets[key], key

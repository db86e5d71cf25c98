"""The semi-supervised baselines: the idea of each, the terms they share with Meta-CSKT, and exact resume."""

import os
import signal

import pytest
import torch
from builders import (
    CELLS,
    CPU,
    PLAIN,
    SCHEME,
    SIZE,
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

from cskt.config import VARIANTS
from cskt.data.augment import view_landmarks
from cskt.data.datasets import one_view
from cskt.heatmaps import CODECS, encode
from cskt.methods import pseudo_label, scarcenet
from cskt.methods.scarcenet import small_loss
from cskt.methods.semi_supervised import frozen_statistics
from cskt.methods.supervised import Surroundings
from cskt.methods.uda import raised
from cskt.models.losses import to_heatmaps
from cskt.predict import find_landmarks
from cskt.settings import METHODS
from cskt.training import learning_rate, step_generator, train

BASELINES = [name for name in METHODS if name != "meta_cskt"]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    use_tiny_network(monkeypatch)


def baseline(name, views=PLAIN, output="softmax", unlabeled=None, codec="subpixel", **options):
    kind, own = METHODS[name]
    around = Surroundings(CODECS[codec], CPU, "float32", seed=0)
    options = own(**{"steps": 10, "batch_labeled": 4, "batch_unlabeled": 4} | options)
    return kind(few_shot(output), labeled_faces(4), unlabeled or unlabeled_faces(8), around, options, views)


def released(name):
    """The options of a method as the authors ran it."""
    prefix = f"{name.upper()}."
    own = {k.removeprefix(prefix).lower(): v for k, v in VARIANTS["published"].items() if k.startswith(prefix)}
    return {key: value for key, value in own.items() if key != "strong"} | {"ema": 0.0, "weight_decay": 0.0}


def batches_of(method, step=0):
    """What `step` is going to see."""
    generator = step_generator(0, step)
    return method.batches.labeled(step, generator), method.batches.unlabeled(step, generator)


def places(count=4):
    """Landmarks well inside a crop, [count, 9, 2]."""
    return 10 + 12 * torch.rand(count, 9, 2, generator=torch.Generator().manual_seed(3))


def logits(landmarks):
    """Maps whose heatmaps are Gaussians at these places of a view, up to rounding: a network that is sure."""
    return encode((landmarks + 0.5) / 2 - 0.5, CELLS).clamp(min=1e-30).log()


def taught(method, *answers, step=0):
    """Let the student give these maps, one tuple for each of its passes, and return what it is taught by one step.

    Returns:
        for each of the first pass's maps that is all zero: the target distribution [B, L, H, H] times its weight, of
        which the loss's gradient at a flat map tells: weight * (flat - target) / (B * L).
    """
    passes = iter(answers)
    leaves = [maps.requires_grad_() for maps in answers[0]]
    method.student.maps = lambda *images: next(passes)
    method.student.descend = lambda loss, lr, ema=None: loss.backward()
    method.step(step, 1e-3, step_generator(0, step))
    found = [-maps.grad * maps[..., 0, 0].numel() for maps in leaves if maps.eq(0).all()]
    # what is above the flat part of it: the flat map itself is weight / H^2
    return [own - own.amin(dim=(-2, -1), keepdim=True) for own in found]


def centers(targets):
    """Centers of mass in the view's pixels, [B, L, 2]; NaN where there is no mass."""
    axis = torch.arange(CELLS)
    mass = targets.sum(dim=(-2, -1)).masked_fill(targets.amax(dim=(-2, -1)) < 1e-6, torch.nan)
    cells = torch.stack([(targets.sum(-2) * axis).sum(-1), (targets.sum(-1) * axis).sum(-1)], -1) / mass[..., None]
    return 2 * cells + 0.5


def flat(count=4):
    return torch.zeros(count, 9, CELLS, CELLS)


# --- the same terms for all


@pytest.mark.parametrize("name", BASELINES)
def test_every_method_sees_the_images_that_meta_cskt_sees(name):
    theirs, ours = meta_cskt(views=VIEWS), baseline(name, views=VIEWS)
    assert weights(ours.student.net).equal(weights(theirs.student)), "the same start"
    for step in (0, 5):
        generator = step_generator(0, step)
        labeled, unlabeled = theirs._labeled_batch(step, generator), theirs._unlabeled_batch(step, generator)
        own_labeled, own_unlabeled = batches_of(ours, step)
        assert own_labeled.images.equal(labeled.images) and own_labeled.landmarks.equal(labeled.landmarks)
        assert own_unlabeled.weak.equal(unlabeled.weak) and own_unlabeled.strong.equal(unlabeled.strong)


def test_a_loss_is_averaged_over_all_landmarks_used_or_not():
    student = baseline("fixmatch").student
    maps, landmarks = torch.randn(2, 9, CELLS, CELLS), places(2)
    each = student.losses(maps, landmarks)
    landmarks[1, 4] = torch.nan
    used = torch.ones(2, 9)
    used[0, 2] = 0.0
    expected = (each.sum() - each[1, 4] - each[0, 2]) / 18
    assert student.loss(maps, landmarks, used).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("ema", [0.0, 0.75])
def test_the_result_is_the_average_or_the_last_weights(name, ema):
    method = baseline(name, ema=ema)
    start = weights(method.student.net)
    run(method, 1, first=9)  # late in the run, where no ramp is at work
    last = weights(method.student.net)
    assert not last.equal(start)
    assert weights(method.result).allclose(ema * start + (1 - ema) * last, atol=1e-7)


# --- FixMatch


def test_fixmatchs_target_is_moved_by_the_views_that_lie_between():
    """Including views of which only one is mirrored, where left and right change names."""
    method = baseline("fixmatch", views=VIEWS)
    _, unlabeled = batches_of(method)
    assert 0 < (unlabeled.weak_view.mirrored ^ unlabeled.strong_view.mirrored).sum() < 4
    weak, strong = (view_landmarks(places(), view, SCHEME.flip_permutation)
                    for view in (unlabeled.weak_view, unlabeled.strong_view))  # fmt: skip
    _, target = taught(method, (flat(), logits(weak), flat()))
    inside = ((strong > 8) & (strong < 23)).all(dim=-1)
    assert inside.sum() > 15
    assert (centers(target) - strong)[inside].abs().max() < 0.2, "pixels"


def test_fixmatch_takes_the_landmarks_it_is_sure_of_and_no_other():
    method = baseline("fixmatch")  # plain views: the peaks stay where they are
    weak = logits(places())
    weak[1, 3] *= 0.05  # nearly flat: a peak far below 0.6
    confidence = to_heatmaps(weak, "softmax").amax(dim=(-2, -1))
    assert confidence[1, 3] < 0.6 < confidence.flatten().sort().values[1]
    _, target = taught(method, (flat(), weak, flat()))
    used = ~centers(target).isnan().any(dim=-1)
    assert used.sum() == 35 and not used[1, 3]
    _, target = taught(baseline("fixmatch", confidence=0.0), (flat(), weak.detach(), flat()))
    assert not centers(target).isnan().any(), "as released: all"


def test_fixmatchs_target_is_a_whole_gaussian_however_blurred_the_answer():
    weak = logits(places()) / 2  # a wider Gaussian
    _, target = taught(baseline("fixmatch", confidence=0.0), (flat(), weak, flat()))
    expected = encode((places() + 0.5) / 2 - 0.5, CELLS)
    assert (target / target.amax(dim=(-2, -1), keepdim=True)).allclose(
        expected / expected.amax(dim=(-2, -1), keepdim=True), atol=1e-3
    )


# --- UDA


def test_uda_sharpens_as_a_softmax_of_low_temperature_does():
    maps = 3 * torch.randn(2, 9, CELLS, CELLS)
    sharp = raised(to_heatmaps(maps, "softmax"), 0.4)
    expected = to_heatmaps(maps / 0.4, "softmax")
    mass = [h.sum(dim=(-2, -1), keepdim=True) for h in (sharp, expected)]
    assert (sharp / mass[0]).allclose(expected / mass[1], atol=1e-6)
    assert sharp.amax(dim=(-2, -1)).allclose(to_heatmaps(maps, "softmax").amax(dim=(-2, -1))), "the peak it had"
    # a Gaussian of one cell becomes one of sqrt(0.4) cells
    gaussian = encode(torch.full((1, 1, 2), 8.0), CELLS)
    assert raised(gaussian, 0.4).allclose(encode(torch.full((1, 1, 2), 8.0), CELLS, sigma=0.4**0.5), atol=1e-6)


def test_udas_student_is_taught_the_sharpened_answer_where_it_is_sure():
    weak = 2 * logits(places())
    weak[0, 5] *= 0.02
    _, target = taught(baseline("uda"), (flat(), weak, flat()))
    expected = (weak.detach() / 0.4).flatten(-2).softmax(dim=-1).view_as(weak)
    used = torch.ones(4, 9, dtype=torch.bool)
    used[0, 5] = False
    assert target[used].allclose(expected[used], atol=1e-3)
    assert target[~used].eq(0).all()


def test_udas_target_is_moved_by_the_views_that_lie_between():
    method = baseline("uda", views=VIEWS, temperature=1.0)
    _, unlabeled = batches_of(method)
    weak, strong = (view_landmarks(places(), view, SCHEME.flip_permutation)
                    for view in (unlabeled.weak_view, unlabeled.strong_view))  # fmt: skip
    _, target = taught(method, (flat(), logits(weak), flat()))
    inside = ((strong > 8) & (strong < 23)).all(dim=-1)
    assert (centers(target) - strong)[inside].abs().max() < 0.4, "pixels"


def test_the_released_uda_learns_the_labels_from_a_teacher_and_hard_answers():
    method = baseline("uda", **released("uda"))
    labeled, _ = batches_of(method)
    before = weights(method.teacher.net)
    (lessons,) = method.teacher.maps(labeled.images)
    weak = logits(places()) / 3
    first, second = taught(method, (flat(), weak, flat()))
    share = lessons.detach().flatten(-2).softmax(dim=-1).view_as(lessons)
    assert first.allclose(share - share.amin(dim=(-2, -1), keepdim=True), atol=1e-5), "the teacher's soft map"
    gaussian = encode((places() + 0.5) / 2 - 0.5, CELLS)
    assert (second / second.amax(dim=(-2, -1), keepdim=True)).allclose(
        gaussian / gaussian.amax(dim=(-2, -1), keepdim=True), atol=1e-3
    )
    assert not weights(method.teacher.net).equal(before), "the teacher learns too"


# --- Pseudo-label


def test_pseudo_labels_are_the_few_shot_networks_and_made_once(monkeypatch):
    method = baseline("pseudo_label", quantile=0.0)
    made, _ = find_landmarks(few_shot(), method.batches.more)
    calls = []
    monkeypatch.setattr(pseudo_label, "find_landmarks", lambda *a, **k: calls.append(1) or find_landmarks(*a, **k))
    run(method, 3, lr=0.1)
    assert len(calls) == 1
    assert method.pseudo.landmarks_crop.equal(made)
    changed, _ = find_landmarks(method.student.net, method.batches.more)
    assert not changed.allclose(made, atol=1.0), "by now the network says something else"


def test_the_surer_half_of_each_landmarks_pseudo_labels_is_used():
    method = baseline("pseudo_label")
    run(method, 1)
    _, confidence = find_landmarks(few_shot(), method.batches.more)
    used = ~method.pseudo.landmarks_crop.isnan().any(dim=-1)
    assert used.sum(dim=0).tolist() == [4] * 9, "landmark by landmark, not over all"
    least, most = (confidence.masked_fill(own, bad) for own, bad in ((~used, torch.inf), (used, -torch.inf)))
    assert (least.amin(dim=0) > most.amax(dim=0)).all()
    strict = baseline("pseudo_label", quantile=0.0, confidence=confidence.median().item())
    run(strict, 1)
    assert (~strict.pseudo.landmarks_crop.isnan().any(dim=-1)).equal(confidence >= confidence.median())


def test_the_pseudo_labels_weight_rises_over_the_first_two_fifths_of_the_run():
    method = baseline("pseudo_label", steps=20, weight=3.0, ramp=0.4)
    shares = []
    descend = method.student.descend
    method.student.descend = lambda loss, lr: shares.append(loss.item()) or descend(loss, lr)
    for step, ramp in ((0, 0.0), (2, 0.25), (4, 0.5), (8, 1.0), (19, 1.0)):
        losses = run(method, 1, lr=1e-4, first=step)
        assert losses["ramp"] == pytest.approx(ramp)
        assert shares[-1] == pytest.approx(losses["labeled"] + 3 * ramp * losses["unlabeled"], rel=1e-5)
        assert losses["unlabeled"] > 0


def test_the_pseudo_labeled_images_leave_no_trace_in_batch_norm():
    with_them, without = baseline("pseudo_label"), baseline("pseudo_label")
    run(with_them, 1, lr=0.0)
    without.student.maps(batches_of(without)[0].images)
    assert statistics(with_them.student.net).equal(statistics(without.student.net))
    with frozen_statistics(without.student.net):
        assert not without.student.maps(torch.rand(3, 3, SIZE, SIZE))[0].isnan().any()
    without.student.maps(torch.rand(3, 3, SIZE, SIZE))
    assert not statistics(with_them.student.net).equal(statistics(without.student.net)), "thawed again"


# --- ScarceNet


def test_the_labels_of_small_loss_are_trusted():
    losses = torch.tensor([[0.5, 0.1, 9.0], [0.3, 0.2, 0.4]])
    there = torch.tensor([[True, True, False], [True, True, True]])
    # five are there, 0.7 of them are three: 0.1, 0.2, 0.3
    assert small_loss(losses, there, 0.7).tolist() == [[False, True, False], [True, True, False]]
    assert small_loss(losses, there, 1.0).equal(there)
    assert not small_loss(losses, there, 0.0).any()


def test_the_share_of_trusted_labels_falls_to_four_fifths():
    method = baseline("scarcenet", steps=1000)
    assert [method._share(step) for step in (0, 200, 999)] == pytest.approx([1.0, 0.8, 0.8])
    assert method._share(40) == pytest.approx(0.5 * (1 + torch.tensor(0.2 * torch.pi).cos().item()))


def test_exactly_the_landmarks_on_which_two_views_agree_within_0_6_cells_are_relabeled():
    method = baseline("scarcenet", small_loss=0.0, rampdown=0.0, consistency=0.0, views=VIEWS)
    method.pseudo, new = places(8), 32 - places(4).flip(0)
    generator = step_generator(0, 0)
    method.batches.labeled(0, generator)
    unlabeled = method.batches.unlabeled(0, generator)
    weak = view_landmarks(new, unlabeled.weak_view, SCHEME.flip_permutation)
    # the second weak view is drawn last
    _, view = one_view(method.batches.more, unlabeled.indices, VIEWS["weak"], generator, CPU)
    apart = torch.tensor([0.0, 0.3, 0.55, 0.65, 1.0, 3.0, 0.5, 0.7, 0.59])  # cells, two pixels each
    moved = weak + torch.stack([2 * apart, torch.zeros(9)], dim=-1)
    other = method.batches.move(moved, unlabeled.weak_view, view)
    (_, target) = taught(method, (flat(), flat()), (logits(weak), logits(other)))
    relabeled = ~centers(target).isnan().any(dim=-1)
    strong = view_landmarks(new, unlabeled.strong_view, SCHEME.flip_permutation)
    inside = ((strong > 8) & (strong < 23)).all(dim=-1)
    assert inside[:, apart < 0.6].sum() > 8
    assert relabeled[inside].equal((apart < 0.6).expand(4, 9)[inside])
    assert (centers(target) - strong)[inside & relabeled].abs().max() < 0.3, "pixels: the label is the new place"


def test_a_trusted_label_stays_though_two_views_agree_on_another_place():
    method = baseline("scarcenet", small_loss=1.0, consistency=0.0, views=VIEWS)
    _, unlabeled = batches_of(method)
    method.pseudo = places(8)
    strong = view_landmarks(method.pseudo[unlabeled.indices], unlabeled.strong_view, SCHEME.flip_permutation)
    elsewhere = logits(32 - places(4))
    labels, target = taught(method, (flat(), flat()), (elsewhere, elsewhere))
    inside = ((strong > 8) & (strong < 23)).all(dim=-1)
    assert (centers(target) - strong)[inside].abs().max() < 0.2, "pixels"
    # the mean is over eight images, of which `taught` knows four; a true label weighs twice as much
    assert target.sum(dim=(-2, -1))[inside].mean().item() == pytest.approx(1 / 2, rel=1e-2)
    assert labels.sum(dim=(-2, -1)).median().item() == pytest.approx(2 / 2, rel=1e-2)


def test_scarcenets_student_follows_the_teachers_hard_answer_with_a_rising_weight():
    for step, weight in ((0, 2 * torch.tensor(-5.0).exp().item()), (9, 2.0)):
        method = baseline("scarcenet", small_loss=0.0, rampdown=0.0, agreement=0.0, ramp=0.5, views=VIEWS)
        _, unlabeled = batches_of(method, step)
        method.pseudo = places(8)
        weak, strong = (view_landmarks(places(), view, SCHEME.flip_permutation)
                        for view in (unlabeled.weak_view, unlabeled.strong_view))  # fmt: skip
        answer = 0.3 * encode((weak + 0.5) / 2 - 0.5, CELLS)
        method.student.average_heatmaps = lambda images, answer=answer: answer
        _, target = taught(method, (flat(), flat()), (logits(weak), logits(weak)), step=step)
        inside = ((strong > 8) & (strong < 23)).all(dim=-1)
        assert (centers(target) - strong)[inside].abs().max() < 0.2, "pixels"
        assert target.sum(dim=(-2, -1))[inside].mean().item() == pytest.approx(weight, rel=1e-2)


def test_scarcenets_first_labels_are_the_surest_of_all_and_lie_in_the_plain_crop(monkeypatch):
    method = baseline("scarcenet", keep=0.6, label_views=3, views=VIEWS)
    truth, peaks = places(8), torch.linspace(0.2, 1.0, 72).view(8, 9, 1, 1)
    asked = []

    def seen(data, rows, *rest):
        images, view = one_view(data, rows, *rest)
        landmarks = view_landmarks(truth[rows], view, SCHEME.flip_permutation)
        mirrored = torch.stack([SIZE - 1 - landmarks[..., 0], landmarks[..., 1]], dim=-1)
        asked.extend([(images, landmarks), (images.flip(-1), mirrored[:, SCHEME.flip_permutation])])
        return images, view

    def heatmaps(images):
        """Of a network that finds the landmarks in whatever view it is shown."""
        (landmarks,) = (landmarks for shown, landmarks in asked if shown.equal(images))
        return peaks * encode((landmarks + 0.5) / 2 - 0.5, CELLS)

    monkeypatch.setattr(scarcenet, "one_view", seen)
    method.student.average_heatmaps = heatmaps
    found = method._label(torch.Generator().manual_seed(5))
    assert len(asked) == 6, "three views and their mirror images"
    used = ~found.isnan().any(dim=-1)
    assert used.sum() == 43, "three fifths of 72"
    assert used.flatten()[:20].sum() < 5 and used.flatten()[-20:].all(), "over all landmarks, not one by one"
    assert (found - truth)[used].abs().max() < 0.4, "pixels"


# --- Mean Teacher


def test_the_teacher_is_the_average_of_the_students_weights():
    method = baseline("mean_teacher", ema=0.99999)
    seen = []
    for step in range(5):
        run(method, 1, lr=1e-2, first=step)
        seen.append(weights(method.student.net))
    assert weights(method.result).allclose(torch.stack(seen).mean(dim=0), atol=1e-6)
    # and later a running one
    method = baseline("mean_teacher", ema=0.6)
    run(method, 5, lr=1e-2)
    before = weights(method.result)
    run(method, 1, lr=1e-2, first=5)
    assert weights(method.result).allclose(0.6 * before + 0.4 * weights(method.student.net), atol=1e-6)


def test_the_student_is_taught_the_teachers_maps_with_a_rising_weight():
    for step, weight in ((0, torch.tensor(-5.0).exp().item()), (9, 1.0)):
        method = baseline("mean_teacher", ramp=0.5)
        _, unlabeled = batches_of(method, step)
        expected = method.result.heatmaps(unlabeled.weak).detach()
        _, target = taught(method, (flat(), flat()), step=step)
        expected = weight * expected / expected.sum(dim=(-2, -1), keepdim=True)
        assert target.allclose(expected - expected.amin(dim=(-2, -1), keepdim=True), atol=1e-5)


def test_mean_teachers_target_is_moved_by_the_views_that_lie_between_and_can_be_masked():
    method = baseline("mean_teacher", confidence=0.4, views=VIEWS)
    _, unlabeled = batches_of(method, step=9)
    weak, strong = (view_landmarks(places(), view, SCHEME.flip_permutation)
                    for view in (unlabeled.weak_view, unlabeled.strong_view))  # fmt: skip
    answer = encode((weak + 0.5) / 2 - 0.5, CELLS)
    answer[:, 4] *= 0.3  # the nose tip, which no mirror renames
    method.student.average_heatmaps = lambda images: answer
    _, target = taught(method, (flat(), flat()), step=9)
    used = ~centers(target).isnan().any(dim=-1)
    assert not used[:, 4].any() and used.sum() == 32
    inside = ((strong > 8) & (strong < 23)).all(dim=-1) & used
    assert inside.sum() > 12
    assert (centers(target) - strong)[inside].abs().max() < 0.4, "pixels"


# --- exact resume

HOW = {"steps": 5, "rate": lambda step: learning_rate(step, 5, 1e-2, warmup=2), "seed": 0}


@pytest.mark.parametrize(
    ("name", "options", "stop"),
    [
        # the one with the largest state
        ("scarcenet", {}, 3),
        *(pytest.param(name, {}, 3, marks=pytest.mark.slow) for name in BASELINES if name != "scarcenet"),
        *(pytest.param(name, {}, 0, marks=pytest.mark.slow) for name in BASELINES),
        *(pytest.param("uda", {"labels": "teacher"}, stop, marks=pytest.mark.slow) for stop in (0, 3)),
    ],
)
def test_a_stopped_run_ends_in_the_same_bits(tmp_path, name, options, stop):
    def method():
        return baseline(name, views=VIEWS, ema=0.9, steps=5, **options)

    whole = method()
    metrics = train(whole, **HOW, folder=tmp_path / "whole")

    stopped = method()
    step = stopped.step

    def interrupt(t, lr, generator):
        if t == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(t, lr, generator)

    stopped.step = interrupt
    with pytest.raises(SystemExit):
        train(stopped, **HOW, folder=tmp_path / "stopped")
    resumed = method()
    torch.manual_seed(99)  # nothing may depend on the chance around
    again = train(resumed, **HOW, folder=tmp_path / "stopped")
    assert same(resumed.state_dict(), whole.state_dict())
    assert statistics(resumed.result).equal(statistics(whole.result))
    assert again.drop(columns="seconds").equals(metrics.drop(columns="seconds"))

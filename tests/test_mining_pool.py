"""The pool of pseudo-labels, and the disagreements that decide who may enter it."""

import numpy as np
import pytest
import torch
from builders import unlabeled_faces
from torch import nn

from cskt import mining
from cskt.landmarks import SCHEMES
from cskt.mining import Pool, at_most, disagreements


def test_only_positives_enter_the_pool_and_later_visits_replace_earlier_ones():
    pool = Pool(np.array([True, False, True, True]), landmarks=2)
    assert pool.size == 0
    pool.put(np.array([3, 1, 0]), torch.arange(12.0).view(3, 2, 2))
    rows, labels = pool.labels()
    assert rows.tolist() == [0, 3]
    assert labels.tolist() == [[[8, 9], [10, 11]], [[0, 1], [2, 3]]]
    pool.put(np.array([3]), torch.full((1, 2, 2), 7.0))
    assert pool.size == 2
    assert pool.labels()[1][1].eq(7).all()


def test_the_size_is_the_number_of_labels_after_any_visits():
    rng = np.random.default_rng(0)
    pool = Pool(rng.random(20) < 0.7, landmarks=2)
    for _ in range(30):
        rows = rng.integers(0, 20, 4)  # the same image may be there twice
        labels = torch.rand(4, 2, 2)
        labels[rng.random(4) < 0.2] = torch.nan
        pool.put(rows, labels)
        assert pool.size == len(pool.labels()[0])


def test_labels_that_were_given_out_do_not_change_with_the_pool():
    pool = Pool(np.array([True]), landmarks=1)
    pool.put(np.array([0]), torch.zeros(1, 1, 2))
    _, labels = pool.labels()
    pool.put(np.array([0]), torch.ones(1, 1, 2))
    assert labels.eq(0).all()


def test_a_cap_draws_from_the_chosen_without_favor():
    chosen = np.arange(100) % 2 == 0
    draws = np.stack([at_most(chosen, 10, seed) for seed in range(400)])
    assert (draws.sum(axis=1) == 10).all() and not draws[:, ~chosen].any()
    # 80 expected for each of the 50, with a standard deviation of 8
    assert abs(draws.sum(axis=0)[chosen] - 80).max() < 40
    assert (at_most(chosen, 10, seed=7) == draws[7]).all()
    assert (at_most(chosen, 51, seed=0) == chosen).all()


def test_an_empty_pool_has_no_labels():
    pool = Pool(np.zeros(5, dtype=bool), landmarks=3)
    pool.put(np.arange(5), torch.zeros(5, 3, 2))
    rows, labels = pool.labels()
    assert pool.size == 0 and len(rows) == 0 and labels.shape == (0, 3, 2)


def test_the_state_of_a_pool_brings_it_back():
    pool, other = (Pool(np.array([True, True]), landmarks=1) for _ in range(2))
    pool.put(np.array([1]), torch.tensor([[[3.0, 4.0]]]))
    other.load_state_dict({key: value.clone() for key, value in pool.state_dict().items()})
    assert other.size == 1
    assert other.labels()[0].tolist() == [1] and other.labels()[1].tolist() == [[[3.0, 4.0]]]


# --- disagreements


class Says(nn.Module):
    """Stands for a network: `find_landmarks` is patched to give what it says."""

    def __init__(self, scheme, plain, mirrored=None):
        super().__init__()
        self.spec = {"scheme": scheme}
        self.plain, self.mirrored = plain, mirrored


@pytest.fixture
def _spoken(monkeypatch):
    def find(net, data, mirrored=False, **how):
        assert data.scheme is SCHEMES[net.spec["scheme"]]
        return (net.mirrored if mirrored else net.plain), None

    monkeypatch.setattr(mining, "find_landmarks", find)


@pytest.mark.usefixtures("_spoken")
def test_disagreements_are_distances_over_the_box_averaged_over_landmarks():
    """The crop of 32 px shows a box of 96 px: 3 px apart in the crop are 9 px apart in the image, 9 / 96 of the box."""
    data = unlabeled_faces(2, size=32)
    animal = torch.full((2, 9, 2), 10.0)
    human, mirror = animal.clone(), animal.clone()
    human[0, :, 0] += 3.0
    human[1, 4, 1] += 2.7
    mirror[1, :3, 1] += 6.0
    table = disagreements(Says("animalweb9", human), Says("animalweb9", animal, mirror), data)
    assert table["image"].tolist() == ["unlabeled_0.png", "unlabeled_1.png"]
    # over nine shared landmarks, of which one is 2.7 px off
    assert table["human_disagreement"].tolist() == pytest.approx([3 / 32, 0.3 / 32])
    # three of nine are 6 px off
    assert table["flip_disagreement"].tolist() == pytest.approx([0.0, 2 / 32])


@pytest.mark.usefixtures("_spoken")
def test_human_and_animal_are_compared_on_the_places_they_share():
    """68 human landmarks against AnimalWeb's 9: eye corners, nose, mouth corners, lips; the brows do not count."""
    data = unlabeled_faces(1, size=32)
    animal = torch.arange(18.0).view(1, 9, 2)
    human = torch.full((1, 68, 2), 1000.0)
    for place, index in {36: 0, 39: 1, 42: 2, 45: 3, 33: 4, 48: 5, 54: 6, 51: 7, 57: 8}.items():
        human[0, place] = animal[0, index]
    human[0, 33, 0] += 9.0
    table = disagreements(Says("ibug68", human), Says("animalweb9", animal, animal), data)
    assert table["human_disagreement"].item() == pytest.approx(1 / 32)


@pytest.mark.usefixtures("_spoken")
def test_without_a_human_model_its_disagreement_is_missing_and_the_other_is_not():
    data = unlabeled_faces(1, size=32)
    animal = torch.full((1, 9, 2), 10.0)
    table = disagreements(None, Says("animalweb9", animal, animal + torch.tensor([3.2, 0.0])), data)
    assert np.isnan(table["human_disagreement"].item())
    assert table["flip_disagreement"].item() == pytest.approx(0.1)

"""The shape in the box."""

import numpy as np

from cskt.shapes import fit_shape, place_shape


def test_mean_and_median_are_taken_in_box_units_and_over_annotated_landmarks():
    boxes = np.array([[0.0, 0.0, 10.0, 20.0], [100.0, 50.0, 40.0, 40.0], [5.0, 5.0, 1.0, 1.0]])
    in_box = np.array([[[0.1, 0.5], [0.3, 0.3]], [[0.2, 0.5], [np.nan, np.nan]], [[0.9, 0.5], [0.5, 0.7]]])
    landmarks = place_shape(in_box, boxes)
    assert landmarks[1, 0].tolist() == [108.0, 70.0]
    np.testing.assert_allclose(fit_shape(landmarks, boxes, "mean"), [[0.4, 0.5], [0.4, 0.5]])
    np.testing.assert_allclose(fit_shape(landmarks, boxes, "median"), [[0.2, 0.5], [0.4, 0.5]])


def test_a_shape_fitted_on_one_face_is_that_face():
    rng = np.random.default_rng(0)
    landmarks, boxes = rng.uniform(0, 100, (1, 5, 2)), np.array([[3.0, 8.0, 70.0, 90.0]])
    np.testing.assert_allclose(place_shape(fit_shape(landmarks, boxes), boxes), landmarks)


def test_a_landmark_that_no_image_has_is_nan_without_a_warning(recwarn):
    landmarks = np.array([[[1.0, 1.0], [np.nan, np.nan]]])
    shape = fit_shape(landmarks, np.array([[0.0, 0.0, 2.0, 2.0]]), "median")
    assert shape[0].tolist() == [0.5, 0.5]
    assert np.isnan(shape[1]).all()
    assert not recwarn

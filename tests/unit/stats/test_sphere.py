from __future__ import annotations

import numpy as np
import pytest

from traitdrift.stats.sphere import unit_vectors


def test_directions_are_of_unit_norm_and_look_every_way():
    vectors = unit_vectors(2000, 16, 0)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(2000))
    # The mean of 2,000 unit vectors has a norm of about 1/sqrt(2000).
    assert np.linalg.norm(vectors.mean(0)) < 3 / 2000**0.5


def test_the_draw_is_the_seeds():
    one, again, other = (unit_vectors(1, 576, seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert abs(one @ other) < 0.2

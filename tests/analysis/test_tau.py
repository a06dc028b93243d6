"""The taus of resamples are those that SciPy finds in them."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import stats

from pinas_mm.analysis.tau import Concordance


@pytest.mark.parametrize("levels", [2, 5, 1000], ids=["ties mostly", "some ties", "hardly a tie"])
@pytest.mark.parametrize("number", [3, 8, 33, 200])
def test_of_resamples_as_scipy(number, levels):
    rng = np.random.default_rng(number)
    one, other = rng.integers(0, levels, size=(2, number)).astype(float)
    one[0], other[-1] = levels, levels  # Neither is the same for all.
    pairs = Concordance(one, other)
    drawn = [np.arange(number), *rng.integers(number, size=(6, number))]
    for taken in drawn:
        found = pairs.taus(np.bincount(taken, minlength=number))
        if len({*one[taken]}) == 1 or len({*other[taken]}) == 1:
            assert np.isnan(found).all()
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kendall = stats.kendalltau(one[taken], other[taken]).statistic
            weighted = stats.weightedtau(one[taken], other[taken]).statistic
        assert found == pytest.approx((kendall, weighted), abs=1e-12)


def test_memory_is_not_quadratic():
    rng = np.random.default_rng(0)
    number = 1 << 15
    one, other = rng.normal(size=(2, number))
    tracemalloc.start()
    Concordance(one, other).taus(np.ones(number, dtype=int))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A bit for each of the pairs would be 128 MB.
    assert peak < 64e6

"""The picture of a ranking."""

import numpy as np
import pytest

from pinas_mm.analysis.ranking import rank
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.report.figures import draw_ranking, to_png


@pytest.mark.parametrize("number", [3, 40, 4000])
def test_ranking(number):
    rng = np.random.default_rng(0)
    true, noise = rng.normal(size=(2, number))
    loss = 2 - true - noise
    ranking = rank(true, -loss, resamples=10 if number < 1000 else 0)
    metric, score = Objective("acc$uracy", "maximize"), Objective("loss", "minimize")
    figure = draw_ranking(true, loss, ranking, metric, score)
    values, ranks = figure.axes
    np.testing.assert_allclose(values.collections[0].get_offsets(), np.stack([loss, true], 1))
    (star,) = (line for line in ranks.lines if line.get_marker() == "*")
    best = true[loss.argmin()]
    assert (star.get_xdata(), star.get_ydata()) == ([1], [1 + (true > best).sum()])
    assert f"true rank {1 + (true > best).sum()}" in ranks.texts[0].get_text()
    assert values.get_ylabel() == "acc$uracy"
    assert to_png(figure) == to_png(figure)

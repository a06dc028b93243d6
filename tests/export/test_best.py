"""The winners of a finished search."""

import json

import numpy as np
import pytest

from pinas_mm.errors import UserError
from pinas_mm.export import read_best
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.record.findings import Evaluated, Findings


@pytest.fixture
def archs(space):
    """Four, worst first."""
    return space.sample(4, np.random.default_rng(0))


@pytest.fixture
def work_dir(space, archs, tmp_path):
    """A search's, as the report writes it."""
    evaluated = [
        Evaluated(n, arch, (float(n),), {"accuracy/top1": float(n)}, {"macs": 1.0}, 1.0)
        for n, arch in enumerate(archs)
    ]
    findings = Findings(
        space, parse_objectives("accuracy/top1"), (), "EvolutionSampler", tuple(evaluated), {}, "s"
    )
    (tmp_path / "best.json").write_text(json.dumps(findings.to_dict(3)))
    return tmp_path


def test_best_of_a_search_is_read_by_rank(work_dir, archs, space):
    found = read_best(work_dir)
    assert found.arch == str(archs[3])
    assert found.space == space
    assert found.checkpoint == "s"
    assert read_best(work_dir / "best.json", rank=3).arch == str(archs[1])
    for rank in (0, 4):
        with pytest.raises(UserError, match=f"no rank {rank}: allowed are 1 to 3"):
            read_best(work_dir, rank)


@pytest.mark.parametrize("text", ["", "[]", '{"best": [{"rank": 1}]}', '{"best": 3}'])
def test_damaged_best_is_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"best\.json does not exist"):
        read_best(tmp_path)
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(UserError, match=r"best\.json is damaged"):
        read_best(tmp_path)

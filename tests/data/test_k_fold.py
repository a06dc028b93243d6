"""Parts of a data set are mmpretrain's, and only that."""

import pytest
from mmengine.dataset import BaseDataset, Compose
from mmpretrain.datasets import KFoldDataset as Reference

from pinas_mm.data.k_fold import KFoldDataset
from pinas_mm.registry import DATASETS


@DATASETS.register_module()
class Numbers(BaseDataset):
    def load_data_list(self):
        return [dict(number=number) for number in range(10)]


def numbers(cls, **options):
    data_set = dict(type="pinas_mm.Numbers", pipeline=[lambda sample: sample])
    parts = cls(data_set, **options)
    return [sample["number"] for sample in parts]


@pytest.mark.parametrize("test_mode", [False, True])
@pytest.mark.parametrize("seed", [None, 0])
def test_the_same_parts(test_mode, seed):
    options = dict(fold=1, num_splits=3, test_mode=test_mode, seed=seed)
    assert numbers(KFoldDataset, **options) == numbers(Reference, **options)


def test_data_sets_that_are_gone_leave_nothing_behind():
    (memo,) = BaseDataset._copy_without_annotation.__defaults__

    def pipeline_of(cls):
        parts = cls(dict(type="pinas_mm.Numbers", pipeline=[], lazy_init=True))
        # As if an earlier data set had had this place in memory.
        if memo is not None:
            memo[id(parts.dataset.pipeline)] = "gone"
        parts.full_init()
        return parts.dataset.pipeline

    # Once mmengine's own are right, as the forks' are, mmpretrain's will do.
    if memo is not None:
        assert pipeline_of(Reference) == "gone"
    assert isinstance(pipeline_of(KFoldDataset), Compose)

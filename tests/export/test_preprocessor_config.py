"""Images pass the data preprocessor of the model, wherever a config has it."""

import pytest
import torch

from pinas_mm.export import recompute_statistics, subnet_of
from pinas_mm.export.subnet import preprocessor_config


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("place", ["model.model", "model", "config"])
def test_statistics_are_those_of_images_normalized_by_it(checkpoint, space, config, place, named):
    cfg = config("small_linear.py")
    before = subnet_of(checkpoint, "31-2", space)
    recompute_statistics(before, cfg, batches=2)
    found = cfg.model.model.pop("data_preprocessor")
    assert found.type == "ClsDataPreprocessor"
    if not named:  # mmpretrain's classifiers take it so.
        found.pop("type")
    holder = {"model.model": cfg.model.model, "model": cfg.model, "config": cfg}[place]
    holder.data_preprocessor = found
    after = subnet_of(checkpoint, "31-2", space)
    recompute_statistics(after, cfg, batches=2)
    for one, other in zip(after.buffers(), before.buffers(), strict=True):
        assert torch.equal(one, other)


def test_the_inner_models_goes_before_others(config):
    cfg = config("small_linear.py")
    inner = cfg.model.model.data_preprocessor
    cfg.model.data_preprocessor = dict(type="BaseDataPreprocessor")
    assert preprocessor_config(cfg) == inner
    del cfg.model.model.data_preprocessor
    assert preprocessor_config(cfg) == dict(type="BaseDataPreprocessor")
    del cfg.model.data_preprocessor
    assert preprocessor_config(cfg) == {}

"""What a search from Python leaves of its config."""

from mmengine.config import Config

from pinas_mm.search.evaluation.scores import CostScore
from pinas_mm.search.interactive import _keep_config


def test_what_no_text_stands_for_is_left_out_of_the_kept_config(tmp_path):
    cfg = Config(dict(model=dict(type="M"), search=dict(score="ProbeScore", pruner="NopPruner")))
    settings = dict(
        score=dict(type=CostScore),
        dataloader=dict(batch_size=2, dataset=object()),
        image_size=(32, 48),
        pruner=None,
        objectives=["macs", "a"],
        sampler=dict(type="RandomSampler", seeds=[1, 2]),
    )
    file = _keep_config(cfg, settings, tmp_path)
    assert Config.fromfile(file).search == dict(
        score="ProbeScore",
        image_size=(32, 48),
        pruner=None,
        objectives=["macs", "a"],
        sampler=dict(type="RandomSampler", seeds=[1, 2]),
    )
    assert _keep_config(Config(), settings, tmp_path) is None

"""What a weights file says of its space and norms imports and calls nothing."""

import sys
from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config

from pinas_mm import get_backbone
from pinas_mm.engine.preflight import check_run
from pinas_mm.engine.resume import prepare
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone
from pinas_mm.registry import check_known
from pinas_mm.space import SearchSpace

OWN = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n\n\nclass Norm:\n    pass\n"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported."""
    (tmp_path / "own_of_a_stranger.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "ran"
    sys.modules.pop("own_of_a_stranger", None)


def written(folder, own, **meta):
    file = folder / "weights.pth"
    state = PiNASBackbone("13-2", own).state_dict()
    meta = dict(arch="13-2", space=own.to_dict(), in_channels=3) | meta
    torch.save(dict(state_dict=state, meta=meta), file)
    return str(file)


@pytest.mark.parametrize(
    "kind", ["own_of_a_stranger.Norm", "own_of_a_stranger.BN", "own_of_a_stranger"]
)
@pytest.mark.parametrize("given", [True, False])
def test_norms(space, tmp_path, own, kind, given):
    file = written(tmp_path, space, norm_cfg=dict(type=kind))
    known = dict(arch="13-2", space=space) if given else {}

    def built():
        init_cfg = dict(type="Pretrained", checkpoint=file)
        PiNASBackbone(**known, init_cfg=init_cfg).init_weights()

    # Where nothing is built by it, it is compared by its bare name.
    same = given and kind.endswith(".BN")
    with nullcontext() if same else pytest.raises(UserError):
        built()
    with pytest.raises(UserError):
        get_backbone(pretrained=file)
    assert not own.exists()


@pytest.mark.parametrize(
    "cfg",
    [
        dict(type="own_of_a_stranger.Norm"),
        dict(type="own_of_a_stranger"),
        # A registered name under another's.
        dict(type="own_of_a_stranger.ConvModule"),
        dict(type="pathlib.Path.touch", self="{mark}"),
        dict(type="os.system", command="touch {mark}"),
        dict(type="mmengine.ConvModule", act_cfg=dict(type="os.system", command="touch {mark}")),
        dict(type="mmengine.ConvModule", conv_cfg=[dict(type="own_of_a_stranger.Norm")]),
    ],
)
def test_candidates(space, tmp_path, own, cfg):
    cfg = {k: v.format(mark=own) if isinstance(v, str) else v for k, v in cfg.items()}
    candidates = [dict(type="pinas_mm.Module", cfg=cfg)] * space.num_candidates
    other = space.to_dict() | dict(candidates=candidates)
    with pytest.raises(UserError, match="is unknown, and nothing is imported for it"):
        get_backbone(pretrained=written(tmp_path, space, space=other))
    assert not own.exists()


@pytest.mark.parametrize("fact", ["norm_cfg", "space"])
def test_runs_that_leave_the_network_to_a_file(space, tmp_path, own, fact):
    stranger = dict(type="own_of_a_stranger.Norm")
    said = dict(norm_cfg=stranger, space={**space.to_dict(), "candidates": [stranger]})
    meta = dict(arch="13-2", space=space.to_dict()) | {fact: said[fact]}
    backbone = dict(type="pinas_mm.PiNASBackbone")
    cfg = Config(dict(model=dict(backbone=backbone), resume=False))

    def begun():
        prepare(cfg, dict(meta=meta), trains=False)
        check_run(cfg, trains=False)

    with pytest.raises(UserError, match=r"the checkpoint: type own_of_a_stranger\.Norm is unknown"):
        begun()
    assert not own.exists()


def test_what_is_registered_or_imported_is_known():
    check_known(
        [
            dict(type="mmengine.ConvModule", act_cfg=dict(type="ReLU"), norm_cfg=dict(type="GN")),
            dict(type="mmpretrain.ImageClassifier"),
            dict(type="torch.nn.modules.activation.SiLU"),
            dict(type=torch.nn.Identity),
            dict(number=1),
        ],
        "it",
    )
    with pytest.raises(UserError, match=r"it: type os\.system is unknown"):
        check_known([dict(type="os.system")], "it")


def test_spaces_of_the_examples_are_built():
    cfg = dict(type="mmengine.ConvModule", kernel_size=3, padding=1)
    space = SearchSpace(
        candidates=[dict(type="pinas_mm.Module", norm_cfg="norm_cfg", cfg=cfg)],
        skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=8),
        depths=(1,),
        widths=(8,),
        strides=(1,),
    )
    assert PiNASBackbone("0", space)(torch.zeros(2, 3, 8, 8))

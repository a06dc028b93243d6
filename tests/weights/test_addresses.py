"""No checkpoint runs code, whichever door it comes in by: an address is no exception."""

import pytest
import torch
from conftest import CONFIGS, NAMES, pinas_model
from mmengine.registry import MODELS

from pinas_mm.errors import UserError


class Trap:
    """What leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def trap(server, tmp_path):
    """The address of a supernet's checkpoint with code in it, and the file that the code makes."""
    url, folder = server
    sprung = tmp_path / "sprung"
    content = {"state_dict": pinas_model().state_dict(), "meta": {"note": Trap(sprung)}}
    torch.save(content, folder / "trap.pth")
    yield f"{url}/trap.pth", sprung
    assert not sprung.exists()


def options(*more):
    return ("--cfg-options", f"experiment_name={next(NAMES)}", *more)


@pytest.mark.parametrize("way", ["test", "load_from", "resume", "search", "export", "init_cfg"])
def test_no_tool_runs_it(trap, tool, tmp_path, way):
    url, _ = trap
    work_dir = ("--work-dir", tmp_path / "work")
    supernet, linear = CONFIGS / "small_supernet.py", CONFIGS / "small_linear.py"
    arguments = {
        "test": ("test.py", supernet, url, *work_dir, *options()),
        "load_from": ("train.py", supernet, *work_dir, *options(f"load_from={url}")),
        "resume": ("train.py", supernet, *work_dir, "--resume", url, *options()),
        "search": ("search.py", CONFIGS / "small_search_label_free.py", url, *work_dir, *options()),
        "export": (
            "export.py",
            *("--arch", "31-2", "--supernet", url, "--config", supernet),
            *("--out", tmp_path / "out.pth"),
        ),
        "init_cfg": (
            *("train.py", linear, *work_dir),
            *options(f"model.model.backbone.init_cfg.checkpoint={url}"),
        ),
    }[way]
    status, _, err = tool(*arguments)
    assert status == 2, err
    assert "holds more than tensors and plain values" in err.splitlines()[-1]


def test_other_models_initializers_do_not_run_it(trap):
    url, _ = trap
    init_cfg = dict(type="Pretrained", checkpoint=url)
    model = MODELS.build(dict(type="mmpretrain.ResNet", depth=18, init_cfg=init_cfg))
    with pytest.raises(UserError, match=r"trap\.pth holds more than tensors"):
        model.init_weights()


def test_good_weights_come_from_an_address(server):
    url, folder = server
    one = MODELS.build(dict(type="mmpretrain.ResNet", depth=18))
    torch.save({"state_dict": one.state_dict()}, folder / "good.pth")
    init_cfg = dict(type="Pretrained", checkpoint=f"{url}/good.pth")
    other = MODELS.build(dict(type="mmpretrain.ResNet", depth=18, init_cfg=init_cfg))
    other.init_weights()
    assert torch.equal(one.conv1.weight, other.conv1.weight)

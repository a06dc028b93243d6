"""Checkpoints of real runners load safely, and only where they fit."""

import pytest
import torch
from mmengine.logging import HistoryBuffer

from pinas_mm.errors import UserError
from pinas_mm.weights.checkpoint import read_checkpoint


def test_checkpoints_load_without_pickle_and_bring_the_log_back(runner, tmp_path):
    first = runner()
    first.train()
    path = tmp_path / "work" / "epoch_1.pth"
    plain = read_checkpoint(path)
    assert not isinstance(plain["message_hub"]["log_scalars"]["train/loss"], HistoryBuffer)
    history = first.message_hub.get_scalar("train/loss").data
    second = runner(**{"load_from": str(path), "resume": True})
    second.load_or_resume()
    restored = second.message_hub.get_scalar("train/loss")
    assert isinstance(restored, HistoryBuffer)
    assert len(restored.data[0]) == 4
    for one, other in zip(history, restored.data, strict=True):
        assert one.tolist() == other.tolist()
    assert restored.mean(4) == first.message_hub.get_scalar("train/loss").mean(4)
    assert second.iter == 4
    for key, value in second.model.state_dict().items():
        assert torch.equal(value, plain["state_dict"][key]), key


def test_a_checkpoint_of_another_space_is_refused_by_the_runner(runner, tmp_path):
    runner().train()
    path, work_dir = str(tmp_path / "work" / "epoch_1.pth"), str(tmp_path / "other")
    space = {"model.backbone.space.stem_widths": (8, 8, 8)}
    other = runner(load_from=path, work_dir=work_dir, **space)
    with pytest.raises(UserError, match=r"its stem_widths is \[8, 8, 16\], not \[8, 8, 8\]"):
        other.load_or_resume()


def test_a_checkpoint_says_where_its_network_is_placed(runner, tmp_path):
    runner("small_classifier.py", **{"model.backbone.dilations": (1, 2)}).train()
    meta = read_checkpoint(tmp_path / "work" / "epoch_1.pth")["meta"]
    assert (meta["arch"], meta["dilations"]) == ("31-2", [1, 2])
    assert "strides" not in meta

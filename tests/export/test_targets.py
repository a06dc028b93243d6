"""Files to write are refused before work is done for them."""

import json

import numpy as np
import pytest
import torch

from pinas_mm.errors import UserError
from pinas_mm.export import check_targets
from pinas_mm.export.targets import check_outputs, config_files, write_json


def test_targets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_targets(["a.pth", None, "b.onnx"], ["c.pth", None])
    for targets, sources, said in (
        ([None, None], [], "nothing to write: give at least one of --out"),
        ([str(tmp_path)], [], "is a folder"),
        (["a", "./a"], [], "is to be written twice"),
        (["a"], [None, str(tmp_path / "a")], "a is to be read and written"),
    ):
        with pytest.raises(UserError, match=said):
            check_targets(targets, sources)


def test_files_that_are_there_are_replaced_by_force_only(tmp_path):
    there = tmp_path / "there.pth"
    there.write_bytes(b"work of a week")
    with pytest.raises(UserError, match="is there already: give another name, or --force"):
        check_targets([str(there)])
    check_targets([str(there)], force=True)
    with pytest.raises(UserError, match="is to be read and written"):
        check_targets([str(there)], [str(there)], force=True)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        check_targets([str(tmp_path / "file" / "out.pth")])


def test_a_folder_is_replaced_where_it_holds_an_earlier_model_only(tmp_path):
    folder = tmp_path / "winner"
    check_targets([], folder=str(folder))
    folder.mkdir()
    check_targets([str(tmp_path / "a.onnx")], folder=str(folder))
    with pytest.raises(UserError, match=r"a\.pth lies in .*winner, which is written as a whole"):
        check_targets([str(folder / "a.pth")], folder=str(folder))
    for name in ("winner.py", "winner.pth"):
        (folder / name).touch()
        with pytest.raises(UserError, match="is there already: give another name, or --force"):
            check_targets([], folder=str(folder))
        check_targets([], force=True, folder=str(folder))
    (folder / "epoch_1.pth").touch()
    with pytest.raises(UserError, match=r"holds epoch_1\.pth, which is no file of a whole model"):
        check_targets([], force=True, folder=str(folder))
    with pytest.raises(UserError, match=r"winner\.py is a file: --model-out takes a folder"):
        check_targets([], force=True, folder=str(folder / "winner.py"))


def test_what_is_read_is_a_work_dirs_last_checkpoint(tmp_path):
    torch.save({}, tmp_path / "epoch_1.pth")
    check_outputs([], [tmp_path / "nowhere"])
    check_outputs([tmp_path / "metrics.json"], [tmp_path, None, "untrained", "http://x/y.pth"])
    with pytest.raises(UserError, match=r"epoch_1\.pth is to be read and written"):
        check_outputs([tmp_path / "metrics.json", tmp_path / "epoch_1.pth"], [tmp_path])


def test_numbers_of_any_sort_are_written(tmp_path):
    content = {
        "top1": 50.0,
        1: [torch.eye(2), np.float32(0.5), np.arange(2)],
        "each": {"deep": (torch.tensor(3), None, True)},
        "else": {
            4,
        },
    }
    write_json(tmp_path / "out" / "a.json", content)
    assert json.loads((tmp_path / "out" / "a.json").read_text()) == {
        "top1": 50.0,
        "1": [[[1, 0], [0, 1]], 0.5, [0, 1]],
        "each": {"deep": [3, None, True]},
        "else": "{4}",
    }
    with pytest.raises(UserError, match="cannot write"):
        write_json("/dev/null/a.json", content)


def test_a_folder_that_holds_what_is_read_is_not_replaced(tmp_path):
    folder = tmp_path / "winner"
    folder.mkdir()
    config, weights = folder / "winner.py", folder / "winner.pth"
    config.write_text("model = dict(type='A')\n")
    weights.touch()
    heir = tmp_path / "heir.py"
    heir.write_text("_base_ = ['winner/winner.py']\n")
    yaml = tmp_path / "heir.yaml"
    yaml.write_text("_base_: heir.py\n")
    for sources in ([str(weights)], [str(config)], config_files(heir), config_files(yaml)):
        for force in (False, True):
            with pytest.raises(UserError, match=r"winner holds .* which is read, and would be"):
                check_targets([], sources, force=force, folder=str(folder))
    check_targets([], [str(heir)], force=True, folder=str(folder))
    assert config_files(None) == config_files(tmp_path / "nowhere.py") == []


def test_a_folder_that_was_put_aside_is_seen(tmp_path):
    aside = tmp_path / ".winner.17.old"
    aside.mkdir()
    (aside / "winner.py").touch()
    with pytest.raises(UserError, match="is there already"):
        check_targets([], folder=str(tmp_path / "winner"))
    assert (tmp_path / "winner" / "winner.py").is_file()

"""tools/export.py from the command line."""

import json
from pathlib import Path

import pytest
import torch

from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.space import SearchSpace

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@pytest.fixture
def checkpoint(space, tmp_path):
    supernet = PiNASSupernet(space)
    supernet.init_weights()
    state = {f"backbone.{name}": value for name, value in supernet.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "supernet.pth")
    return tmp_path / "supernet.pth"


def check(path, arch, space, batches):
    content = torch.load(path, weights_only=True)
    assert content["meta"]["arch"] == arch
    assert content["meta"]["calibration_batches"] == batches
    assert SearchSpace.build(content["meta"]["space"]) == space
    PiNASBackbone(arch, space).load_state_dict(content["state_dict"], strict=True)


def test_by_architecture(tool, checkpoint, space, tmp_path):
    out = tmp_path / "subnet.pth"
    config = CONFIGS / "small_supernet.py"
    common = ["--supernet", checkpoint, "--out", out, "--size", 32]
    status, printed, errors = tool("export.py", "--arch", "312", "--config", config, *common)
    assert status == 0, errors
    lines = printed.splitlines()
    assert lines[-4] == "architecture 31-2"
    assert "parameters" in lines[-3]
    assert lines[-3].endswith("multiply-adds at 32 x 32")
    assert lines[-2].startswith("batch-norm statistics: the supernet's, which mix all paths;")
    assert lines[-1] == str(out)
    check(out, "31-2", space, 0)


def test_best_of_a_search_with_statistics(tool, checkpoint, space, tmp_path):
    work_dir = tmp_path / "search"
    work_dir.mkdir()
    best = [dict(rank=rank, arch=arch) for rank, arch in ((1, "31-2"), (2, "00-3"))]
    content = dict(best=best, space=space.to_dict(), checkpoint=str(checkpoint))
    (work_dir / "best.json").write_text(json.dumps(content))
    out = tmp_path / "subnet.pth"
    config = CONFIGS / "small_linear.py"
    arguments = ["--best", work_dir, "--rank", 2, "--calibrate", config, "--batches", 2]
    status, printed, errors = tool("export.py", *arguments, "--out", out)
    assert status == 0, errors
    assert "architecture 00-3\n" in printed
    assert "batch-norm statistics: recomputed on 2 batches\n" in printed
    check(out, "00-3", space, 2)


def test_refusals_are_one_line(tool, checkpoint, tmp_path):
    out = tmp_path / "subnet.pth"
    for arguments, said in (
        (["--arch", "0" * 16], "which supernet? Give --supernet"),
        (["--arch", "0" * 16, "--supernet", checkpoint], "paper's space was assumed: --config"),
        (["--best", tmp_path], "best.json does not exist"),
        (["--arch", "312", "--supernet", checkpoint, "--config", "no.py"], "does not exist"),
        (["--arch", "312", "--supernet", tmp_path / "no.pth"], "no.pth does not exist"),
    ):
        status, _, errors = tool("export.py", *arguments, "--out", out)
        assert status == 2
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert said in errors
    assert not out.exists()

"""A TorchScript file needs nothing but PyTorch."""

import json
import subprocess
import sys

import pytest
import torch
from deployed import photographs, trained

from pinas_mm.errors import UserError
from pinas_mm.export import Deployable, write_torchscript
from pinas_mm.models import PiNASBackbone

ALONE = """
import json, sys, torch
extra = {"metadata.json": ""}
network = torch.jit.load(sys.argv[1], _extra_files=extra)
torch.save(network(torch.load(sys.argv[2])), sys.argv[3])
assert not {"pinas_mm", "mmengine", "mmcv"} & set(sys.modules)
print(extra["metadata.json"].decode())
"""


def test_file_runs_without_this_package(space, classifier_config, tmp_path):
    backbone = trained(PiNASBackbone("31-2", space))
    path, images = tmp_path / "a.pt", photographs("val", 5, 3, 40, 25)
    write_torchscript(path, Deployable.of(backbone, classifier_config), 32)
    torch.save(images, tmp_path / "images.pt")
    command = [sys.executable, "-c", ALONE, path, tmp_path / "images.pt", tmp_path / "out.pt"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == dict(
        outputs=["stage1", "stage2"],
        arch="31-2",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        channel_order="RGB",
    )
    for ours, theirs in zip(backbone(images), torch.load(tmp_path / "out.pt"), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)


def test_file_that_cannot_be_written_is_refused(space, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/a\.pt: "):
        write_torchscript(
            tmp_path / "file" / "a.pt", Deployable.of(PiNASBackbone("31-2", space)), 32
        )

"""tools/convert.py from the command line."""

import subprocess
import sys
from pathlib import Path

import torch

from pinas_mm.models import PiNASBackbone, PiNASSupernet

TOOL = Path(__file__).resolve().parents[2] / "tools" / "convert.py"
SPACE = dict(
    candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 42), (2, 2, 40)],
    depths=(1, 2),
    widths=(64, 128),
    strides=(1, 2),
    stem_widths=(4, 4, 8),
)


def run(*arguments):
    command = [sys.executable, TOOL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_round_trip(tmp_path):
    backbone = PiNASBackbone("2-03", SPACE)
    fc = {"fc.weight": torch.rand(3, 512), "fc.bias": torch.rand(3)}
    torch.save({"state_dict": backbone.state_dict() | fc}, tmp_path / "release.pth")
    done = run(tmp_path / "release.pth", tmp_path / "ours.pth")
    assert done.returncode == 0, done.stderr
    assert "stand-alone classifier" in done.stdout
    assert "architecture 2-03" in done.stdout
    assert done.stdout.count("\n") == 1

    written = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert written["meta"]["arch"] == "2-03"
    again = PiNASBackbone(written["meta"]["arch"], written["meta"]["space"])
    weights = written["state_dict"]
    assert torch.equal(weights.pop("head.fc.weight"), fc["fc.weight"])
    assert torch.equal(weights.pop("head.fc.bias"), fc["fc.bias"])
    again.load_state_dict({n.removeprefix("backbone."): v for n, v in weights.items()})
    for name, value in backbone.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_what_weights_do_not_show_is_asked_or_said(tmp_path, tool):
    state = PiNASBackbone("2-03", SPACE).state_dict()
    state |= {"fc.weight": torch.rand(3, 512), "fc.bias": torch.rand(3)}
    torch.save(state, tmp_path / "release.pth")
    for option in ([], ["--avd-first"]):
        target = tmp_path / f"ours{len(option)}.pth"
        status, out, err = tool("convert.py", tmp_path / "release.pth", target, *option)
        assert (status, err, out.count("\n")) == (0, "", 1)
        assert ("not before it as ResNeSt's fast variants do (--avd-first)" in out) == (not option)
        meta = torch.load(target, weights_only=True)["meta"]
        kinds = {candidate.get("type") for candidate in meta["space"]["candidates"]}
        assert kinds == ({"pinas_mm.ResNeStFastBottleneck"} if option else {None})


def test_refusal_is_one_line(tmp_path):
    state = PiNASSupernet(SPACE).state_dict()
    del state["layer2.1.3.conv2.fc1.bias"]
    torch.save(state, tmp_path / "release.pth")
    done = run(tmp_path / "release.pth", tmp_path / "ours.pth")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: checkpoint {tmp_path / 'release.pth'} is not a whole supernet backbone: "
        "1 key missing (layer2.1.3.conv2.fc1.bias)\n"
    )
    assert not (tmp_path / "ours.pth").exists()

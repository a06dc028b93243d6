"""tools/export.py from the command line."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from conftest import NAMES, save_model
from deployed import run_onnx, run_torchscript

from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RUNS = (run_onnx, run_torchscript, run_onnx)


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
    content["image_size"] = [32, 48]
    (work_dir / "best.json").write_text(json.dumps(content))
    out = tmp_path / "subnet.pth"
    config = CONFIGS / "small_linear.py"
    arguments = ["--best", work_dir, "--rank", 2, "--calibrate", config, "--batches", 2]
    status, printed, errors = tool("export.py", *arguments, "--out", out)
    assert status == 0, errors
    assert "architecture 00-3\n" in printed
    # Costs are those that the search saw.
    assert "multiply-adds at 32 x 48\n" in printed
    assert "batch-norm statistics: recomputed on 2 batches\n" in printed
    check(out, "00-3", space, 2)


def test_whole_model_of_a_search(tool, tmp_path):
    save_model("small_linear.py", tmp_path / "linear.pth")
    config, folder = CONFIGS / "small_search.py", tmp_path / "winner"
    options = ["--cfg-options", "model.model.head.loss.loss_weight=0.5"]
    quiet = ["experiment_name=" + next(NAMES)]
    where = ["--work-dir", tmp_path / "search", "--trials", 2]
    status, _, errors = tool("search.py", config, tmp_path / "linear.pth", *where, *options, *quiet)
    assert status == 0, errors
    best = (tmp_path / "search" / "best.txt").read_text().strip()
    arguments = ["--best", tmp_path / "search", "--config", config, "--model-out", folder]
    status, _, errors = tool("export.py", *arguments)
    assert status == 2
    assert "different in model.model.head.loss.loss_weight: give its options again" in errors
    assert "--cfg-options model.model.head.loss.loss_weight=0.5" in errors
    assert not folder.exists()
    more = ["--onnx", tmp_path / "a.onnx", "--size", 32, "--batches", 2]
    status, printed, errors = tool("export.py", *arguments, *options, *more)
    assert status == 0, errors
    lines = printed.splitlines()
    files = [str(folder / f"winner{suffix}") for suffix in (".pth", ".py")]
    assert [line for line in lines if line in files] == files
    assert f"architecture {best}" in lines
    assert "batch-norm statistics: recomputed on 2 batches" in lines
    assert "a.onnx: stage2; largest difference" in lines[-1]
    assert "['loss_weight'] = 0.5\n" in Path(files[1]).read_text()
    # It tests at once, with the search's numbers.
    out, name = tmp_path / "metrics.json", f"experiment_name={next(NAMES)}"
    work = ["--work-dir", tmp_path / "test", "--out", out, "--cfg-options", name]
    status, _, errors = tool("test.py", files[1], files[0], *work)
    assert status == 0, errors
    searched = json.loads((tmp_path / "search" / "best.json").read_text())["best"][0]["metrics"]
    tested = json.loads(out.read_text())
    assert tested["accuracy/top1"] == searched["accuracy/top1"]
    tuned = ["--work-dir", tmp_path / "tuned", "--cfg-options", f"experiment_name={next(NAMES)}"]
    status, _, errors = tool("train.py", files[1], *tuned)
    assert status == 0, errors
    meta = torch.load(tmp_path / "tuned" / "epoch_1.pth", weights_only=True)["meta"]
    assert (meta["arch"], meta["epoch"]) == (best, 1)
    status, _, errors = tool("export.py", *arguments, *options)
    assert (status, "is there already" in errors) == (2, True)
    status, printed, errors = tool("export.py", *arguments, *options, "--force", "--batches", 0)
    assert status == 0, errors
    assert "batch-norm statistics: the supernet's, which mix all paths; recompute" in printed


def test_subnet_goes_on_to_onnx_and_torchscript(tool, checkpoint, space, tmp_path):
    config = CONFIGS / "small_linear.py"
    files = [tmp_path / name for name in ("a.pth", "a.onnx", "a.pt", "b.onnx")]
    out = ["--onnx", files[1], "--torchscript", files[2], "--size", 32]
    subnet = ["--arch", "312", "--config", config, "--supernet", checkpoint, "--out", files[0]]
    status, printed, errors = tool("export.py", *subnet, *out)
    assert status == 0, errors
    lines = printed.splitlines()
    assert lines[-3] == str(files[0])
    for line, path in zip(lines[-2:], files[1:], strict=False):
        said = r": stage1, stage2; largest difference from PyTorch \d\.\de[-+]\d\d"
        assert re.fullmatch(re.escape(str(path)) + said, line)
    # From the weights file by itself the same network comes.
    weights = ["--weights", files[0], "--onnx", files[3], "--size", 32]
    status, printed, errors = tool("export.py", *weights)
    assert status == 0, errors
    assert printed.splitlines()[-2] == "architecture 31-2"
    images = torch.randn(1, 3, 32, 32)
    outputs = [run(path, images) for run, path in zip(RUNS, files[1:], strict=True)]
    for other in outputs[1:]:
        assert list(other) == list(outputs[0])
        for name, out in outputs[0].items():
            torch.testing.assert_close(other[name], out, rtol=0, atol=1e-4)


def test_classifier_of_a_config(tool, classifier_config, tmp_path):
    torch.manual_seed(0)
    classifier = MODELS.build({**classifier_config.model, "_scope_": "mmpretrain"}).eval()
    torch.save({"state_dict": classifier.state_dict()}, tmp_path / "epoch_1.pth")
    out = ["--onnx", tmp_path / "a.onnx", "--size", 32]
    config = CONFIGS / "small_classifier.py"
    status, printed, errors = tool("export.py", "--weights", tmp_path, "--config", config, *out)
    assert status == 0, errors
    assert "a.onnx: logits; largest difference" in printed.splitlines()[-1]
    images = torch.randn(3, 3, 40, 33)
    with torch.no_grad():
        wanted = classifier(images)
    torch.testing.assert_close(
        run_onnx(tmp_path / "a.onnx", images)["logits"], wanted, rtol=0, atol=1e-4
    )
    backbone = ("--weights", tmp_path, "--config", config, "--backbone-only")
    status, printed, errors = tool("export.py", *backbone, *out, "--force")
    assert status == 0, errors
    assert "a.onnx: stage1, stage2; largest difference" in printed.splitlines()[-1]


def test_refusals_are_one_line(tool, checkpoint, tmp_path):
    out = tmp_path / "subnet.pth"
    for arguments, said in (
        (["--arch", "0" * 16], "which supernet? Give --supernet"),
        (["--arch", "0" * 16, "--supernet", checkpoint], "paper's space was assumed, since"),
        (["--best", tmp_path], "best.json does not exist"),
        (["--arch", "312", "--supernet", checkpoint, "--config", "no.py"], "does not exist"),
        (["--arch", "312", "--supernet", tmp_path / "no.pth"], "no.pth does not exist"),
        (
            ["--weights", checkpoint],
            "--out, --model-out, --supernet and --calibrate belong to --arch and --best",
        ),
        (["--arch", "312", "--backbone-only"], "--backbone-only belongs to --weights with"),
        (["--arch", "312", "--onnx", out], "subnet.pth is to be written twice"),
        (["--arch", "312", "--onnx", tmp_path], "is a folder: give a file name"),
        (["--arch", "312", "--model-out", tmp_path / "w"], "--model-out needs --config"),
    ):
        status, _, errors = tool("export.py", *arguments, "--out", out)
        assert status == 2
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert said in errors
    assert not out.exists()


def test_refusals_of_weights_are_one_line(tool, checkpoint, tmp_path, monkeypatch):
    for arguments, said in (
        ([], "nothing to write: give at least one of --out, --model-out, --onnx and --torchscript"),
        (["--onnx", checkpoint], "supernet.pth is to be read and written: give another name"),
        (["--onnx", tmp_path / "a.onnx"], "is a supernet's: cut an architecture out of it"),
        (["--onnx", tmp_path / "a.onnx", "--config", "no.py"], "config no.py does not exist"),
    ):
        status, _, errors = tool("export.py", "--weights", checkpoint, *arguments)
        assert status == 2
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert said in errors
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    status, _, errors = tool("export.py", "--weights", checkpoint, "--onnx", tmp_path / "a.onnx")
    assert status == 2
    assert errors.startswith("error: ONNX needs onnxruntime, which is not installed: pip install ")
    assert not (tmp_path / "a.onnx").exists()

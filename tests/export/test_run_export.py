"""Cutting out by the tool: what is calibrated, counted and written is the config's own network."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import CONFIGS, REPOSITORY
from deployed import run_torchscript
from made_findings import made_findings

from pinas_mm.engine import run_export
from pinas_mm.engine.config import read_config
from pinas_mm.export.best import read_best
from pinas_mm.export.statistics import checked_loader
from pinas_mm.export.subnet import preprocessor_config
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.models.cost import count_costs
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.build import load_calibration
from pinas_mm.search.report.report import Report


@pytest.mark.parametrize(
    "options", [dict(dilations=[2, 1]), dict(strides=[1, 2], dilations=[1, 4])]
)
def test_strides_and_dilations_are_the_supernet_s(tool, supernet, checkpoint, tmp_path, options):
    file, out = tmp_path / "dilated.py", tmp_path / "subnet.pth"
    file.write_text(
        f"_base_ = ['{CONFIGS / 'small_linear.py'}']\n"
        f"model = dict(model=dict(backbone=dict(**{options})))\n"
    )
    which = ["--arch", "312", "--supernet", checkpoint, "--calibrate", file, "--batches", 2]
    status, printed, errors = tool("export.py", *which, "--out", out, "--size", 32)
    assert status == 0, errors
    searched = PiNASSupernet(supernet.space, **options)
    searched.load_state_dict(supernet.state_dict())
    assert f"backbone: {count_costs(searched, 32).cost(searched.space.arch('312'))}" in printed

    # On its own statistics the supernet's path computes what its users will.
    config = read_config(file)
    preprocessor = MODELS.build(preprocessor_config(config))
    loaded = load_calibration(checked_loader(config)[1], 2, 0, keep=False)
    images = [preprocessor(batch, False)["inputs"] for batch in loaded]
    path = Statistics(searched.eval(), lambda batch: searched(batch, "312"), images)
    with torch.no_grad(), path.applied():
        wanted = searched(images[0], "312")[-1]
    init = dict(type="Pretrained", checkpoint=str(out))
    backbone = PiNASBackbone(**options, init_cfg=init)
    backbone.init_weights()
    with torch.no_grad():
        assert torch.equal(backbone.eval()(images[0])[-1], wanted)

    # So does what is deployed from the file by itself.
    status, _, errors = tool(
        "export.py", "--weights", out, "--torchscript", tmp_path / "a.pt", "--size", 32
    )
    assert status == 0, errors
    found = run_torchscript(tmp_path / "a.pt", images[0])["stage2"]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_a_search_says_strides_and_dilations(tool, supernet, checkpoint, tmp_path):
    placed, space = dict(strides=(1, 2), dilations=(1, 4)), supernet.space
    found = dataclasses.replace(made_findings(space, [0.5], "score"), checkpoint=str(checkpoint))
    Report(found, tmp_path, placed=placed).write()
    arch, out = found.best(1)[0].arch, tmp_path / "subnet.pth"
    status, printed, errors = tool("export.py", "--best", tmp_path, "--out", out, "--size", 32)
    assert status == 0, errors
    counted = count_costs(PiNASSupernet(space, **placed), 32)
    assert f"backbone: {counted.cost(arch)}" in printed
    assert torch.load(out, weights_only=True)["meta"]["dilations"] == [1, 4]
    # One that says nothing of them leaves them to a config.
    Report(found, tmp_path).write()
    assert read_best(tmp_path).network == dict(space=space)


OPERATION = """
import dataclasses
from pinas_mm.operations import ResNetBottleneck
from pinas_mm.registry import OPERATIONS

@OPERATIONS.register_module()
@dataclasses.dataclass(frozen=True)
class LateOperation(ResNetBottleneck):
    pass
"""


def test_a_search_is_read_after_the_config_that_imports_what_its_space_is_built_of(
    tool, space, tmp_path, monkeypatch
):
    Report(made_findings(space, [0.5], "score"), tmp_path).write()
    file, config = tmp_path / "best.json", tmp_path / "late.py"
    content = json.loads(file.read_text())
    content["space"]["candidates"][0] = dict(type="pinas_mm.LateOperation")
    file.write_text(json.dumps(content))
    (tmp_path / "late_operation.py").write_text(OPERATION)
    monkeypatch.syspath_prepend(tmp_path)
    imports = dict(imports=["pinas_mm", "late_operation"], allow_failed_imports=False)
    config.write_text(f"_base_ = ['{CONFIGS / 'small_linear.py'}']\ncustom_imports = {imports}\n")
    which = ["--best", tmp_path, "--out", tmp_path / "subnet.pth"]
    status, _, errors = tool("export.py", *which)
    assert status == 2
    assert "LateOperation" in errors
    assert "custom_imports" in errors
    status, _, errors = tool("export.py", *which, "--config", config)
    # What is missing now is the checkpoint.
    assert "does not exist" in errors, errors


def test_what_is_read_is_never_replaced(tool, supernet, checkpoint, tmp_path):
    """Sources by another's word: the search's checkpoint and findings, what a config inherits."""
    best = tmp_path / "search" / "best.json"
    best.parent.mkdir()
    content = dict(best=[dict(rank=1, arch="31-2")], space=supernet.space.to_dict())
    best.write_text(json.dumps(content | dict(checkpoint=str(checkpoint))))
    config, heir = tmp_path / "winner" / "winner.py", tmp_path / "heir.py"
    config.parent.mkdir()
    config.write_text(f"_base_ = ['{CONFIGS / 'small_linear.py'}']\n")
    heir.write_text("_base_ = ['winner/winner.py']\n")
    held = {path: path.read_bytes() for path in (best, checkpoint, config, heir)}
    found = ("--best", best.parent, "--force")
    for arguments, said in (
        ((*found, "--torchscript", checkpoint), "is to be read and written"),
        ((*found, "--out", best), "is to be read and written"),
        ((*found, "--config", heir, "--out", config), "is to be read and written"),
        (
            (*found, "--config", heir, "--model-out", config.parent),
            "winner.py, which is read, and would be replaced as a whole",
        ),
        (
            (
                *(*found, "--config", CONFIGS / "small_linear.py"),
                *("--calibrate", config, "--model-out", config.parent),
            ),
            "winner.py, which is read, and would be replaced as a whole",
        ),
    ):
        status, _, errors = tool("export.py", *arguments)
        assert status == 2
        assert said in errors
        assert {path: path.read_bytes() for path in held} == held


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("option", ["--out", "--torchscript"])
def test_what_comes_while_it_works_is_replaced_by_force_alone(
    tool, checkpoint, tmp_path, monkeypatch, force, option
):
    target, cut = tmp_path / "late", run_export.subnet_of

    def slowly(*args, **options):
        target.write_text("mine")
        return cut(*args, **options)

    monkeypatch.setattr(run_export, "subnet_of", slowly)
    which = ["--arch", "312", "--supernet", checkpoint, "--config", CONFIGS / "small_supernet.py"]
    options = ["--force"] * force + ["--size", 32]
    status, _, errors = tool("export.py", *which, option, target, *options)
    if force:
        assert status == 0, errors
        assert target.stat().st_size > 1000
    else:
        assert status == 2
        assert "late was not there before, and is now" in errors
        assert target.read_text() == "mine"


def test_deployment_needs_no_scikit_learn(supernet, checkpoint, tmp_path):
    code = (
        "import runpy, sys; sys.modules['sklearn'] = None; "
        "runpy.run_path('tools/export.py', run_name='__main__')"
    )
    arguments = ["--arch", "312", "--supernet", checkpoint, "--size", "32"]
    arguments += ["--config", CONFIGS / "small_supernet.py"]
    arguments += ["--onnx", tmp_path / "a.onnx", "--torchscript", tmp_path / "a.pt"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | dict(OMP_NUM_THREADS="1"),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.onnx").is_file()
    assert (tmp_path / "a.pt").is_file()

"""Cutting out by the tool: what is calibrated, counted and written is the config's own network."""

import dataclasses

import pytest
import torch
from conftest import CONFIGS
from deployed import run_torchscript
from made_findings import made_findings

from pinas_mm.engine.config import read_config
from pinas_mm.export.best import read_best
from pinas_mm.export.statistics import checked_loader
from pinas_mm.export.subnet import preprocessor_config
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.models.cost import count_costs
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.build import load_calibration
from pinas_mm.search.report.report import write_report


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
    write_report(found, tmp_path, placed=placed)
    arch, out = found.best(1)[0].arch, tmp_path / "subnet.pth"
    status, printed, errors = tool("export.py", "--best", tmp_path, "--out", out, "--size", 32)
    assert status == 0, errors
    counted = count_costs(PiNASSupernet(space, **placed), 32)
    assert f"backbone: {counted.cost(arch)}" in printed
    assert torch.load(out, weights_only=True)["meta"]["dilations"] == [1, 4]
    # One that says nothing of them leaves them to a config.
    write_report(found, tmp_path)
    assert read_best(tmp_path).network == dict(space=space)

"""What an ONNX file says about itself, and what happens without the packages."""

import json
import sys

import onnx
import pytest
import torch
from deployed import trained

from pinas_mm.errors import UserError
from pinas_mm.export import Deployable, check_onnx_installed, write_onnx
from pinas_mm.models import PiNASBackbone


@pytest.fixture
def deployable(space, classifier_config):
    return Deployable.of(trained(PiNASBackbone("31-2", space)), classifier_config)


def test_names_sizes_and_facts_are_in_the_file(deployable, tmp_path):
    write_onnx(tmp_path / "new" / "a.onnx", deployable, 32)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.onnx"]
    model = onnx.load(tmp_path / "new" / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [imported.version for imported in model.opset_import] == [17]
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "images": ["batch", 3, "height", "width"],
        "stage1": ["batch", 32, "stage1_height", "stage1_width"],
        "stage2": ["batch", 32, "stage2_height", "stage2_width"],
    }
    facts = {fact.key: fact.value for fact in model.metadata_props}
    assert facts.pop("arch") == "31-2"
    assert facts.pop("channel_order") == "RGB"
    assert {name: json.loads(value) for name, value in facts.items()} == dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    )


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_package_is_named_with_the_way_to_get_it(
    deployable, tmp_path, monkeypatch, package
):
    check_onnx_installed()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"needs {package}, .*pip install .pinas_mm\[deploy\]"):
        write_onnx(tmp_path / "a.onnx", deployable, 32)
    assert not list(tmp_path.iterdir())


def test_file_that_cannot_be_written_is_refused(deployable, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/a\.onnx: "):
        write_onnx(tmp_path / "file" / "a.onnx", deployable, 32)


class Bessel(torch.nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


def test_layer_that_onnx_does_not_have_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.onnx is not written: .*bessel_j0"):
        write_onnx(tmp_path / "a.onnx", Deployable(Bessel(), ("stage1",), 3, {}), 32)
    assert not list(tmp_path.iterdir())

"""What a config's type means: a registered name, or a dotted address as mmengine takes it."""

import sys

import pytest
from mmdet.models import FCOS
from mmengine import registry as root
from mmengine.dataset import default_collate
from mmengine.hooks import EMAHook
from torch import optim

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASSupernet
from pinas_mm.registry import check_known, registered


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Adam", optim.Adam),
        ("torch.optim.SGD", optim.SGD),
        ("torch.optim.sgd.SGD", optim.SGD),
        ("EMAHook", EMAHook),
        ("mmengine.EMAHook", EMAHook),
        ("mmengine.hooks.EMAHook", EMAHook),
        ("mmengine.dataset.default_collate", default_collate),
        ("FCOS", FCOS),
        ("mmdet.FCOS", FCOS),
        ("mmdet.models.detectors.fcos.FCOS", FCOS),
        ("pinas_mm.PiNASSupernet", PiNASSupernet),
        ("pinas_mm.models.PiNASSupernet", PiNASSupernet),
        # Modules, and what is not there.
        ("torch.optim", None),
        ("torch.optim.Nope", None),
        ("torch.nope.SGD", None),
        ("nope.SGD", None),
        ("nope.nope.SGD", None),
        ("__main__.SGD", None),
        (".SGD.", None),
        (".nope.SGD", None),
        ("mmdet.Nope", None),
        ("Nope", None),
    ],
)
def test_types_are_what_mmengine_takes_them_for(name, found):
    assert registered(name, "mmdet") is found


def test_a_module_of_one_s_own_may_name_a_class_as_a_library_does(tmp_path, monkeypatch):
    (tmp_path / "own_optimizers.py").write_text("class SGD:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = registered("own_optimizers.SGD", "mmdet")
    assert found is root.OPTIMIZERS.get("own_optimizers.SGD")
    assert found.__module__ == "own_optimizers"
    sys.modules.pop("own_optimizers")


@pytest.mark.parametrize(
    "name", ["mmengine.Config", "mmengine.utils.mkdir_or_exist", "timeit.main"]
)
def test_what_a_file_says_is_not_imported_for_that(name):
    sys.modules.pop("timeit", None)
    with pytest.raises(UserError, match="is unknown, and nothing is imported for it"):
        check_known(dict(type=name), "it")
    assert "timeit" not in sys.modules

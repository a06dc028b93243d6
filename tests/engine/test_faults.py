"""Whatever is raised before the first step is one line that names the place and the cause."""

import logging

import pytest
import torch
from conftest import NAMES
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader, Dataset

from pinas_mm.commands.command import command
from pinas_mm.engine.faults import explain
from pinas_mm.errors import UserError
from pinas_mm.registry import MODELS


@HOOKS.register_module()
class RaisingHook(Hook):
    """A user's own, with a mistake."""

    def __init__(self, at):
        setattr(self, at, self.fail)

    def fail(self, *args, **kwargs):
        return {}["my own key"]


class Broken(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise KeyError("no such field")


def ending(capsys, main):
    """What a tool prints that does this, and its status."""
    with pytest.raises(SystemExit) as end:
        command(main)()
    return capsys.readouterr().err, end.value.code


def test_the_line_of_a_user_error_is_its_own(capsys):
    def fails():
        raise UserError("Caught in a worker\n  Traceback\npinas_mm.errors.UserError: broken")

    assert ending(capsys, fails) == ("error: broken\n", 2)


def test_of_another_exception_it_says_type_text_and_place(capsys):
    MMLogger.get_instance(next(NAMES))

    def fails():
        raise KeyError("a bug")

    error, status = ending(capsys, fails)
    assert status == 2
    assert error.startswith(f"error: KeyError: a bug: in {__file__}:")
    assert error.endswith("fails (PINAS_DEBUG=1 shows the traceback)\n")


def fails():
    raise KeyError("a bug")


def fails_as_told():
    try:
        fails()
    except KeyError as error:
        raise UserError("what to do") from error


@pytest.mark.parametrize(
    ("fails", "kind", "said"),
    [(fails, KeyError, "(traceback in {})\n"), (fails_as_told, UserError, "error: what to do\n")],
)
def test_the_traceback_is_in_the_log_or_on_the_screen(
    capsys, tmp_path, monkeypatch, fails, kind, said
):
    file = tmp_path / "run.log"
    logger = MMLogger(next(NAMES), log_file=str(file))
    monkeypatch.setattr(MMLogger, "get_current_instance", lambda: logger)
    error, _ = ending(capsys, fails)
    assert error.endswith(said.format(file))
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.flush()
    assert 'raise KeyError("a bug")' in file.read_text()
    monkeypatch.setenv("PINAS_DEBUG", "1")
    with pytest.raises(kind):
        command(fails)()


def test_a_user_error_alone_leaves_the_log_alone(capsys, monkeypatch):
    monkeypatch.setattr("pinas_mm.engine.faults._log", lambda error: pytest.fail("written"))

    def fails():
        raise UserError("what to do")

    assert ending(capsys, fails) == ("error: what to do\n", 2)


def test_a_user_s_hook_is_named_before_the_first_step_and_raises_after(runner, capsys, tmp_path):
    hook = dict(type="RaisingHook", at="before_train_iter")
    error, _ = ending(capsys, runner(custom_hooks=[hook]).train)
    assert "KeyError: my own key" in error
    assert f"in {__file__}" in error
    hook = dict(type="RaisingHook", at="after_train_epoch")
    with pytest.raises(KeyError):
        command(runner(custom_hooks=[hook], work_dir=str(tmp_path / "again")).train)()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            dict(type="ResNett", depth=18),
            "ResNett is not in the mmpretrain::model registry; did",
        ),
        (dict(type="ResNet", dept=18), "unexpected keyword argument 'dept'; did you mean depth"),
        (dict(type="ResNet", depth=19), "invalid depth 19 for resnet"),
        (dict(type="GlobalAveragePooling", size=3), "_delete_=True leaves its settings out"),
    ],
)
def test_the_part_of_the_config_is_named(model, said):
    cfg = Config(dict(model=dict(type="ImageClassifier", backbone=dict(type="ResNet", depth=18))))
    cfg.model.neck = model
    with pytest.raises((KeyError, TypeError)) as raised:
        build(cfg)
    text = explain(raised.value)
    assert text.startswith("model.neck: ")
    assert said in text


def build(cfg):
    MODELS.build(cfg.model)


def test_parts_of_a_network_that_do_not_fit_are_named():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sequential(torch.nn.Linear(5, 6)))
    with pytest.raises(RuntimeError) as raised:
        network(torch.zeros(2, 3))
    text = explain(raised.value)
    assert text.startswith("model.1.0 (Linear(in_features=5, out_features=6, bias=True)): ")
    assert "mat1 and mat2 shapes cannot be multiplied (2x4 and 5x6)" in text


def test_what_a_data_worker_raises():
    with pytest.raises(KeyError) as raised:
        list(DataLoader(Broken(), num_workers=1))
    assert explain(raised.value).startswith("KeyError: 'no such field'")


def test_an_exception_without_a_text_shows_its_line():
    with pytest.raises(AssertionError) as raised:
        raise AssertionError
    assert "raise AssertionError" in explain(raised.value)


def test_a_model_s_own_pretrained_is_named():
    backbone = dict(type="pinas_mm.PiNASBackbone", arch="pinas_cls")
    head = dict(type="mmseg.FCNHead", in_channels=2048, channels=8, num_classes=2)
    model = dict(type="mmseg.EncoderDecoder", pretrained="open-mmlab://resnet50_v1c")
    cfg = Config(dict(model=dict(model, backbone=backbone, decode_head=head)))
    with pytest.raises(TypeError) as raised:
        build(cfg)
    text = explain(raised.value)
    assert "set pretrained=None in a model that hands its own on" in text
    assert "_delete_" not in text

"""Measured latency: what is measured, what it adds up to."""

import copy
import dataclasses
import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from latencies import QUICK, blocks_run, kept_latency, measured_latency
from single_paths import image_classifier, single_path
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from whole_models import detector, mask_rcnn, segmentor

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone
from pinas_mm.models.following import Following
from pinas_mm.operations import Operation
from pinas_mm.operations.split_attention import SplitAttentionBlock
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.latency_table import LatencyTable
from pinas_mm.space import SearchSpace


def test_each_different_block_is_measured_once_as_the_backbone_has_it(deep):
    with blocks_run() as measured:
        table = measured_latency(deep, **QUICK, batch_size=2)
    real = set()
    for choice in range(2):
        backbone = PiNASBackbone([choice] * 7, deep).eval()
        with blocks_run() as run, torch.no_grad():
            backbone(torch.rand(2, 3, 16, 16))
        real |= set(run.values())
    assert set(measured.values()) == real
    # A stage's first block and one for all others, in two stages and with two candidates.
    assert len(measured) == len(real) == 8
    assert (table.table[1] == table.table[3]).all()
    assert (table.table[5] == table.table[6]).all()


def test_latency_is_positive_additive_and_a_cost(deep):
    table = measured_latency(deep, **QUICK)
    assert table.fixed > 0
    assert table.table.shape == (7, 2)
    assert (table.table > 0).all()
    cost = table.additive()
    assert cost.name == "latency"
    choices = np.array([[0, 1, 0, 1, 0, 1, 0]])
    wanted = table.fixed + sum(table.table[block, block % 2] for block in range(7))
    assert cost.of(choices)[0] == pytest.approx(wanted)
    low, high = cost.bounds()
    drawn = Budget(deep, [cost], [f"latency<={(low + high) / 2}s"]).sample(
        3, np.random.default_rng(0)
    )
    assert (cost.of(np.array(drawn)) <= (low + high) / 2).all()


@pytest.mark.parametrize(
    ("form", "dtype"), [("folded", "float32"), ("onnx", "float32"), ("eager", "bfloat16")]
)
def test_parts_are_measured_as_they_are_deployed(form, dtype, deep, tmp_path):
    options = dict(QUICK, check=1, form=form, dtype=dtype)
    table = measured_latency(deep, **options)
    assert (table.table > 0).all()
    assert table.error is not None
    assert ("onnxruntime" in table.setting) == (form == "onnx")
    assert (table.setting["form"], table.setting["dtype"]) == (form, dtype)
    path = tmp_path / "latency.json"
    kept = kept_latency(path, deep, **options)
    assert kept_latency(path, deep, **options).fixed == kept.fixed
    assert kept_latency(path, deep, **QUICK).setting["form"] == "eager"
    assert len(json.loads(path.read_text())) == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_heads_follow_in_float32(dtype, deep):
    model = single_path(image_classifier(deep), torch.float32).model
    options = dict(QUICK, check=1, model=model, form="folded", dtype=dtype)
    table = measured_latency(deep, **options)
    assert table.error is not None


def test_more_work_takes_longer(deep):
    little = measured_latency(deep, image_size=16, num_threads=1)
    much = measured_latency(deep, image_size=256, num_threads=1)
    # 256 times the pixels: no noise makes up for that.
    assert much.fixed > little.fixed
    assert much.additive().bounds()[0] > little.additive().bounds()[0]


def test_process_is_left_as_it_was(deep):
    torch.manual_seed(0)
    wanted = torch.rand(4)
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    told = []
    measured_latency(deep, image_size=16, repeats=1, num_threads=threads + 1, progress=told.append)
    assert torch.equal(torch.rand(4), wanted)
    assert torch.get_num_threads() == threads
    assert told == sorted(told)
    assert told[-1] == 1


def test_threads_are_the_process_s_own(deep, monkeypatch):
    options = {**QUICK, "num_threads": None}
    monkeypatch.delenv("PINAS_MM_THREADS", raising=False)
    assert measured_latency(deep, **options).setting["threads"] == torch.get_num_threads() == 1
    # A worker has a share of the threads, and must agree with the process that started it.
    monkeypatch.setenv("PINAS_MM_THREADS", "2")
    assert measured_latency(deep, **options).setting["threads"] == 2


def test_bad_options_are_refused(deep, tmp_path):
    for change in (
        dict(image_size=0),
        dict(image_size=(16, 16, 16)),
        dict(batch_size=0),
        dict(repeats=0),
        dict(num_threads=-1),
    ):
        with pytest.raises(UserError, match=f"{next(iter(change))[-7:]}.* is .*at least 1"):
            measured_latency(deep, **{**QUICK, **change})
    with pytest.raises(UserError, match="latency has no size: allowed are image_size, batch_size"):
        kept_latency(tmp_path / "latency.json", deep, image_size=16, size=3)
    with pytest.raises(UserError, match="latency needs image_size"):
        kept_latency(tmp_path / "latency.json", deep)
    for change in (dict(repeats=10**9), dict(num_threads=10**6)):
        with pytest.raises(UserError, match=r"is 10+: at most"):
            measured_latency(deep, **{**QUICK, **change})


@pytest.mark.parametrize("config", [detector, mask_rcnn, segmentor, image_classifier])
def test_what_follows_in_a_model_is_measured_once_as_it_predicts(space, config, monkeypatch):
    model = single_path(config(space), torch.float32)
    options = QUICK | dict(image_size=(32, 48), check=3)
    for name in ("strides", "dilations"):
        options[name] = getattr(model.backbone, name)
    before = copy.deepcopy(model.state_dict())
    calls, run = [], Following.run

    def counted(self, images, network):
        with blocks_run() as blocks:
            answer = run(self, images, network)
        calls.append((bool(blocks), len(answer)))
        return answer

    monkeypatch.setattr(Following, "run", counted)
    table = measured_latency(space, **options, batch_size=2, model=model.model)
    assert {count for _, count in calls} == {2}
    assert {whole for whole, _ in calls} == {False, True}
    assert table.error > 0
    assert LatencyTable.from_dict(json.loads(json.dumps(table.to_dict()))).error == table.error
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_follows_adds_to_what_all_architectures_take(space):
    config = segmentor(space)
    config.decode_head.channels = 512
    model = single_path(config, torch.float32)
    options = dict(image_size=64, num_threads=1, check=0, dilations=model.backbone.dilations)
    alone = measured_latency(space, **options)
    whole = measured_latency(space, **options, model=model.model)
    # Its head has a hundred times the multiply-adds of the stem.
    assert whole.fixed > 3 * alone.fixed > 0


def test_a_picture_of_another_size_is_resized_for_the_model(space):
    model = single_path(detector(space), torch.float32)
    image = torch.rand(3, 20, 30)
    table = measured_latency(space, **QUICK, model=model.model, image=image)
    assert table.setting["image_size"] == [16, 16]


def test_a_models_table_is_its_own(space, tmp_path):
    path = tmp_path / "latency.json"
    model = single_path(detector(space), torch.float32).model
    kept_latency(path, space, **QUICK)
    kept_latency(path, space, **QUICK, model=model)
    model.test_cfg.nms.iou_threshold /= 2
    kept_latency(path, space, **QUICK, model=model)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    kept_latency(path, space, **QUICK, model=model)
    settings = [table["setting"] for table in json.loads(path.read_text())]
    assert ["following" in setting for setting in settings] == [False, True, True, True]
    assert settings[-1]["following"]["model"] == "FCOS"
    with blocks_run() as measured:
        kept_latency(path, space, **QUICK, model=model)
        kept_latency(path, space, **QUICK)
    assert not measured


def test_what_does_not_run_takes_no_time(deep, tmp_path):
    path, options = tmp_path / "latency.json", QUICK | dict(out_indices=(0,), check=1)
    with blocks_run() as measured:
        table = kept_latency(path, deep, **options)
    assert {spec.split("(")[0] for spec, _ in measured.values()} == {"SplitAttentionBlock"}
    assert (table.table[:4] > 0).all()
    assert (table.table[4:] == 0).all()
    assert table.setting["out_indices"] == [0]
    with blocks_run() as measured:
        assert kept_latency(path, deep, **options).to_dict() == table.to_dict()
        # Whether other stages are returned as well makes no difference to what runs.
        kept_latency(path, deep, **QUICK)
        kept_latency(path, deep, **QUICK | dict(out_indices=(0, 1)))
    assert len(json.loads(path.read_text())) == 2


@contextmanager
def norms_run():
    """Collects the types of the norms that run here."""
    found = set()

    def hook(module, inputs, output):
        if "Norm" in type(module).__name__:
            found.add(type(module).__name__)

    handle = register_module_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()


def test_norms_are_the_models_own(space, tmp_path):
    config = detector(space)
    config.backbone.update(out_indices=(0,), norm_cfg=dict(type="GN", num_groups=2))
    config.neck.update(in_channels=[space.out_channels[0]])
    config.neck.num_outs = len(config.bbox_head.strides)
    model = single_path(config, torch.float32).model
    path = tmp_path / "latency.json"
    own = dict(norm_cfg=dict(type="GN", num_groups=2), out_indices=(0,))
    with norms_run() as norms:
        kept_latency(path, space, **QUICK, **own)
        table = kept_latency(path, space, **QUICK, model=model)
    assert norms == {"GroupNorm"}
    # A model says itself what it is built of, as often as it is asked.
    assert table.setting["norm_cfg"] == dict(type="GN", eps=1e-5, num_groups=2)
    assert table.setting["out_indices"] == [0]
    with norms_run() as norms:
        kept_latency(path, space, **QUICK, model=model)
        kept_latency(path, space, **QUICK, **own)
    assert not norms
    with norms_run() as norms:
        kept_latency(path, space, **QUICK, norm_cfg=dict(type="SyncBN", requires_grad=True))
        kept_latency(path, space, **QUICK)
    assert norms == {"BatchNorm2d"}
    # What shows in training only makes no other table.
    assert len(json.loads(path.read_text())) == 3
    for out_indices in ((), (2,), (-1,)):
        with pytest.raises(UserError, match="of 0 to 1 are allowed"):
            kept_latency(path, space, **QUICK, out_indices=out_indices)


def test_memory_lies_as_in_the_model(space, tmp_path):
    config = detector(space)
    config.backbone.update(memory_format="contiguous_format")
    model = single_path(config, torch.float32).model
    formats = set()

    def hook(module, inputs, output):
        if isinstance(module, SplitAttentionBlock):
            (x,) = inputs
            formats.add(x.is_contiguous())

    with register_module_forward_hook(hook):
        for options in (dict(model=model), dict(memory_format="contiguous_format")):
            table = kept_latency(tmp_path / "latency.json", space, **QUICK, **options)
            assert table.setting["memory_format"] == "contiguous_format"
    assert formats == {True}
    with register_module_forward_hook(hook):
        kept_latency(tmp_path / "latency.json", space, **QUICK)
    assert formats == {True, False}


def test_how_far_the_sums_are_off_is_measured_and_said(deep, tmp_path, printed):
    path = tmp_path / "latency.json"
    for _ in range(2):
        error = kept_latency(path, deep, **QUICK | dict(check=2)).error
        assert f"{error:.1%} off whole architectures" in printed()
    assert json.loads(path.read_text())[0]["error"] == error
    assert measured_latency(deep, **QUICK).error is None
    for check in (-1, 10**9, 1.5):
        with pytest.raises(UserError, match=r"check is .*: architectures to time whole"):
            measured_latency(deep, **QUICK | dict(check=check))


@dataclasses.dataclass(frozen=True)
class Counting(Operation):
    """A user's, which is run once when it is built, and writes down how often it runs."""

    def build(self, spec, shortcut, norm_cfg):
        return Counted(spec.in_channels, spec.out_channels, 1, spec.stride)


class Counted(nn.Conv2d):
    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x):
        self.runs += 1
        return super().forward(x)


@pytest.mark.parametrize("form", ["eager", "folded"])
def test_an_operation_of_ones_own_is_measured(form):
    skeleton = dict(type="pinas_mm.PlainSkeleton")
    space = SearchSpace([Counting(), (1, 1, 64)], (2,), (8,), (2,), skeleton=skeleton)
    table = measured_latency(space, **QUICK | dict(check=2), form=form)
    assert (table.table > 0).all()
    assert table.error is not None

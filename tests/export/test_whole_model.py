"""Whole models with one architecture: their supernet's predictions, to test and to train on."""

import numpy as np
import pytest
import torch
from conftest import CONFIGS, NAMES, save_model
from mmdet.apis import init_detector
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmpretrain.apis import get_model
from mmseg.apis import init_model
from tasks import TASKS, trained, write_task

from pinas_mm.algorithms import SinglePath
from pinas_mm.data.digits import prepare
from pinas_mm.engine.config import read_config
from pinas_mm.errors import UserError
from pinas_mm.export import hand_over
from pinas_mm.files import file_sha256
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.models.calibration import calibration_batch, calibration_pass
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.build import load_calibration
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.images import load_batches
from pinas_mm.search.evaluation.scores import PredictScore

pytestmark = pytest.mark.slow

BATCHES = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with 8 images for training and 20 for tests in each layout."""
    folder = tmp_path_factory.mktemp("tasks")
    list(prepare(folder, ["imagenet", "coco", "ade20k"], train=8, val=20))
    return folder


@pytest.fixture
def made(data, monkeypatch, tmp_path):
    """Makes a task: config of a supernet in a model, the model with weights, their checkpoint."""
    monkeypatch.setenv("PINAS_DATA", str(data))
    monkeypatch.chdir(tmp_path)

    def make(name):
        cfg = read_config(write_task(name, tmp_path))
        file = tmp_path / "epoch_1.pth"
        return cfg, trained(cfg, file), file

    return make


@pytest.fixture(params=[*TASKS, "classifier"])
def task(request, made):
    """Each task."""
    return made(request.param)


def archs(model, number):
    return model.backbone.space.sample(number, np.random.default_rng(0))


def numbers(sample):
    """All that a prediction says, by name."""
    found = {}
    for name, value in sample.items():
        if isinstance(value, BaseDataElement):
            found |= {f"{name}.{inner}": one for inner, one in numbers(value).items()}
        else:
            found[name] = value
    return {name: np.asarray(value) for name, value in found.items()}


def built(file, weights):
    """As any program would: the config's model with the file's weights."""
    config = Config.fromfile(file)
    model = revert_sync_batchnorm(MODELS.build(config.model)).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"], strict=True)
    return model


def calibration(cfg):
    return load_calibration(cfg.val_cfg.calibration_dataloader, BATCHES)


def on_path(supernet, cfg, arch):
    """A path's statistics in the supernet."""

    def run(numbered):
        number, batch = numbered
        with supernet.backbone.on(arch):
            calibration_pass(supernet.model, calibration_batch(supernet.model, batch), number)

    return Statistics(supernet, run, enumerate(calibration(cfg)))


def searched(supernet, cfg, arch):
    """What a search finds by the whole model's own metrics."""
    images = load_batches(cfg.test_dataloader)
    score = PredictScore(cfg.test_evaluator)
    return Evaluator(supernet, score, calibration(cfg), images).evaluate([arch])[0]


def check_same(predicted, expected):
    for ours, theirs in zip(map(numbers, predicted), map(numbers, expected), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert np.array_equal(ours[name], value), name


@torch.no_grad()
def test_predictions_are_the_supernets_on_the_path(task, tmp_path):
    cfg, supernet, checkpoint = task
    images = list(Runner.build_dataloader(cfg.test_dataloader))
    seen, different = 0, []
    for arch in archs(supernet, 5):
        handed = hand_over(tmp_path / str(arch), checkpoint, cfg, str(arch), BATCHES)
        assert handed.calibrated == BATCHES
        model = built(handed.config, handed.weights)
        with on_path(supernet, cfg, arch).applied():
            for batch in images:
                wanted = supernet.test_step(batch, arch)
                check_same(model.test_step(batch), wanted)
                seen += len(wanted)
                different.append(numbers(wanted[0]))
    assert seen == 5 * 20
    # Architectures and images differ: what is equal is not so by chance.
    assert len({str(one) for one in different}) == len(different)


def test_the_config_tests_and_trains_on(task, tmp_path):
    cfg, supernet, checkpoint = task
    (arch,) = archs(supernet, 1)
    hand_over(tmp_path / "winner", checkpoint, cfg, arch, BATCHES)
    # The folder can be moved.
    moved = (tmp_path / "winner").rename(tmp_path / "elsewhere")

    def runner(config, **settings):
        config.merge_from_dict({"work_dir": str(tmp_path / "work"), **settings})
        config.experiment_name = next(NAMES)
        return Runner.from_cfg(config)

    file = moved / "winner.py"
    measured = runner(Config.fromfile(file)).test()
    # To the last digit.
    assert measured == searched(supernet, cfg, arch)
    epochs = "max_epochs" in cfg.train_cfg
    length = {"train_cfg.max_epochs" if epochs else "train_cfg.max_iters": 1}
    training = runner(Config.fromfile(file), **length, **{"train_cfg.val_interval": 1})
    training.train()
    assert training.model.backbone.arch == arch
    assert training.iter >= 1
    start, now = torch.load(moved / "winner.pth")["state_dict"], training.model.state_dict()
    assert start.keys() == now.keys()
    weights = [name for name in start if name.endswith("weight")]
    assert 0 < max((now[name] - start[name]).abs().max() for name in weights) < 1


@pytest.mark.parametrize(
    ("name", "load"),
    [("fcos", init_detector), ("deeplabv3", init_model), ("classifier", get_model)],
)
def test_the_libraries_load_it_with_its_classes(name, load, made, tmp_path):
    cfg, supernet, checkpoint = made(name)
    (arch,) = archs(supernet, 1)
    handed = hand_over(tmp_path / "winner", checkpoint, cfg, arch, 0)
    content = torch.load(handed.weights, weights_only=True)
    placed = {name: getattr(handed.backbone, name) for name in ("strides", "dilations")}
    assert content["meta"] == dict(
        arch=str(arch),
        space=handed.backbone.space.to_dict(),
        in_channels=3,
        norm_cfg=handed.backbone.norm_cfg,
        source=dict(file="epoch_1.pth", sha256=file_sha256(checkpoint)),
        calibration_batches=0,
        **{name: [*value] for name, value in placed.items() if value is not None},
        dataset_meta=dict(classes=["one", "two"], palette=[[0, 0, 0], [9, 9, 9]]),
    )
    model = load(str(handed.config), str(handed.weights), device="cpu")
    known = model._dataset_meta if name == "classifier" else model.dataset_meta
    assert known["classes"] == ["one", "two"]
    state = model.state_dict()
    assert state.keys() == content["state_dict"].keys()
    assert all(torch.equal(state[key], value) for key, value in content["state_dict"].items())
    # All but the statistics is the supernet's own, and these are too without images.
    whole = supernet.state_dict()
    around = {key: value for key, value in state.items() if not key.startswith("backbone.")}
    assert around.keys() == {key for key in whole if not key.startswith("backbone.")}
    assert all(torch.equal(whole[key], value) for key, value in around.items())


@MODELS.register_module()
class Students(BaseModel):
    """A model that has others in a list, one of them with a supernet."""

    def __init__(self, students):
        super().__init__()
        self.students = torch.nn.ModuleList(MODELS.build(student) for student in students)
        self.data_preprocessor = self.students[-1].data_preprocessor

    def forward(self, *args, **kwargs):
        return self.students[-1](*args, **kwargs)


@torch.no_grad()
def test_the_supernet_may_stand_anywhere(made, tmp_path):
    cfg, _, checkpoint = made("classifier")
    inner = cfg.model.model
    other = {**inner, "backbone": {**inner.backbone, "type": "pinas_mm.PiNASBackbone"}}
    other["backbone"] |= dict(arch="201", out_indices=(1,))
    for backbone in (inner.backbone, other["backbone"]):
        backbone.pop("init_cfg")
    cfg.model.model = dict(type="pinas_mm.Students", students=[other, inner])
    supernet = trained(cfg, checkpoint)
    handed = hand_over(tmp_path / "winner", checkpoint, cfg, "312", BATCHES)
    model = built(handed.config, handed.weights)
    assert [str(student.backbone.arch) for student in model.students] == ["20-1", "31-2"]
    assert handed.backbone is handed.model.students[1].backbone
    (batch, *_) = Runner.build_dataloader(cfg.test_dataloader)
    with on_path(supernet, cfg, "312").applied():
        check_same(model.test_step(batch), supernet.test_step(batch, "312"))


@MODELS.register_module()
class WithProjector(SinglePath):
    """A strategy with parts of its own, which train beside the model."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.projector = torch.nn.Linear(2, 2)
        self.register_buffer("queue", torch.zeros(3))


def test_what_is_the_strategys_own_stays_behind(made, tmp_path):
    cfg, _, checkpoint = made("classifier")
    cfg.model.type = "pinas_mm.WithProjector"
    supernet = trained(cfg, checkpoint)
    whole = supernet.state_dict()
    assert {"projector.weight", "queue"} <= whole.keys()
    handed = hand_over(tmp_path / "winner", checkpoint, cfg, "312", 0)
    model = built(handed.config, handed.weights)
    assert type(model).__name__ == "ImageClassifier"
    assert torch.equal(model.head.fc.weight, whole["head.fc.weight"])
    # What is neither's is refused as ever.
    torch.save({**whole, "stray.weight": torch.zeros(1)}, checkpoint)
    with pytest.raises(UserError, match=r"1 left over \(stray\.weight\)"):
        hand_over(tmp_path / "other", checkpoint, cfg, "312", 0)


def test_batches_that_the_search_takes_none_of_need_no_images(made, tmp_path):
    cfg, _, checkpoint = made("classifier")
    cfg.search = dict(calibration_batches=0)
    cfg.val_cfg.calibration_dataloader.dataset.data_root = "nowhere"
    assert hand_over(tmp_path / "winner", checkpoint, cfg, "312").calibrated == 0


LAZY = """
from mmengine.config import read_base
from mmpretrain.models import GlobalAveragePooling, ImageClassifier, LinearClsHead
from pinas_mm.algorithms import SinglePath
from pinas_mm.models import PiNASSupernet

custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)
default_scope = "mmpretrain"
model = dict(
    type=SinglePath,
    model=dict(
        type=ImageClassifier,
        backbone=dict(type=PiNASSupernet, space={space}),
        neck=dict(type=GlobalAveragePooling),
        head=dict(type=LinearClsHead, num_classes=10, in_channels=32),
    ),
)
"""


def test_a_config_of_imported_classes(made, space, tmp_path):
    (tmp_path / "lazy.py").write_text(LAZY.format(space=space.to_dict()))
    cfg = read_config(tmp_path / "lazy.py")
    checkpoint = tmp_path / "epoch_1.pth"
    save_model("small_linear.py", checkpoint)
    handed = hand_over(tmp_path / "winner", checkpoint, cfg, "312", 0)
    model = built(handed.config, handed.weights)
    assert type(model).__name__ == "ImageClassifier"
    assert str(model.backbone.arch) == "31-2"


def test_nothing_is_written_where_something_is_missing(made, space, tmp_path):
    cfg, supernet, checkpoint = made("classifier")
    winner = tmp_path / "winner"

    def refused(said, cfg=cfg, checkpoint=checkpoint, **options):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UserError, match=said):
            hand_over(winner, checkpoint, cfg, "312", **options)
        assert sorted(tmp_path.rglob("*")) == before

    refused("the model of config .* is pinas_mm.PiNAS", read_config(CONFIGS / "small_supernet.py"))
    refused("statistics is -1: whole numbers from 0 on", batches=-1)
    torch.save(supernet.backbone.state_dict(), tmp_path / "bare.pth")
    refused(r"bare\.pth holds no supernet", checkpoint=tmp_path / "bare.pth")
    state = {k: v for k, v in supernet.state_dict().items() if not k.startswith("head")}
    torch.save(state, tmp_path / "headless.pth")
    refused(r"2 keys missing \(head", checkpoint=tmp_path / "headless.pth", batches=0)
    other = read_config(cfg.filename, {"model.model.backbone.space.expansion": 4})
    refused("does not fit PiNASSupernet: .* of another shape", cfg=other)
    meta = dict(space=supernet.backbone.space.to_dict(), norm_cfg=dict(type="BN"))
    torch.save(dict(state_dict=supernet.state_dict(), meta=meta), tmp_path / "said.pth")
    for option, said in (
        ({"space.stem_pool": True}, "of another search space: its stem_pool is False, not True"),
        ({"norm_cfg": dict(type="BN", eps=1e-3)}, "trained with norm_cfg=.* has .*eps=0.001"),
    ):
        options = {f"model.model.backbone.{key}": value for key, value in option.items()}
        options |= {key: value for key, value in option.items() if key.startswith("space")}
        other = read_config(cfg.filename, options)
        refused(said, cfg=other, checkpoint=tmp_path / "said.pth")
    nan = {**supernet.state_dict()}
    nan["head.fc.bias"] = nan["head.fc.bias"] * float("nan")
    torch.save(nan, tmp_path / "nan.pth")
    for batches in (0, BATCHES):
        said = r"head\.fc\.bias of the ImageClassifier is not finite"
        refused(said, checkpoint=tmp_path / "nan.pth", batches=batches)
    nowhere = {"val_cfg.calibration_dataloader.dataset.data_root": "nowhere"}
    refused("data root nowhere of the calibration set", cfg=read_config(cfg.filename, nowhere))
    refused("no.pth does not exist", checkpoint="no.pth")
    hand_over(winner, checkpoint, cfg, "312", 0)
    refused("winner is there already: .*--force")
    hand_over(winner, checkpoint, cfg, "001", 0, force=True)
    assert torch.load(winner / "winner.pth")["meta"]["arch"] == "00-1"
    (winner / "notes.txt").touch()
    refused(r"holds notes\.txt, which is no file of a whole model", force=True)

"""The validation loops compute what their parts, put together by hand, compute."""

import copy
import os
import re

import numpy as np
import pytest
import torch
from conftest import CONFIGS, NAMES
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import distributed, multiprocessing, nn
from torch.nn import functional as F

from pinas_mm.engine import launch
from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.registry import LOOPS
from pinas_mm.space.paths import CrossPaths

LINEAR = {
    "model.model.backbone.init_cfg": None,
    "val_cfg.archs": ["00-0", "31-2"],
    # In order, so that the first batches are known.
    "val_cfg.calibration_dataloader.sampler.shuffle": False,
}


def randomized(run: Runner) -> nn.Module:
    """The runner's model with weights under which paths and images differ."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return run.model


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def batches(dataset, size):
    items = [dataset[index] for index in range(len(dataset))]
    return [pseudo_collate(items[i : i + size]) for i in range(0, len(items), size)]


def test_retrieval_is_nearest_neighbours_by_hand(runner):
    run = runner(**{"val_cfg.num_images": 6, "val_cfg.num_pairs": 3})
    model = randomized(run)
    before = snapshot(model)
    result = run.val()
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())
    assert result == run.val()

    preprocess = model.data_preprocessor
    pairs = []
    for index, data in enumerate(batches(run.val_dataloader.dataset, 4)):
        pairs.append(preprocess.make_views(preprocess.batches(data), 0, index, 2))
    first, second = (torch.cat(view)[:6] for view in zip(*pairs, strict=True))
    assert len(first) == 6
    twin, hits = copy.deepcopy(model).train(), 0
    for number in range(3):
        path, other = CrossPaths()(model.backbone.space, 0, number)
        queries = twin.neck(twin.backbone(first, path))[0]
        keys = twin.teacher.neck(twin.teacher.backbone(second, other))[0]
        for index in range(6):
            cosines = F.cosine_similarity(queries[index : index + 1], keys)
            hits += int(cosines.argmax()) == index
    assert result["retrieval/top1"] == pytest.approx(100 * hits / 18)
    assert 0 < result["retrieval/spread"] < 2


def test_retrieval_makes_no_view_that_it_does_not_compare(runner, monkeypatch):
    run = runner(**{"val_cfg.num_images": 6, "val_cfg.num_pairs": 1})
    made, augment = [], run.model.data_preprocessor.augment
    monkeypatch.setattr(
        run.model.data_preprocessor,
        "augment",
        lambda images, random: made.append(len(images)) or augment(images, random),
    )
    run.val()
    # Two batches of four, of which six images are compared.
    assert sum(made) == 2 * 8


def test_many_pairs_are_shown_as_the_long_work_that_they_are(runner, monkeypatch):
    monkeypatch.setattr("pinas_mm.long_work.FIRST", 0.0)
    run = runner(**{"val_cfg.num_images": 4, "val_cfg.num_pairs": 10**6})
    shown = []

    def tell(text, *_):
        shown.append(text)
        raise KeyboardInterrupt

    monkeypatch.setattr("pinas_mm.long_work.print_log", tell)
    with pytest.raises(KeyboardInterrupt):
        run.val()
    assert re.match(r"retrieval, pairs of paths: 1 of 1,000,000 after .*, about .* left", shown[0])


def accuracy(model, arch, calibration, scored, views=(lambda images: images,)):
    """Top-1 in percent of the views' mean, with statistics that plain batch norms average over the
    calibration set.
    """
    model = copy.deepcopy(model)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None
    model.train()
    with torch.no_grad():
        for data in calibration:
            model.backbone(model.data_preprocessor(data, False)["inputs"], arch)
        model.eval()
        right = number = 0
        for data in scored:
            images = model.data_preprocessor(data, False)["inputs"]
            features = (model.backbone(view(images), arch)[0].mean((2, 3)) for view in views)
            scores = sum(model.model.head.fc(feature).softmax(1) for feature in features)
            labels = torch.cat([sample.gt_label for sample in data["data_samples"]])
            right += int((scores.argmax(1) == labels).sum())
            number += len(labels)
    return 100 * right / number


def test_each_architecture_is_scored_with_its_own_statistics(runner):
    run = runner("small_linear.py", **LINEAR)
    model = randomized(run)
    before = snapshot(model)
    result = run.val()
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())
    calibration = batches(run.train_dataloader.dataset, 4)[:2]
    scored = batches(run.val_dataloader.dataset, 4)
    each = [accuracy(model, arch, calibration, scored) for arch in LINEAR["val_cfg.archs"]]
    assert result["accuracy/top1"] == pytest.approx(sum(each) / 2)
    assert result["accuracy/top1_std"] == pytest.approx(abs(each[0] - each[1]) / 2, abs=1e-4)


def test_augmentation_in_the_test_is_of_each_architecture(monkeypatch, digits, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(digits))
    config = Config.fromfile(CONFIGS / "small_linear.py")
    of_test = {key.replace("val_cfg", "test_cfg"): value for key, value in LINEAR.items()}
    config.merge_from_dict({**of_test, "work_dir": str(tmp_path), "experiment_name": next(NAMES)})
    flips = [[dict(type="RandomFlip", prob=prob) for prob in (0.0, 1.0)], [dict(type="PackInputs")]]
    config.tta_pipeline = [
        dict(type="pinas_mm.LoadImage"), dict(type="TestTimeAug", transforms=flips)
    ]  # fmt: skip
    plain = copy.deepcopy(config)
    config.tta_model = dict(type="mmpretrain.AverageClsScoreTTA")
    launch.use_tta(config)
    run = launch.build_runner(config, splits=["test"])
    model = unwrapped(randomized(run))
    result = run.test()
    calibration = batches(DATASETS.build(plain.train_dataloader.dataset), 4)[:2]
    scored = batches(DATASETS.build(plain.test_dataloader.dataset), 4)
    views = (lambda images: images), (lambda images: images.flip(-1))
    each = [accuracy(model, arch, calibration, scored, views) for arch in LINEAR["val_cfg.archs"]]
    assert result["accuracy/top1"] == pytest.approx(sum(each) / 2)
    assert each != [accuracy(model, arch, calibration, scored) for arch in LINEAR["val_cfg.archs"]]


def test_drawn_architectures_are_distinct_and_a_function_of_the_seed(runner):
    def drawn(seed, number):
        options = {"randomness.seed": seed, "val_cfg.archs": None, "val_cfg.num_archs": number}
        return runner("small_linear.py", **{**LINEAR, **options}).val_loop.archs

    assert drawn(1, 8) == drawn(1, 8) != drawn(2, 8)
    # The space has no more than 64.
    assert len(drawn(1, 1000)) == len(set(drawn(1, 64))) == 64


def apart(rank, folder, digits):
    """Validates in one of two processes, with one seed and with a seed each."""
    os.environ["PINAS_DATA"] = digits
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    record = {}
    for diff in (False, True):
        config = Config.fromfile(CONFIGS / "small_linear.py")
        options = {"model.model.backbone.init_cfg": None, "val_cfg.num_archs": 3}
        options |= {"randomness.seed": 4, "randomness.diff_rank_seed": diff}
        options |= {"experiment_name": f"apart {diff}", "work_dir": f"{folder}/{rank}"}
        config.merge_from_dict(options)
        run = launch.build_runner(config)
        torch.manual_seed(0)
        with torch.no_grad():  # As a distributed wrapper makes them the same everywhere.
            for parameter in run.model.parameters():
                parameter.copy_(0.3 * torch.randn_like(parameter))
        loop = run.val_loop
        images = list(loop.calibration.sampler)
        record[diff] = run.seed, [*map(str, loop.archs)], images, run.val()
    torch.save(record, f"{folder}/{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_with_a_seed_each_validate_the_same_architectures(digits, tmp_path):
    multiprocessing.spawn(apart, args=(str(tmp_path), str(digits)), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    assert (one[True][0], other[True][0]) == (4, 5)
    assert one[True][1] == other[True][1] == one[False][1] == other[False][1]
    # Each process has its share of the images, those of the run with one seed.
    assert (one[True][2], other[True][2]) == (one[False][2], other[False][2])
    assert not set(one[True][2]) & set(other[True][2])
    assert one[True][3] == other[True][3]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("00-0", ["00-0"]),
        (np.array([[0, 0, 0], [3, 1, 2]]), ["00-0", "31-2"]),
        (np.array(["00-0", "31-2"]), ["00-0", "31-2"]),
        (312, ["31-2"]),
    ],
    ids=["text", "rows", "texts", "number"],
)
def test_architectures_are_read_in_any_form(runner, given, read):
    run = runner("small_linear.py", **{**LINEAR, "val_cfg.archs": None})
    config = {**run.cfg.val_cfg, "archs": given}
    loop = LOOPS.build(
        config,
        default_args=dict(
            runner=run, dataloader=run.cfg.val_dataloader, evaluator=run.cfg.val_evaluator
        ),
    )
    assert [*map(str, loop.archs)] == read


@pytest.mark.parametrize("wrong", ["calibration_batches", "num_archs"])
def test_numbers_below_one_are_refused(runner, wrong):
    with pytest.raises(UserError, match=f"{wrong} 0"):
        _ = runner("small_linear.py", **{**LINEAR, f"val_cfg.{wrong}": 0}).val_loop


def test_a_wrong_architecture_in_the_config_is_refused(runner):
    with pytest.raises(UserError, match="4 at block 0"):
        _ = runner("small_linear.py", **{**LINEAR, "val_cfg.archs": ["40-0"]}).val_loop

"""The paper's numbers are what the configs say; the rest of a transfer is the library's."""

import argparse
import functools
import math

import pytest
import torch
from conftest import REPOSITORY
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DATASETS, METRICS, MODELS, init_default_scope
from shrink import shrink

from pinas_mm.commands.options import add_run_options
from pinas_mm.registry import dicts
from pinas_mm.space import SearchSpace

CONFIGS = REPOSITORY / "configs"
MASK_RCNN = "coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py"
ADE20K = "ade20k/deeplabv3_pinas-trans-d8_4xb4-160k_ade20k-480x480.py"
CITYSCAPES = "cityscapes/deeplabv3_pinas-trans-d8_4xb2-80k_cityscapes-768x768.py"
TASKS = [
    str(path.relative_to(CONFIGS))
    for folder in ("imagenet", "coco", "ade20k", "cityscapes")
    for path in sorted((CONFIGS / folder).glob("*.py"))
]
TRANSFERS = [name for name in TASKS if "pinas-supernet" not in name]
SEARCHES = [name for name in TASKS if name.endswith("_search.py")]
SUPERNETS = [name for name in TASKS if name not in [*TRANSFERS, *SEARCHES]]
CLS, TRANS = "301-3231-203213-032", "333-3113-330011-021"
SYNC_BN = dict(type="SyncBN", requires_grad=True)
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


@pytest.fixture(scope="module")
def load():
    """Each config, read once under a data root of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", "/elsewhere")
        yield functools.cache(lambda name: Config.fromfile(CONFIGS / name))


def step(pipeline, kind):
    (found,) = [step for step in pipeline if step["type"] == kind]
    return found


@pytest.mark.parametrize("name", TRANSFERS)
def test_every_transfer_has_the_papers_architecture_unfrozen(load, name):
    backbone = load(name).model.backbone
    assert backbone.type == "pinas_mm.PiNASBackbone"
    assert str(SearchSpace().arch(backbone.arch)) == (CLS if "pinas-cls" in name else TRANS)
    assert not {"frozen_stages", "norm_eval", "space", "_scope_"} & set(backbone)
    assert ("norm_cfg" not in backbone) if "imagenet" in name else backbone.norm_cfg == SYNC_BN


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize("arch", [CLS, CLS.replace("-", "")])
def test_another_architecture_and_weights_are_options(load, name, arch):
    config = load(name).copy()
    weights = ("init_cfg.type=Pretrained", "init_cfg.checkpoint=winner.pth")
    options = [f"model.backbone.{option}" for option in (f"arch={arch}", *weights)]
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    config.merge_from_dict(parser.parse_args([name, "--cfg-options", *options]).cfg_options)
    assert str(SearchSpace().arch(config.model.backbone.arch)) == CLS
    assert config.model.backbone.init_cfg == dict(type="Pretrained", checkpoint="winner.pth")


@pytest.mark.parametrize("name", TRANSFERS)
def test_all_data_follows_the_data_root(load, name):
    config = load(name)
    for split in ("train", "val", "test"):
        roots = [node["data_root"] for node in dicts(config[f"{split}_dataloader"]) if "type" in
                 node and "data_root" in node]  # fmt: skip
        assert roots
        assert all(root.startswith("/elsewhere/") for root in roots)
    for split in ("val", "test"):
        annotations = config[f"{split}_evaluator"].get("ann_file", "/elsewhere/")
        assert annotations.startswith("/elsewhere/")
    assert config.test_dataloader == config.val_dataloader
    assert config.test_evaluator == config.val_evaluator


@pytest.mark.parametrize("name", TRANSFERS)
def test_the_name_says_the_batch_and_the_length(load, name):
    config = load(name)
    length = config.train_cfg.get("max_iters")
    if "coco" in name:
        assert "_ms-90k_" in name
        assert length == 90_000
        assert config.train_dataloader.batch_size == 2
    else:
        gpus, images = 32, 64
        if "imagenet" not in name:
            gpus, images = 4, config.train_dataloader.batch_size
            crop = config.crop_size[0]
            assert f"-{length // 1000}k_" in name
            assert f"-{crop}x{crop}.py" in name
        assert f"_{gpus}xb{images}" in name
        assert config.train_dataloader.batch_size == images


@pytest.mark.parametrize("name", [n for n in TASKS if n.startswith("coco/") and n not in SEARCHES])
def test_coco_training(load, name):
    config = load(name)
    model = config.model if name in TRANSFERS else config.model.model
    assert config.auto_scale_lr.base_batch_size == 16
    optimizer = config.optim_wrapper.optimizer
    # RetinaNet's and FCOS's are mmdet's.
    assert optimizer.lr == (0.01 if name.startswith(("coco/retinanet", "coco/fcos")) else 0.02)
    (steps,) = [s for s in config.param_scheduler if s.type == "MultiStepLR"]
    assert steps.milestones == [60_000, 80_000]
    assert not steps.by_epoch
    pipeline = config.train_pipeline
    resize = step(pipeline, "RandomChoiceResize")
    assert resize.scales == [(1333, side) for side in range(640, 801, 32)]
    assert resize.keep_ratio
    assert step(config.test_dataloader.dataset.pipeline, "Resize").scale == (1333, 800)
    preprocessor = model.data_preprocessor
    assert preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    assert preprocessor.bgr_to_rgb
    assert model.neck.norm_cfg == SYNC_BN


def test_mask_rcnn_heads(load):
    config = load(MASK_RCNN)
    heads = config.model.roi_head
    box, mask = heads.bbox_head, heads.mask_head
    assert (box.type, box.conv_out_channels, box.fc_out_channels) == (
        "Shared4Conv1FCBBoxHead", 256, 1024,
    )  # fmt: skip
    assert (mask.type, mask.num_convs) == ("FCNMaskHead", 4)
    assert box.norm_cfg == mask.norm_cfg == SYNC_BN
    assert config.test_evaluator.metric == ["bbox", "segm"]


@pytest.mark.parametrize(
    ("name", "base", "crop", "classes"),
    [(ADE20K, 520, 480, 150), (CITYSCAPES, 2048, 768, 19)],
)
def test_deeplabv3(load, name, base, crop, classes):
    config = load(name)
    model = config.model
    assert model.backbone.strides == (1, 2, 1, 1)
    assert model.backbone.dilations == (1, 1, 2, 4)
    head, auxiliary = model.decode_head, model.auxiliary_head
    assert head.type == "pinas_mm.DeepLabV3ReleaseHead"
    assert (head.in_channels, head.channels, head.dropout_ratio) == (2048, 256, 0.1)
    assert head.dilations == (1, 12, 24, 36)
    assert (auxiliary.in_index, auxiliary.in_channels, auxiliary.channels) == (2, 1024, 256)
    assert (auxiliary.num_convs, auxiliary.dropout_ratio) == (1, 0.1)
    assert head.align_corners
    assert auxiliary.align_corners
    assert head.num_classes == auxiliary.num_classes == classes

    train = config.train_dataloader.dataset.pipeline
    assert step(train, "RandomResize").scale == (base, base)
    assert step(train, "RandomCrop").crop_size == model.data_preprocessor.size == (crop, crop)
    assert step(config.test_dataloader.dataset.pipeline, "Resize").scale == (base, base)
    resizes, flips, *_ = config.tta_pipeline[-1].transforms
    assert [resize.scale for resize in resizes] == [(base * scale,) * 2 for scale in SCALES]
    assert [flip.prob for flip in flips] == [0, 1]
    assert all(math.isclose(resize.scale[0], int(resize.scale[0])) for resize in resizes)


def test_the_other_segmentors_keep_the_librarys_heads(load):
    for folder, classes in (("ade20k", 150), ("cityscapes", 19)):
        heads = {}
        for name in (name for name in TRANSFERS if folder in name and "deeplabv3_" not in name):
            config = load(name)
            heads[config.model.decode_head.type] = config
            assert config.model.decode_head.num_classes == classes
            assert config.crop_size == config.model.data_preprocessor.size
        assert set(heads) == {"DepthwiseSeparableASPPHead", "UPerHead"}


def test_classifiers_are_trained_as_resnest(load):
    ours = load("imagenet/pinas-cls_32xb64_in1k.py")
    theirs = Config.fromfile(CONFIGS / "_base_/imagenet_resnest.py")
    for name in ("optim_wrapper", "param_scheduler", "train_cfg", "train_pipeline"):
        assert ours[name] == theirs[name]
    assert ours.model.head == theirs.model.head


def test_fcos_is_mmdets(load):
    ours = load("coco/fcos_pinas-trans_fpn_syncbn_ms-90k_coco.py")
    theirs = get_config("mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py")
    for part in ("type", "bbox_head", "test_cfg"):
        assert ours.model[part] == theirs.model[part]
    assert ours.model.neck == dict(theirs.model.neck, norm_cfg=SYNC_BN)
    for part in ("paramwise_cfg", "clip_grad"):
        assert ours.optim_wrapper[part] == theirs.optim_wrapper[part]


def test_every_supernet_has_a_transfer_and_a_search(load):
    assert {name.replace("pinas-supernet", "pinas-trans") for name in SUPERNETS} < set(TRANSFERS)
    assert [name.replace(".py", "_search.py") for name in SUPERNETS] == SEARCHES
    for name in SEARCHES:
        config = load(name)
        assert config.model == load(name.replace("_search.py", ".py")).model
        assert config.search.score.metrics == config.val_evaluator
        metric = dict(CocoMetric="coco/bbox_mAP", IoUMetric="mIoU")[config.val_evaluator.type]
        assert config.search.objectives == [metric]


@pytest.mark.parametrize("name", SUPERNETS)
def test_a_supernet_stands_where_the_architecture_stood(load, name):
    config, transfer = load(name), load(name.replace("pinas-supernet", "pinas-trans"))
    supernet, backbone = config.model.model.backbone, transfer.model.backbone
    assert config.model.type == "pinas_mm.SinglePath"
    assert config.model.paths.type == "pinas_mm.UniformPaths"
    assert config.model.model == dict(transfer.model, backbone=supernet)
    assert supernet.type == "pinas_mm.PiNASSupernet"
    assert supernet.init_cfg.type == "pinas_mm.FromSupernet"
    assert supernet.norm_cfg == backbone.norm_cfg == SYNC_BN
    assert supernet.out_indices == (0, 1, 2, 3)
    space, paper = SearchSpace.build(supernet.space.to_dict()), SearchSpace()
    assert (space.candidates, space.depths) == (paper.candidates, paper.depths)
    assert space.strides == backbone.get("strides", paper.strides)
    assert supernet.get("dilations") == backbone.get("dilations")
    for part in ("optim_wrapper", "param_scheduler", "train_cfg", "auto_scale_lr"):
        assert config.get(part) == transfer.get(part)
    # The final number is the transfers'.
    for part in ("test_dataloader", "test_evaluator"):
        assert config[part] == transfer[part]


@pytest.mark.parametrize("name", [SUPERNETS[n] for n in (0, 1, 3, 5)])
def test_supernets_are_searched_on_images_that_they_have_not_learned_from(
    layouts, monkeypatch, name
):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    config = shrink(Config.fromfile(CONFIGS / name))
    init_default_scope(config.default_scope)
    loaders = config.train_dataloader, config.val_dataloader, config.val_cfg.calibration_dataloader
    learned, searched, calibrated = (
        {data_set.get_data_info(number)["img_path"] for number in range(len(data_set))}
        for data_set in (DATASETS.build(loader.dataset) for loader in loaders)
    )
    assert learned == calibrated
    assert not learned & searched
    assert len(learned) == len(searched) == 2  # of the layouts' 4


def test_the_held_out_images_annotations_give_the_metric_that_a_file_gives(layouts, monkeypatch):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    config = Config.fromfile(CONFIGS / SUPERNETS[1])
    # All images are of the one part that there is.
    data_set = config.val_dataloader.dataset
    data_set.num_splits = 1
    init_default_scope(config.default_scope)
    data_set = DATASETS.build(data_set)
    random, found = torch.Generator().manual_seed(0), []
    for number in range(len(data_set)):
        sample = data_set[number]["data_samples"].to_dict()
        truth = sample["gt_instances"]
        boxes = torch.as_tensor([instance["bbox"] for instance in sample["instances"]])
        masks = torch.as_tensor(truth["masks"].resize(sample["ori_shape"]).masks)
        sample["pred_instances"] = dict(
            bboxes=boxes + 4 * torch.randn(boxes.shape, generator=random),
            scores=torch.rand(len(boxes), generator=random),
            labels=truth["labels"],
            masks=masks.bool().roll(3, -1),
        )
        found.append(sample)
    metrics = []
    for file in (None, layouts / "coco/annotations/instances_train2017.json"):
        evaluator = dict(config.val_evaluator, ann_file=file and str(file), prefix="a")
        metric = METRICS.build(evaluator)
        metric.dataset_meta = data_set.metainfo
        metric.process({}, found)
        metrics.append(metric.evaluate(len(found)))
    for name in ("a/bbox_mAP", "a/bbox_mAP_75", "a/segm_mAP"):
        assert 0 < metrics[0][name] == metrics[1][name] < 1


@pytest.mark.parametrize(
    ("name", "images", "about"),
    [(SUPERNETS[0], 117_266, 5_000), (SUPERNETS[3], 20_210, 2_000), (SUPERNETS[5], 2_975, 500)],
)
def test_as_many_are_held_out_as_the_set_that_the_final_number_is_of(load, name, images, about):
    splits = load(name).val_dataloader.dataset.num_splits
    assert load(name).train_dataloader.dataset.num_splits == splits
    assert images / splits == pytest.approx(about, rel=0.03)


@pytest.mark.parametrize("name", SUPERNETS)
def test_supernets_are_built_at_full_size(load, name):
    config = load(name)
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        model = MODELS.build(config.model)
    supernet = model.backbone
    assert len(supernet.path_modules(supernet.space.arch(TRANS))) > 16

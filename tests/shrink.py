"""Configs small enough for a test, whatever they are for, and weights to start them from."""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from conftest import move_apart
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from pinas_mm.export.subnet import network_config
from pinas_mm.registry import dicts

# Of transforms, data preprocessors and windows of sliding inference; whole numbers are pixels.
SIZES = "scale", "scales", "img_scale", "size", "crop_size", "stride"
CHANNELS = (
    *("widths", "stem_widths", "in_channels", "out_channels", "channels", "feat_channels"),
    *("conv_out_channels", "fc_out_channels"),
)
LENGTHS = dict(
    num_images=2,
    num_pairs=1,
    num_archs=1,
    calibration_batches=1,
    trials=2,
    images=2,
    partners=1,
    num_splits=2,
    nms_pre=50,
    max_per_img=10,
)
# Of mmdet's heads, the layers that classify boxes.
CLASSIFIERS = re.compile(r"(fc|retina|conv|atss|rtm)_cls(\.\d+)?$")
BATCH = 2
STEPS = 2  # An epoch of the data sets that these configs run on: 4 images.


def shrink(config: Config, shortest: int = 36) -> Config:
    """The smallest size in pixels becomes ``shortest``, the length two steps of two images; a
    supernet has one choice block a stage.
    """
    shrink_images(config, shortest)
    network = network_config(config)
    if network.get("space") and "arch" not in network:
        network.space.depths = (1,) * len(network.space.depths)
        config.space = network.space
    for node in dicts(config._cfg_dict):
        if "dataset" in node and "batch_size" in node:
            node.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
        node.update({key: value for key, value in LENGTHS.items() if node.get(key)})
    loop = config.get("train_cfg")
    if "max_iters" in loop:
        loop.update(max_iters=STEPS, val_interval=STEPS)
    else:
        # A schedule that lasts to the end of the training must not begin after it.
        schedules = dicts([config.param_scheduler])
        begins = [s.get("begin", 0) for s in schedules if "end" not in s]
        loop.update(max_epochs=1 + max(begins, default=0), val_interval=1)
    return config


def shrink_images(config: Config, shortest: int) -> None:
    """Scales all sizes in pixels alike; nothing else in the model is one."""
    models = config.model, config.model.get("model") or {}
    preprocessors = [model.get("data_preprocessor") or {} for model in models]
    holders = [
        *preprocessors,
        *(preprocessor.get("augment") or {} for preprocessor in preprocessors),
        *(model.get("test_cfg") or {} for model in models),
        *dicts({key: value for key, value in config.items() if key != "model"}),
    ]
    places = [(node, key) for node in holders for key in SIZES if key in node]
    found = [pixel for node, key in places for pixel in pixels(node[key])]
    factor = min(1, shortest / min(found, default=shortest))
    shrunk = {id(node): node for node, _ in places}  # A node can stand in two places.
    for node in shrunk.values():
        node.update({key: scaled(node[key], factor) for key in SIZES if key in node})


def narrow(model: Config) -> None:
    """A quarter of a model's channels is left; less would be too few for group norms."""
    for node in dicts(model):
        for key in CHANNELS:
            numbers = node.get(key)
            if isinstance(numbers, (list, tuple)):
                node[key] = [number // 4 for number in numbers]
            elif isinstance(numbers, int) and numbers >= 64:
                node[key] = numbers // 4


def pixels(value: object) -> Iterator[int]:
    """The whole numbers in a setting."""
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from pixels(inner)
    elif isinstance(value, int):
        yield value


def scaled(value: object, factor: float) -> object:
    """The same setting with its whole numbers scaled."""
    if isinstance(value, (list, tuple)):
        return type(value)(scaled(inner, factor) for inner in value)
    return max(1, round(value * factor)) if isinstance(value, int) else value


def random_weights(config: Config, file: Path) -> str:
    """A checkpoint of the config's model; a detector's finds objects of class 0 everywhere.

    With weights that know nothing no score reaches the threshold, and COCO's metrics are empty.
    """
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    move_apart(model)
    for name, layer in model.named_modules():
        if CLASSIFIERS.search(name) and hasattr(layer, "bias"):
            torch.nn.init.constant_(layer.bias[:1], 10)
    torch.save(dict(state_dict=model.state_dict()), file)
    return str(file)


def random_supernet(config: Config, file: Path) -> None:
    """Writes the supernet's weights that the config's model starts from, if it does."""
    network = network_config(config)
    if "init_cfg" in network:
        untrained = Config(dict(model=dict(network), default_scope="mmpretrain"))
        untrained.model.pop("init_cfg")
        network.init_cfg.checkpoint = random_weights(untrained, file)

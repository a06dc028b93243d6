"""Checkpoints as the release names them, of networks small enough for a test."""

import torch

from pinas_mm.models import PiNASBackbone, PiNASSupernet

SPACES = {
    "demo": dict(
        candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 48), (2, 2, 32)],
        depths=(1, 1, 1, 1),
        widths=(16, 16, 32, 32),
        strides=(2, 1, 2, 1),
        expansion=2,
        stem_widths=(8, 8, 16),
        stem_pool=False,
    ),
    "three-candidates": dict(
        candidates=[(1, 1, 24), (2, 1, 40), (2, 2, 48)],
        depths=(2, 1, 3),
        widths=(32, 48, 64),
        strides=(1, 2, 2),
        stem_widths=(4, 6, 16),
    ),
    "expansion-8": dict(
        candidates=[(1, 1, 57), (1, 1, 33)],
        depths=(1, 2),
        widths=(9, 20),
        strides=(1, 1),
        expansion=8,
        stem_widths=(5, 6, 7),
    ),
}
ARCHS = {"demo": "3-0-1-2", "three-candidates": "02-1-201", "expansion-8": "0-11"}

CLASSES, HIDDEN, DIM, QUEUE = 5, 12, 6, 10


def fill(shapes, seed=0):
    """Random weights; variances are positive, counters zero."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(seed)
        else:
            state[name] = torch.rand(tuple(shape), generator=generator) - 0.2
            if name.endswith("running_var"):
                state[name] += 0.5
    return state


def shapes_of(model):
    return {name: value.shape for name, value in model.state_dict().items()}


def supernet(space, seed=0):
    """Every candidate has a shortcut of its own, as after a careless extraction."""
    return fill(shapes_of(PiNASSupernet(SPACES[space])), seed)


def backbone(space, seed=0):
    return fill(shapes_of(PiNASBackbone(ARCHS[space], SPACES[space])), seed)


def out_channels(space, stage=-1):
    return SPACES[space]["widths"][stage] * SPACES[space].get("expansion", 4)


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def linear(name, out, inner):
    return {f"{name}.weight": (out, inner), f"{name}.bias": (out,)}


def norm(name, channels):
    values = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in values} | {f"{name}.num_batches_tracked": ()}


def training(space):
    neck = linear("mlp.0", HIDDEN, out_channels(space)) | linear("mlp.2", DIM, HIDDEN)
    student, teacher = supernet(space, 1), supernet(space, 2)
    return {
        "queue": torch.rand(DIM, QUEUE),
        "queue_ptr": torch.tensor([3]),
        **prefixed("encoder_q.0.", student),
        **prefixed("encoder_q.1.", fill(neck, 3)),
        **prefixed("encoder_k.0.", teacher),
        **prefixed("encoder_k.1.", fill(neck, 4)),
        **prefixed("backbone.", student),
    }


def classifier(space):
    return backbone(space) | fill(linear("fc", CLASSES, out_channels(space)))


def deeplabv3(space, channels=8):
    last, before = out_channels(space), out_channels(space, -2)
    shapes = {"head.aspp.b0.0.weight": (channels, last, 1, 1)} | norm("head.aspp.b0.1", channels)
    for number in (1, 2, 3):
        shapes[f"head.aspp.b{number}.0.weight"] = (channels, last, 3, 3)
        shapes |= norm(f"head.aspp.b{number}.1", channels)
    shapes |= {"head.aspp.b4.gap.1.weight": (channels, last, 1, 1)}
    shapes |= norm("head.aspp.b4.gap.2", channels)
    shapes |= {"head.aspp.project.0.weight": (channels, 5 * channels, 1, 1)}
    shapes |= norm("head.aspp.project.1", channels)
    shapes |= {"head.block.0.weight": (channels, channels, 3, 3)} | norm("head.block.1", channels)
    shapes |= {"head.block.4.weight": (CLASSES, channels, 1, 1), "head.block.4.bias": (CLASSES,)}
    shapes |= {"auxlayer.conv5.0.weight": (channels, before, 3, 3)}
    shapes |= norm("auxlayer.conv5.1", channels)
    shapes |= {"auxlayer.conv5.4.weight": (CLASSES, channels, 1, 1)}
    shapes |= {"auxlayer.conv5.4.bias": (CLASSES,)}
    return prefixed("pretrained.", backbone(space)) | fill(shapes)


MAKERS = {
    "self-supervised training checkpoint": training,
    "supernet backbone": supernet,
    "stand-alone classifier": classifier,
    "DeepLabV3 segmentor": deeplabv3,
}

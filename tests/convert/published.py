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


def detectron2_backbone(space, counters):
    """``res2.0.conv1.norm`` for ``layer1.0.bn1``, and so on."""
    stem = {
        "conv1.0.": "stem.conv1.0.",
        "conv1.1.": "stem.conv1.0.norm.",
        "conv1.3.": "stem.conv1.1.",
        "conv1.4.": "stem.conv1.1.norm.",
        "conv1.6.": "stem.conv1.2.",
        "bn1.": "stem.conv1.2.norm.",
    }
    blocks = {
        ".bn1.": ".conv1.norm.",
        ".bn3.": ".conv3.norm.",
        ".downsample.1.": ".shortcut.",
        ".downsample.2.": ".shortcut.norm.",
    }
    shapes = {}
    for name, shape in shapes_of(PiNASBackbone(ARCHS[space], SPACES[space])).items():
        if name.startswith("layer"):
            renamed = f"res{int(name[5]) + 1}{name[6:]}"
            if ".conv2." not in name:
                for ours, theirs in blocks.items():
                    renamed = renamed.replace(ours, theirs)
        else:
            start = next(start for start in stem if name.startswith(start))
            renamed = stem[start] + name.removeprefix(start)
        if counters or not name.endswith("num_batches_tracked"):
            shapes[renamed] = shape
    return shapes


def conv_norm(name, out, inner, kernel, counters):
    shapes = {f"{name}.weight": (out, inner, kernel, kernel)} | norm(f"{name}.norm", out)
    return shapes if counters else without_counters(shapes)


def without_counters(state):
    return {name: v for name, v in state.items() if not name.endswith("num_batches_tracked")}


def mask_rcnn(space, counters=False, pyramid=6, conv=8, fc=10, mask=9, seed=0):
    """All widths differ by default, so that no layer fits in another's place."""
    rpn = pyramid
    shapes = prefixed("backbone.bottom_up.", detectron2_backbone(space, counters))
    for stage in range(len(SPACES[space]["depths"])):
        lateral, output = f"backbone.fpn_lateral{stage + 2}", f"backbone.fpn_output{stage + 2}"
        shapes |= conv_norm(lateral, pyramid, out_channels(space, stage), 1, counters)
        shapes |= conv_norm(output, pyramid, pyramid, 3, counters)
    head = "proposal_generator.rpn_head"
    shapes |= {f"{head}.conv.weight": (rpn, pyramid, 3, 3), f"{head}.conv.bias": (rpn,)}
    for name, channels in (("objectness_logits", 3), ("anchor_deltas", 12)):
        shapes |= {f"{head}.{name}.weight": (channels, rpn, 1, 1)}
        shapes |= {f"{head}.{name}.bias": (channels,)}
    for number in range(4):
        inner = conv if number else pyramid
        name = f"roi_heads.box_head.conv{number + 1}"
        shapes |= conv_norm(name, conv, inner, 3, counters)
        inner = mask if number else pyramid
        name = f"roi_heads.mask_head.mask_fcn{number + 1}"
        shapes |= conv_norm(name, mask, inner, 3, counters)
    shapes |= linear("roi_heads.box_head.fc1", fc, conv * 7 * 7)
    shapes |= linear("roi_heads.box_predictor.cls_score", CLASSES + 1, fc)
    shapes |= linear("roi_heads.box_predictor.bbox_pred", 4 * CLASSES, fc)
    shapes |= {"roi_heads.mask_head.deconv.weight": (mask, mask, 2, 2)}
    shapes |= {"roi_heads.mask_head.deconv.bias": (mask,)}
    shapes |= {"roi_heads.mask_head.predictor.weight": (CLASSES, mask, 1, 1)}
    shapes |= {"roi_heads.mask_head.predictor.bias": (CLASSES,)}
    return fill(shapes, seed)


MAKERS = {
    "self-supervised training checkpoint": training,
    "supernet backbone": supernet,
    "stand-alone classifier": classifier,
    "DeepLabV3 segmentor": deeplabv3,
    "Mask R-CNN detector": mask_rcnn,
}


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}

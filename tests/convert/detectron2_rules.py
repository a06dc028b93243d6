"""What detectron2 computes from a Mask R-CNN's weights at test time, written from its rules.

Functions of the source's state dict, so that they use its names, orders and formulas alone.
"""

import math

import torch
from torch.nn import functional as F
from torchvision.ops import batched_nms, roi_align

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
RPN_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


def norm(state, name, x):
    parts = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(state[f"{name}.{part}"] for part in parts), eps=1e-5)


def conv(state, name, x, stride=1, groups=1):
    weight = state[f"{name}.weight"]
    padding = weight.shape[-1] // 2
    x = F.conv2d(x, weight, state.get(f"{name}.bias"), stride, padding, groups=groups)
    return norm(state, f"{name}.norm", x) if f"{name}.norm.weight" in state else x


def linear(state, name, x):
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def split_attention(state, name, x, radix, groups):
    x = conv(state, f"{name}.conv", x, groups=groups * radix)
    x = norm(state, f"{name}.bn0", x).relu()
    splits = x.unflatten(1, (radix, -1))
    pooled = splits.sum(1).mean((2, 3), keepdim=True)
    hidden = norm(state, f"{name}.bn1", conv(state, f"{name}.fc1", pooled, groups=groups)).relu()
    attention = conv(state, f"{name}.fc2", hidden, groups=groups)
    attention = attention.view(len(x), groups, radix, -1).transpose(1, 2)
    attention = attention.softmax(1) if radix > 1 else attention.sigmoid()
    return (splits * attention.reshape(len(x), radix, -1, 1, 1)).sum(1)


def block(state, name, x, radix, groups, stride):
    out = conv(state, f"{name}.conv1", x).relu()
    out = split_attention(state, f"{name}.conv2", out, radix, groups)
    if stride > 1:
        out = F.avg_pool2d(out, 3, stride, padding=1)
    out = conv(state, f"{name}.conv3", out)
    if f"{name}.shortcut.weight" in state:
        pooled = F.avg_pool2d(x, stride, stride, ceil_mode=True, count_include_pad=False)
        x = conv(state, f"{name}.shortcut", pooled)
    return (out + x).relu()


def backbone(state, images, stages):
    """``stages``: radix and groups of each block of each stage; strides 1, 2, 2, ..."""
    x = images
    for number in range(3):
        name = f"backbone.bottom_up.stem.conv1.{number}"
        x = conv(state, name, x, stride=1 if number else 2).relu()
    x = F.max_pool2d(x, 3, 2, padding=1)
    features = []
    for stage, blocks in enumerate(stages):
        for index, (radix, groups) in enumerate(blocks):
            name = f"backbone.bottom_up.res{stage + 2}.{index}"
            x = block(state, name, x, radix, groups, 2 if stage and not index else 1)
        features.append(x)
    return features


def pyramid(state, features):
    above, outs = None, []
    for level in reversed(range(len(features))):
        lateral = conv(state, f"backbone.fpn_lateral{level + 2}", features[level])
        if above is not None:
            lateral = lateral + F.interpolate(above, scale_factor=2, mode="nearest")
        above = lateral
        outs.insert(0, conv(state, f"backbone.fpn_output{level + 2}", lateral))
    return [*outs, F.max_pool2d(outs[-1], 1, 2)]


def anchors(height, width, stride, size):
    """Row by row, at each place the aspect ratios (height by width); offset 0."""
    rows = []
    for y in range(height):
        for x in range(width):
            for ratio in (0.5, 1.0, 2.0):
                w = math.sqrt(size * size / ratio)
                h = ratio * w
                cx, cy = x * stride, y * stride
                rows.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    return torch.tensor(rows, dtype=torch.float64)


def decode(deltas, boxes, weights):
    """One box by four deltas; no pixel is added to widths and heights."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    dx, dy, dw, dh = (deltas / deltas.new_tensor(weights)).unbind(1)
    clamp = math.log(1000.0 / 16)
    cx = boxes[:, 0] + 0.5 * width + dx * width
    cy = boxes[:, 1] + 0.5 * height + dy * height
    w, h = width * dw.clamp(max=clamp).exp(), height * dh.clamp(max=clamp).exp()
    return torch.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), 1)


def clip(boxes, height, width):
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    return torch.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), 1)


def proposals(state, levels, height, width, before=1000, after=1000):
    """Boxes of one image, best first."""
    boxes, scores, numbers = [], [], []
    for number, feature in enumerate(levels):
        hidden = conv(state, "proposal_generator.rpn_head.conv", feature).relu()
        logits = conv(state, "proposal_generator.rpn_head.objectness_logits", hidden)
        deltas = conv(state, "proposal_generator.rpn_head.anchor_deltas", hidden)
        logits = logits.permute(0, 2, 3, 1).flatten()
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).reshape(-1, 4)
        grid = anchors(*feature.shape[-2:], 4 * 2**number, 32 * 2**number)
        logits, best = logits.sort(descending=True)
        best = best[:before]
        boxes.append(clip(decode(deltas[best], grid[best], RPN_WEIGHTS), height, width))
        scores.append(logits[:before])
        numbers.append(torch.full((len(best),), number))
    boxes, scores, numbers = torch.cat(boxes), torch.cat(scores), torch.cat(numbers)
    sound = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, numbers = boxes[sound], scores[sound], numbers[sound]
    return boxes[batched_nms(boxes, scores, numbers, 0.7)[:after]]


def pool(levels, boxes, size):
    """ROIAlignV2 with an adaptive number of samples, 224 pixels on the level of stride 16."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    wanted = torch.floor(4 + torch.log2(area.sqrt() / 224 + 1e-8)).clamp(2, 5)
    out = levels[0].new_zeros(len(boxes), levels[0].shape[1], size, size)
    for number, feature in enumerate(levels[:4]):
        here = wanted == number + 2
        if here.any():
            scale = 1 / (4 * 2**number)
            out[here] = roi_align(feature, [boxes[here]], size, scale, 0, aligned=True)
    return out


def box_head(state, pooled):
    """Logits, the background's last, and four deltas a class."""
    for number in range(1, 5):
        pooled = conv(state, f"roi_heads.box_head.conv{number}", pooled).relu()
    hidden = linear(state, "roi_heads.box_head.fc1", torch.flatten(pooled, start_dim=1)).relu()
    logits = linear(state, "roi_heads.box_predictor.cls_score", hidden)
    return logits, linear(state, "roi_heads.box_predictor.bbox_pred", hidden)


def detections(logits, deltas, boxes, height, width, most=100):
    """Boxes, scores and classes of one image, best first."""
    scores = logits.softmax(-1)[:, :-1]
    found = [
        (clip(decode(deltas[:, 4 * k : 4 * k + 4], boxes, BOX_WEIGHTS), height, width), column)
        for k, column in enumerate(scores.unbind(1))
    ]
    boxes = torch.cat([boxes[column > 0.05] for boxes, column in found])
    scores = torch.cat([column[column > 0.05] for _, column in found])
    classes = torch.cat([torch.full_like(c[c > 0.05], k).long() for k, (_, c) in enumerate(found)])
    keep = batched_nms(boxes, scores, classes, 0.5)[:most]
    return boxes[keep], scores[keep], classes[keep]


def mask_head(state, pooled):
    """Logits of each class's mask."""
    for number in range(1, 5):
        pooled = conv(state, f"roi_heads.mask_head.mask_fcn{number}", pooled).relu()
    weight, bias = (state[f"roi_heads.mask_head.deconv.{part}"] for part in ("weight", "bias"))
    pooled = F.conv_transpose2d(pooled, weight, bias, stride=2).relu()
    return conv(state, "roi_heads.mask_head.predictor", pooled)

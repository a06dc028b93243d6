"""Networks as training leaves them, and their deployed files run by what their users run."""

import json

import numpy as np
import onnxruntime
import torch
from torch import nn

from pinas_mm.data.digits.photos import load_photos
from pinas_mm.models import PiNASBackbone
from pinas_mm.models.batch_norm import Statistics


def trained(module, seed=0):
    """Moves norms off their initial values; batch norms get statistics of images.

    As training has it, a block adds little to its identity: the last norm begins at zero. Deep
    networks of random weights without that blow rounding errors up, PyTorch's own too.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Conv2d):
                # He's, which takes no generator before PyTorch 2.2.
                fan_out = layer.weight.numel() // layer.weight.shape[1]
                layer.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
            elif isinstance(layer, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)):
                scale = 0.2 if name.endswith("bn3") else 1.0
                layer.weight.uniform_(0.5 * scale, 1.5 * scale, generator=generator)
                layer.bias.uniform_(-0.5 * scale, 0.5 * scale, generator=generator)
    backbone = module if isinstance(module, PiNASBackbone) else module.backbone
    channels = backbone.conv1[0].in_channels
    Statistics(backbone, backbone, [photographs("train", 16, channels, 96, 128)]).write()
    return module.eval()


def photographs(split, batch, channels, height, width, seed=0):
    """Normalized crops."""
    photos, rng = load_photos()[split], np.random.default_rng(seed)
    crops = np.stack([photos.crop(rng, (height, width), 1.0)[0] for _ in range(batch)])
    return torch.from_numpy((crops[..., :channels] - 120) / 60).permute(0, 3, 1, 2).contiguous()


def run_onnx(path, images):
    """Outputs by name, in order."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(names, {"images": images.numpy()})
    return {name: torch.from_numpy(out) for name, out in zip(names, outputs, strict=True)}


def run_torchscript(path, images):
    """Outputs by name, in order; names are in the file."""
    extra = {"metadata.json": ""}
    network = torch.jit.load(path, _extra_files=extra)
    with torch.inference_mode():
        outputs = network(images)
    names = json.loads(extra["metadata.json"])["outputs"]
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    return dict(zip(names, outputs, strict=True))

"""The golden outputs, and the weights and images that they were computed on."""

import json
import math
import os
import zlib
from pathlib import Path

import numpy as np
import torch

from pinas_mm.models import PiNASBackbone

FOLDER = Path(os.environ.get("PINAS_PARITY") or Path(__file__).parent)
GOLDEN = json.loads((FOLDER / "golden.json").read_text())


def entries(kind):
    """The golden entries of one kind, as pytest parameters with readable ids."""
    found = GOLDEN.get(kind, [])
    if isinstance(found, dict):
        return list(found.items()), list(found)
    return found, [str(number) for number in range(len(found))]


def shapes(name):
    """Names and shapes of a checkpoint of the release; None where there is no such list."""
    for folder in (FOLDER, Path(__file__).parent):
        path = folder / f"keys_{name}.json"
        if path.is_file():
            return json.loads(path.read_text())
    return None


def backbone_shapes(choice, prefix=""):
    """Names and shapes of a stand-alone backbone, for architectures that no list is there for."""
    with torch.device("meta"):
        state = PiNASBackbone(choice).state_dict()
    return {prefix + key: list(value.shape) for key, value in state.items()}


def classifier_shapes(choice, classes):
    """Names and shapes of a stand-alone classifier."""
    fc = {"fc.weight": [classes, 2048], "fc.bias": [classes]}
    return backbone_shapes(choice) | fc


def deeplabv3_shapes(name, entry):
    """Names and shapes of DeepLabV3, from the list of another data set if there is none."""
    known = shapes(f"deeplabv3_{name}")
    if known:
        return known
    heads = {k: v for k, v in shapes("deeplabv3_ade20k").items() if not k.startswith("pretrained.")}
    for key in heads:
        if key.startswith(("head.block.4.", "auxlayer.conv5.4.")):
            heads[key] = [entry["num_classes"], *heads[key][1:]]
    return backbone_shapes(entry["choice"], "pretrained.") | heads


def weights(keys):
    """The state dict in float64: every value is a function of the key and the shape alone."""
    state = {}
    for key, shape in keys.items():
        if key.startswith("backbone."):
            continue
        n = normals(key, shape)
        if key.endswith("num_batches_tracked") or key == "queue_ptr":
            value = np.zeros(shape, dtype=np.int64)
        elif key == "queue":
            value = n / np.linalg.norm(n, axis=0)
        elif key.endswith(("running_mean", "bias")):
            value = 0.1 * n
        elif key.endswith("running_var"):
            value = 1 + 0.1 * abs(n)
        elif len(shape) == 1:
            value = 1 + 0.1 * n
        else:
            value = n * np.sqrt(2 / math.prod(shape[1:]))
        state[key] = torch.as_tensor(value)
    copies = [key for key in keys if key.startswith("backbone.")]
    return state | {key: state["encoder_q.0." + key.removeprefix("backbone.")] for key in copies}


def normals(key, shape):
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    return rng.standard_normal(math.prod(shape)).reshape(shape)


def images(entry):
    rng = np.random.RandomState(entry["input"]["seed"])
    return torch.as_tensor(rng.standard_normal(entry["input"]["shape"]))


def summary(tensor):
    """What the golden file says of a tensor."""
    values = tensor.detach().numpy()
    flat = values.reshape(-1)
    return dict(
        shape=list(values.shape),
        mean=values.mean(),
        std=values.std(),
        l2=np.linalg.norm(flat),
        first8=flat[:8],
        last8=flat[-8:],
    )


def deviation(tensor, golden):
    """Largest relative error of a tensor's summary, element by element.

    A mean can be a near-zero sum of large terms, and a ReLU's output zero: what is below 1e-12 of
    the tensor's root mean square is float64's own rounding and is measured against that.
    """
    got = summary(tensor)
    assert got.keys() == golden.keys()
    assert got["shape"] == golden["shape"]
    floor = 1e-6 * golden["l2"] / math.sqrt(math.prod(golden["shape"]))
    return max(
        np.max(abs(np.subtract(got[name], golden[name])) / np.maximum(np.abs(golden[name]), floor))
        for name in golden
        if name != "shape"
    )

"""What of a space's latency is to be measured, and how; and all that the result depends on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import torch
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.machine import cpu_name, process_threads
from pinas_mm.models.deployed import check_form
from pinas_mm.models.following import network_in
from pinas_mm.models.network import CHANNELS_LAST, layout_of
from pinas_mm.operations.norms import norm_facts
from pinas_mm.space import SearchSpace
from pinas_mm.weights.digest import weights_digest

# More repeats, or threads, are typing errors that would take days.
MOST = dict(repeats=10_000, threads=1024)
MOST_CHECKED = 1000


@dataclasses.dataclass(frozen=True)
class LatencyOptions:
    """In a config the dict ``search.latency``.

    Args:
        image_size: height and width of the images in pixels, or one number for both.
        batch_size: images at a time.
        in_channels: channels of the images.
        device: None is the GPU where there is one.
        repeats: measurements of each part, after a warm-up; their median counts.
        num_threads: of PyTorch on the CPU; None are those that this process computes with
            (``OMP_NUM_THREADS``), whatever its workers share them out to.
        strides, dilations: of each stage; None takes the space's strides, no dilation.
        out_indices: stages whose outputs are returned; blocks of those after the last take no
            time, since they do not run. None is all, or the model's.
        norm_cfg: config of the norm layers; None is BN, or the model's.
        check: architectures to time whole, drawn by a seed; fewer where the space is smaller.
        form: ``eager``, ``folded``, ``compiled`` or ``onnx``: see
            :func:`~pinas_mm.models.deployed.deployed`. Compiled and exported block by block, what
            they save across blocks is missing.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        memory_format: ``channels_last`` or ``contiguous_format``; the model's, where there is one.

    Raises:
        UserError: a number is out of range, or there is no such form, precision or memory format.
    """

    image_size: int | tuple[int, int]
    batch_size: int = 1
    in_channels: int = 3
    device: str | torch.device | None = None
    repeats: int = 20
    num_threads: int | None = None
    strides: Sequence[int] | None = None
    dilations: Sequence[int] | None = None
    out_indices: Sequence[int] | None = None
    norm_cfg: dict[str, Any] | None = None
    check: int = 5
    form: str = "eager"
    dtype: str = "float32"
    memory_format: str = CHANNELS_LAST

    def __post_init__(self) -> None:
        for name, value in self._numbers().items():
            values = value if name == "image_size" else [value]
            whole = all(isinstance(v, int) and v >= 1 for v in values)
            if not whole or (name == "image_size" and len(values) != 2):
                raise UserError(
                    f"latency: {name} is {value}: whole numbers of at least 1 are allowed"
                )
            if name in MOST and value > MOST[name]:
                raise UserError(f"latency: {name} is {value}: at most {MOST[name]} are allowed")
        if not isinstance(self.check, int) or not 0 <= self.check <= MOST_CHECKED:
            raise UserError(
                f"latency: check is {self.check}: architectures to time whole, 0 to "
                f"{MOST_CHECKED}, are allowed"
            )
        check_form(self.form, self.dtype, self.torch_device)
        layout_of(self.memory_format)

    @classmethod
    def build(cls, given: Mapping[str, Any]) -> LatencyOptions:
        """From a config's dict.

        Raises:
            UserError: a name is unknown, ``image_size`` is missing, and what the class raises.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown or "image_size" not in given:
            fault = f"has no {', '.join(unknown)}" if unknown else "needs image_size"
            raise UserError(f"latency {fault}: allowed are {', '.join(known)}")
        return cls(**given)

    @property
    def torch_device(self) -> torch.device:
        """Where it is measured."""
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def setting(self, space: SearchSpace, model: nn.Module | None = None) -> dict[str, Any]:
        """All that a table depends on, as JSON gives it back.

        Args:
            space: the search space.
            model: that has a supernet of the space as its backbone; None is the backbone alone.

        Raises:
            UserError: there is no such stage, ``norm_cfg`` is no dict with a type, or the model has
                not exactly one network of ours.
        """
        found = self._numbers()
        out_indices, norm_cfg, memory_format = self.out_indices, self.norm_cfg, self.memory_format
        if model is not None:
            supernet = network_in(model)
            out_indices, norm_cfg = supernet.out_indices, supernet.norm_cfg
            memory_format = supernet.memory_format
        # Only what is not as usual, so that tables of earlier versions are as good.
        last = len(space.depths) - 1
        stages = out_indices if isinstance(out_indices, Sequence) else ()
        if out_indices is not None and not (stages and all(n in range(last + 1) for n in stages)):
            raise UserError(f"latency: out_indices is {out_indices}: of 0 to {last} are allowed")
        if out_indices is not None and max(out_indices) == last:
            out_indices = None
        other = dict(strides=self.strides, dilations=self.dilations, out_indices=out_indices)
        found |= {name: list(value) for name, value in other.items() if value is not None}
        if norm_facts(norm_cfg) != norm_facts(None):
            found["norm_cfg"] = norm_facts(norm_cfg)
        if memory_format != CHANNELS_LAST:
            found["memory_format"] = memory_format
        if model is not None:
            # How much a detector finds, and has to sort out, is up to weights and thresholds.
            config = json.loads(json.dumps(getattr(model, "test_cfg", None), default=str))
            known = dict(model=type(model).__name__, weights=weights_digest(model), test_cfg=config)
            found["following"] = known
        found |= dict(form=self.form, dtype=self.dtype)
        if self.form == "onnx":
            found["onnxruntime"] = metadata.version("onnxruntime")
        # As JSON has it: lists, no tuples.
        plain = json.loads(json.dumps(space.to_dict()))
        device = _name(self.torch_device)
        return dict(device=device, torch=torch.__version__, space=plain, **found)

    def _numbers(self) -> dict[str, Any]:
        size = self.image_size
        return dict(
            image_size=[size] * 2 if isinstance(size, int) else list(size),
            batch_size=self.batch_size,
            in_channels=self.in_channels,
            repeats=self.repeats,
            threads=process_threads() if self.num_threads is None else self.num_threads,
        )


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()

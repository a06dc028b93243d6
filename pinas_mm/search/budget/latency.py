"""How long each candidate of each block takes on this machine, and so any architecture."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import statistics
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.machine import cpu_name, load, process_threads, usable_cores
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.deployed import check_form, deployed
from pinas_mm.models.following import Following, network_in
from pinas_mm.models.network import BUILT_BY, CHANNELS_LAST, layout_of
from pinas_mm.operations.norms import norm_facts
from pinas_mm.search.budget.timing import noise, timed, torch_threads
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import AdditiveCost
from pinas_mm.weights.digest import weights_digest
from pinas_mm.weights.subnet import subnet_state

# A part's repeats differ by this share, half of them by more, where others use the cores as well.
SPREAD = 0.2
# More repeats, or threads, are typing errors that would take days.
MOST = dict(repeats=10_000, threads=1024)
MOST_CHECKED = 1000
# Of whole architectures, which take as long as all their parts.
CHECK_REPEATS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class LatencyTable:
    """Measured seconds of a space's parts; an architecture takes the sum of its parts': stem,
    blocks and, where a model was given, what follows the backbone there.

    Args:
        setting: what was measured where, plain values: device, torch, threads, space, image_size,
            batch_size, in_channels, repeats, form, dtype; of a whole model, ``following``: which.
        fixed: seconds of the stem, of what ends the network, and of what follows it, for one batch.
        table: seconds of each candidate of each block with what stands around it, shape (blocks,
            candidates); 0 where the block does not run, NaN where the candidate may not stand.
        load: of the machine before it was measured, see :func:`pinas_mm.machine.load`; None where
            it is not known.
        spread: how far half of a part's repeats lie apart, as a share of their median; the median
            of all parts.
        error: how far the sums are from whole architectures that were timed, as a share of their
            seconds; their median. None where none were.
    """

    setting: dict[str, Any]
    fixed: float
    table: NDArray[Any]
    load: float | None = None
    spread: float = 0.0
    error: float | None = None

    def additive(self) -> AdditiveCost:
        """The cost ``latency``, in seconds for one batch."""
        return AdditiveCost("latency", self.fixed, self.table)

    def doubt(self) -> str | None:
        """Why these seconds may be others' as well; None where nothing speaks for it."""
        doubts = []
        if self.load is not None and self.load > 1:
            doubts.append(f"{self.load:.1f} processes wanted each core of the machine")
        if self.spread > SPREAD:
            doubts.append(f"repeats lay {self.spread:.0%} apart")
        if self.setting["threads"] > usable_cores():
            doubts.append(f"{self.setting['threads']} threads had {usable_cores()} cores")
        return " and ".join(doubts) or None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, from which :meth:`from_dict` makes an equal table."""
        # JSON has no NaN.
        table = [[None if math.isnan(x) else x for x in row] for row in self.table.tolist()]
        known = dict(setting=self.setting, fixed=self.fixed, table=table)
        return known | dict(load=self.load, spread=self.spread, error=self.error)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LatencyTable:
        """Reads :meth:`to_dict`'s.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        space = SearchSpace.build(content["setting"]["space"])
        fixed, table = float(content["fixed"]), np.array(content["table"], dtype=float)
        if table.shape != space.mask.shape or not ((table >= 0) == space.mask).all() or fixed <= 0:
            raise ValueError("not one number of seconds a candidate of each block")
        load, error = (
            None if content.get(name) is None else float(content[name])
            for name in ("load", "error")
        )
        return cls(content["setting"], fixed, table, load, float(content.get("spread", 0)), error)


def measure_latency(
    space: SearchSpace,
    image_size: int | tuple[int, int],
    batch_size: int = 1,
    in_channels: int = 3,
    device: str | torch.device | None = None,
    repeats: int = 20,
    num_threads: int | None = None,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    out_indices: Sequence[int] | None = None,
    norm_cfg: dict[str, Any] | None = None,
    progress: Callable[[float], None] | None = None,
    check: int = 5,
    model: nn.Module | None = None,
    image: torch.Tensor | None = None,
    form: str = "eager",
    dtype: str = "float32",
    memory_format: str = CHANNELS_LAST,
) -> LatencyTable:
    """Times each candidate of each block alone, as the stand-alone backbone has it, in the form and
    precision in which it will run.

    Blocks that do the same on inputs of the same shape are measured once. What follows the
    backbone in a model is measured once, as the model predicts: with post-processing, as a
    detector's non-maximum suppression, and always eager in float32. Then some architectures are
    timed whole, to see how far the sums of parts are off. The random numbers of the process, and
    the model, are left alone.

    Args:
        space: the search space.
        image_size: height and width of the images in pixels, or one number for both.
        batch_size: images at a time.
        in_channels: channels of the images.
        device: None is the GPU where there is one.
        repeats: measurements of each, after a warm-up; their median counts.
        num_threads: of PyTorch on the CPU; None are those that this process computes with
            (``OMP_NUM_THREADS``), whatever its workers share them out to.
        strides, dilations: of each stage; None takes the space's strides, no dilation.
        out_indices: stages whose outputs are returned; blocks of those after the last take no
            time, since they do not run. None is all, or the model's.
        norm_cfg: config of the norm layers; None is BN, or the model's.
        memory_format: ``channels_last`` or ``contiguous_format``; the model's, where there is one.
        progress: called with the share that is done, 0 to 1.
        check: architectures to time whole, drawn by a seed; fewer where the space is smaller.
        model: of mmpretrain, mmdet or mmseg, with a supernet of the space as its backbone; None
            measures the backbone alone.
        image: what the model predicts on, as the network gets it, shape (in_channels, height,
            width): how long post-processing takes depends on what is found. It is resized. None is
            noise.
        form: ``eager``, ``folded``, ``compiled`` or ``onnx``: see
            :func:`~pinas_mm.models.deployed.deployed`. Compiled and exported block by block, what
            they save across blocks is missing.
        dtype: ``float32``, ``bfloat16`` or ``float16``.

    Raises:
        UserError: a number is out of range, the model does not take the backbone's feature maps,
            or there is no such form here.
    """
    setting = setting_of(
        space,
        image_size,
        batch_size,
        in_channels,
        device,
        repeats,
        num_threads,
        strides,
        dilations,
        out_indices,
        norm_cfg,
        memory_format,
        check,
        model,
        form,
        dtype,
    )
    height, width = setting["image_size"]
    device = _device(device)
    ready = functools.partial(deployed, form=form, dtype=dtype)

    def part(modules: Sequence[nn.Module], x: torch.Tensor) -> tuple[float, torch.Size, float]:
        """Seconds, shape of the output and spread of what runs in a row."""
        seconds, out, spread = timed(ready(nn.Sequential(*modules), x), x.to(kind), repeats)
        return seconds, out.shape, spread

    kind = getattr(torch, dtype)
    whole = space.sample(min(check, space.size), np.random.default_rng(0))
    steps = space.mask.sum() + (model is not None) + len(whole)
    told = progress or (lambda fraction: None)
    table = np.full(space.mask.shape, np.nan)
    network = _built_by(setting)
    layout = layout_of(setting.get("memory_format", CHANNELS_LAST))
    drawn = functools.partial(noise, device=device, layout=layout)
    first, done = space.mask.argmax(axis=1), 0
    measured: dict[tuple[Any, ...], tuple[float, torch.Size, float]] = {}
    before = load()
    with (
        torch_threads(setting["threads"]),
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(),
    ):
        for choice in range(space.num_candidates):
            arch = np.where(space.mask[:, choice], choice, first)
            backbone = PiNASBackbone(arch, space, **network).eval().to(device)
            if choice == 0:
                shape = torch.Size([batch_size, in_channels, height, width])
                fixed, stem_shape, _ = part(backbone.stem_modules, drawn(shape))
            shape = stem_shape
            for number, (spec, here) in enumerate(zip(backbone.specs, arch, strict=True)):
                if number >= backbone.num_running:
                    if here == choice:
                        table[number, choice], done = 0, done + 1
                    continue
                # Where a block stands matters only by its input; a transition is a stage's own.
                apart = space.skeleton.transitions and spec.first
                place = spec if apart else dataclasses.replace(spec, stage=0, index=0)
                key = int(here), place, shape
                if key not in measured:
                    measured[key] = part(backbone.cell(number), drawn(shape))
                seconds, shape, _ = measured[key]
                if here == choice:
                    table[number, choice], done = seconds, done + 1
                told(done / steps)
            ends = backbone.num_stages - 1 in backbone.out_indices
            if choice == 0 and ends and hasattr(backbone, "output"):
                fixed += part([backbone.output], drawn(shape))[0]
        images, following = _images(image, setting).to(device), None
        if model is not None:
            following = Following(model, (height, width), "predict").to(device)
            maps = _alone(first, space, setting, model).to(device)(images)
            fixed, done = fixed + timed(following, maps, repeats)[0], done + 1
            told(done / steps)
        cost, errors = AdditiveCost("latency", fixed, table), []
        for number, one in enumerate(whole, 1):
            alone = ready(_alone(one, space, setting, model).to(device), images)
            run: Callable[..., Any] = alone
            if following is not None:
                run = functools.partial(following.run, network=_in_float32(alone))
            seconds, *_ = timed(run, images.to(kind), min(repeats, CHECK_REPEATS))
            errors.append(abs(float(cost.of(np.array([one]))[0]) / seconds - 1))
            told((done + number) / steps)
    spread = statistics.median(spread for *_, spread in measured.values())
    error = statistics.median(errors) if errors else None
    return LatencyTable(setting, fixed, table, before, spread, error)


def _built_by(setting: dict[str, Any]) -> dict[str, Any]:
    """A network's arguments among a setting, which has what is not as usual."""
    return {name: setting[name] for name in BUILT_BY if name in setting}


def _alone(
    arch: Sequence[int], space: SearchSpace, setting: dict[str, Any], model: nn.Module | None
) -> PiNASBackbone:
    """An architecture's own network, with the model's weights where there is one."""
    options = _built_by(setting)
    if model is None:
        last = (options.pop("out_indices", None) or [len(space.depths) - 1])[-1:]
        return PiNASBackbone(arch, space, out_indices=last, **options).eval()
    supernet = network_in(model)
    backbone = PiNASBackbone(arch, space, **options | dict(out_indices=supernet.out_indices))
    backbone.load_state_dict(subnet_state(supernet.state_dict(), space.arch(arch), space))
    return backbone.eval()


def _in_float32(network: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
    return lambda images: tuple(maps.float() for maps in network(images))


def _images(image: torch.Tensor | None, setting: dict[str, Any]) -> torch.Tensor:
    """A batch of one image, or of noise."""
    if image is None:
        image = torch.rand(setting["in_channels"], *setting["image_size"])
    image = nn.functional.interpolate(image[None].float(), setting["image_size"])
    return image.repeat(setting["batch_size"], 1, 1, 1)


def setting_of(
    space: SearchSpace,
    image_size: int | tuple[int, int],
    batch_size: int,
    in_channels: int,
    device: str | torch.device | None,
    repeats: int,
    num_threads: int | None,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    out_indices: Sequence[int] | None,
    norm_cfg: dict[str, Any] | None,
    memory_format: str,
    check: int,
    model: nn.Module | None,
    form: str,
    dtype: str,
) -> dict[str, Any]:
    """All that a table depends on, as JSON gives it back; of :func:`measure_latency`'s arguments.

    Raises:
        UserError: a number is out of range, there is no such form, precision or memory format,
            ``norm_cfg`` is no dict with a type, or the model has not exactly one network of ours.
    """
    size = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    threads = process_threads() if num_threads is None else num_threads
    numbers: dict[str, Any] = dict(
        image_size=size,
        batch_size=batch_size,
        in_channels=in_channels,
        repeats=repeats,
        threads=threads,
    )
    for name, value in numbers.items():
        values = value if name == "image_size" else [value]
        if not all(isinstance(v, int) and v >= 1 for v in values) or len(size) != 2:
            raise UserError(f"latency: {name} is {value}: whole numbers of at least 1 are allowed")
        if name in MOST and value > MOST[name]:
            raise UserError(f"latency: {name} is {value}: at most {MOST[name]} are allowed")
    if not isinstance(check, int) or not 0 <= check <= MOST_CHECKED:
        raise UserError(
            f"latency: check is {check}: architectures to time whole, 0 to {MOST_CHECKED}, are "
            "allowed"
        )
    device = _device(device)
    check_form(form, dtype, device)
    # As JSON has it: lists, no tuples.
    plain = json.loads(json.dumps(space.to_dict()))
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
    other = dict(strides=strides, dilations=dilations, out_indices=out_indices)
    numbers |= {name: list(value) for name, value in other.items() if value is not None}
    if norm_facts(norm_cfg) != norm_facts(None):
        numbers["norm_cfg"] = norm_facts(norm_cfg)
    layout_of(memory_format)
    if memory_format != CHANNELS_LAST:
        numbers["memory_format"] = memory_format
    if model is not None:
        # How much a detector finds, and has to sort out, is up to weights and thresholds.
        config = json.loads(json.dumps(getattr(model, "test_cfg", None), default=str))
        known = dict(model=type(model).__name__, weights=weights_digest(model), test_cfg=config)
        numbers["following"] = known
    numbers |= dict(form=form, dtype=dtype)
    if form == "onnx":
        numbers["onnxruntime"] = metadata.version("onnxruntime")
    return dict(device=_name(device), torch=torch.__version__, space=plain, **numbers)


def _device(device: str | torch.device | None) -> torch.device:
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()

"""What is deployed: a network from images to named tensors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmpretrain.models import ImageClassifier
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.export.subnet import SUPERNET, network_config, preprocessor_config, take_facts
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.registry import MODELS, type_name
from pinas_mm.weights.checkpoint import check_fits, find_checkpoint, inner_state, read_checkpoint
from pinas_mm.weights.checkpoint import state_dict as weights_of
from pinas_mm.weights.initializers import PREFIX, load_backbone
from pinas_mm.weights.meta import PLACED, said_space
from pinas_mm.weights.subnet import in_channels, is_supernet


@dataclasses.dataclass(frozen=True)
class Deployable:
    """A network in evaluation mode, from images (N, C, H, W) to named tensors.

    Images are float32 and normalized; any N, H and W will do.

    Attributes:
        module: takes the images; its outputs are a tensor or a tuple of them.
        outputs: their names: ``logits`` (N, classes) of a classifier; of a backbone ``stage1``,
            ``stage2``, ..., those of its ``out_indices``, (N, channels, h, w).
        channels: C.
        metadata: facts for whoever runs it: ``arch``; ``mean`` and ``std`` to normalize images of
            0 to 255 with, and ``channel_order``, where the config has them.
    """

    module: nn.Module
    outputs: tuple[str, ...]
    channels: int
    metadata: dict[str, Any]

    @classmethod
    def of(cls, module: PiNASBackbone | ImageClassifier, cfg: Config | None = None) -> Deployable:
        """A backbone or a classifier with one, made ready: evaluation mode, no gradients.

        Args:
            module: the network; it is changed.
            cfg: the config whose data preprocessor it saw images through.
        """
        whole = not isinstance(module, PiNASBackbone)
        backbone: Any = module.backbone if whole else module
        stages = tuple(f"stage{index + 1}" for index in backbone.out_indices)
        return cls(
            module=module.eval().requires_grad_(False),
            outputs=("logits",) if whole else stages,
            channels=backbone.in_channels,
            metadata={"arch": str(backbone.arch), **_normalization(cfg)},
        )

    @classmethod
    def read(
        cls, weights: str | Path, cfg: Config | None = None, backbone_only: bool = False
    ) -> Deployable:
        """The network of a weights file.

        Args:
            weights: a file that :func:`~pinas_mm.export.write_subnet` wrote, or with ``cfg`` a
                checkpoint of its model, a file or a work dir whose last one is meant.
            cfg: of a classifier with a :class:`PiNASBackbone`; with ``backbone_only`` of any model
                with one.
            backbone_only: leave neck and head out.

        Raises:
            UserError: the weights cannot be read or do not fit; the config's model is no such one.
        """
        path = find_checkpoint(weights)
        content, source = read_checkpoint(path), f"checkpoint {path}"
        state, meta = weights_of(content), content.get("meta") or {}
        inner = inner_state(state, PREFIX)
        if is_supernet(inner):
            raise UserError(
                f"{source} is a supernet's: cut an architecture out of it with --arch or --best "
                "and --supernet"
            )
        module = _build(cfg, meta, backbone_only) if cfg else _backbone_of_meta(content, source)
        whole = not isinstance(module, PiNASBackbone)
        backbone: Any = module.backbone if whole else module
        load_backbone(backbone, inner, source, meta)
        if whole:
            check_fits(module, state, source)
            module.load_state_dict(state)
        return cls.of(module, cfg)


def _backbone_of_meta(content: dict[str, Any], source: str) -> PiNASBackbone:
    meta, state = content.get("meta") or {}, weights_of(content)
    if any(key.startswith(PREFIX) for key in state):
        raise UserError(
            f"{source} is a whole model's: --config gives its config, and --backbone-only "
            "leaves the rest of it out"
        )
    space = said_space(meta, source)
    if not meta.get("arch") or space is None:
        raise UserError(
            f"{source} does not say its architecture, as files of tools/export.py do: "
            "--config gives a config whose model.backbone has it, with --backbone-only"
        )
    channels = meta.get("in_channels") or in_channels(state, space)
    known: dict[str, Any] = {name: meta.get(name) for name in (*PLACED, "norm_cfg")}
    return PiNASBackbone(meta["arch"], space, channels, **known)


def _build(
    cfg: Config, meta: Mapping[str, Any], backbone_only: bool
) -> PiNASBackbone | ImageClassifier:
    """The config's model, or its backbone; without a process group, so without SyncBN."""
    cfg = copy.deepcopy(cfg)
    take_facts(cfg, meta)
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    model: Any = cfg.get("model") or {}
    if type_name(network_config(cfg)) == SUPERNET:
        raise UserError(
            f"config {cfg.filename} is a supernet's: cut an architecture out of it with --arch or "
            "--best and --supernet"
        )
    if not model.get("backbone"):
        raise UserError(f"config {cfg.filename} has no model.backbone: give a model's config")
    built = revert_sync_batchnorm(MODELS.build(model.backbone if backbone_only else model))
    backbone = built if backbone_only else getattr(built, "backbone", None)
    if not isinstance(backbone, PiNASBackbone):
        raise UserError(
            f"the backbone of config {cfg.filename} is {model.backbone.type}: allowed is "
            "pinas_mm.PiNASBackbone"
        )
    if not backbone_only and not (isinstance(built, ImageClassifier) and built.with_head):
        raise UserError(
            f"the model of config {cfg.filename} is {model.type}: whole models are exported of "
            "ImageClassifier with a head only, of others --backbone-only exports the backbone"
        )
    return built


def _normalization(cfg: Config | None) -> dict[str, Any]:
    """What a config's data preprocessor does to images."""
    if cfg is None:
        return {}
    preprocessor = preprocessor_config(cfg)
    known: dict[str, Any] = {
        name: [float(value) for value in preprocessor[name]]
        for name in ("mean", "std")
        if preprocessor.get(name) is not None
    }
    # mmpretrain's word for it and mmengine's.
    if preprocessor.get("to_rgb") or preprocessor.get("bgr_to_rgb"):
        known["channel_order"] = "RGB"
    return known

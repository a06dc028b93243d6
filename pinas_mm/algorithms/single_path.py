"""Any model with a supernet as its backbone, trained along single paths."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import torch
from torch import nn

from pinas_mm.algorithms.base import Step, SupernetAlgorithm
from pinas_mm.algorithms.feature_maps import check_feature_maps
from pinas_mm.errors import UserError
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import MODELS
from pinas_mm.space import Arch

INNER = "model."
GIVE = "give it backbone=dict(type='pinas_mm.PiNASSupernet', ...)"


@MODELS.register_module()
class SinglePath(SupernetAlgorithm):
    """Trains a model of mmpretrain, mmdet or mmseg whose backbone is a :class:`PiNASSupernet`.

    With UniformPaths it is SPOS (Guo et al., ECCV 2020), with FairPaths FairNAS (Chu et al., ICCV
    2021), with SandwichPaths the sandwich rule (Yu and Huang, ICCV 2019), with
    ``freeze_backbone=True`` the linear probe: the supernet's parameters stay, its batch norms use
    batch statistics.

    Its state dict is the model's own, so that checkpoints with and without it are the same; what a
    subclass adds stands beside it, under names that the model does not have. Attributes that it
    lacks, such as ``decode_head``, are looked up in the model, for the libraries' hooks and
    test-time augmentation. Parameters are named ``model.backbone...``, which ``backbone`` among the
    ``custom_keys`` of a ``paramwise_cfg`` matches.

    Each iteration draws paths of its own, also where gradients are accumulated: with
    ``accumulative_counts=4`` a step of the optimizer covers four times as many paths.

    Running statistics of a supernet mix those of all paths; to test one architecture, recompute
    them with :class:`~pinas_mm.models.batch_norm.Statistics` (the supernet loops do).

    Args:
        model: config of the model.
        paths: config of the path sampler; None is UniformPaths, one path a step. The losses of
            several are averaged.
        freeze_backbone: train only what is not the supernet.
        data_preprocessor: for the model, where its own config has none.
        init_cfg: mmengine's weight initialization.

    Raises:
        UserError: the model has not exactly one supernet, its neck or heads take other feature maps
            than the supernet's, or the space cannot give the paths.

    Example:
        >>> model = dict(type='pinas_mm.SinglePath', model=dict(
        ...     type='mmdet.FCOS', backbone=dict(type='pinas_mm.PiNASSupernet')))
    """

    def __init__(
        self,
        model: dict[str, Any] | nn.Module,
        paths: dict[str, Any] | None = None,
        freeze_backbone: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, (dict, nn.Module)):
            raise UserError(f"SinglePath's model is {model!r}: give the config of a model")
        if isinstance(model, dict):
            if not model.get("backbone", True):
                raise UserError(f"SinglePath's model {model.get('type')} has no backbone: {GIVE}")
            if data_preprocessor is not None and not model.get("data_preprocessor"):
                model = {**model, "data_preprocessor": data_preprocessor}
        built: nn.Module = MODELS.build(model) if isinstance(model, dict) else model
        found = [n for n, m in built.named_modules() if isinstance(m, PiNASSupernet)]
        if len(found) != 1:
            backbone = getattr(built, "backbone", None)
            its = (
                "no backbone"
                if backbone is None
                else f"its backbone is a {type(backbone).__name__}"
            )
            raise UserError(
                f"SinglePath needs a model with one supernet, {type(built).__name__} has "
                f"{len(found)} and {its}: {GIVE}"
            )
        super().__init__(paths, cast(Any, built.data_preprocessor), init_cfg)
        # The model has it: here it would be listed a second time.
        del self._modules["data_preprocessor"]
        self.model = built
        self._place = found[0]
        check_feature_maps(built, self.backbone)
        self.check_paths()
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            self.backbone.requires_grad_(False)
        module: Any = self  # PyTorch leaves these without types.
        module._register_state_dict_hook(_without_inner)
        module._register_load_state_dict_pre_hook(_with_inner, with_module=True)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            model = self.__dict__.get("_modules", {}).get("model")
            if model is None:
                raise
            return getattr(model, name)

    def init_weights(self) -> None:
        """The model's; before a training, which would end in a state dict that is refused."""
        self.check_names()
        super().init_weights()  # type: ignore[no-untyped-call]  # mmengine's.

    def check_names(self) -> set[str]:
        """Checks the names of a subclass's own modules, parameters and buffers, which stand beside
        the model's in the state dict.

        Raises:
            UserError: the model has one of them too, so that loading could not tell them apart.
        """
        own = _names(self) - {INNER.removesuffix(".")}
        for name in sorted(own & _names(self.model)):
            raise UserError(
                f"{type(self).__name__} has a {name} of its own, and so has its model, a "
                f"{type(self.model).__name__}: in the state dict they would be one, so give its "
                "own another name"
            )
        return own

    @property
    def backbone(self) -> PiNASSupernet:  # type: ignore[override]  # The model's, read only.
        """The supernet, wherever the model has it."""
        return cast(PiNASSupernet, self.model.get_submodule(self._place))

    @property
    def data_preprocessor(self) -> Any:  # type: ignore[override]  # The model's, read only.
        """The model's."""
        return self.model.data_preprocessor

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: list[Any] | None = None,
        mode: str = "tensor",
        arch: Any = None,
        step: Step | None = None,
    ) -> Any:
        """The model's, along a path.

        Args:
            inputs, data_samples, mode: as for the model.
            arch: the path; None is the step's in ``mode='loss'``, and elsewhere the one that
                ``backbone.on(arch)`` has set.
            step: the step that a loss is part of.
        """
        if mode == "loss":
            return super().forward(inputs, data_samples, mode, arch, step)
        with contextlib.nullcontext() if arch is None else self.backbone.on(arch):
            return self.model(inputs, data_samples, mode=mode)

    def path_loss(self, batch: dict[str, Any], arch: Arch, step: Step) -> dict[str, torch.Tensor]:
        """The model's losses along a path."""
        with self.backbone.on(arch):
            return self.model(**batch, mode="loss")

    def val_step(self, data: Any, arch: Any = None) -> list[Any]:
        """Predictions of one architecture."""
        return self.test_step(data, arch)

    def test_step(self, data: Any, arch: Any = None) -> list[Any]:
        """Predictions of one architecture."""
        return self(**self.data_preprocessor(data, False), mode="predict", arch=arch)


def _without_inner(
    module: SinglePath, state: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    module.check_names()
    inner = [key for key in state if key.startswith(prefix + INNER)]
    # All at once: a model may have a part of that name too.
    state |= {prefix + key.removeprefix(prefix + INNER): state.pop(key) for key in inner}


def _with_inner(module: SinglePath, state: dict[str, Any], prefix: str, *_: Any) -> None:
    own = module.check_names()
    here = [key for key in state if key.startswith(prefix)]
    inner = [key for key in here if key.removeprefix(prefix).partition(".")[0] not in own]
    state |= {prefix + INNER + key.removeprefix(prefix): state.pop(key) for key in inner}


def _names(module: nn.Module) -> set[str]:
    """What a module's own keys in a state dict begin with."""
    extra = type(module).get_extra_state is not nn.Module.get_extra_state
    return {*module._parameters, *module._buffers, *module._modules, *["_extra_state"] * extra}

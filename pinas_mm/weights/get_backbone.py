"""A backbone in one call, for plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.initial_weights import start
from pinas_mm.weights.initializers import Pretrained


def get_backbone(
    name: Any = None, pretrained: str | Path | None = None, **options: Any
) -> PiNASBackbone:
    """An architecture's network, with weights of a file or freshly initialized ones.

    Args:
        name: ``'pinas_cls'`` or ``'pinas_trans'``, the published architectures (weights do not come
            with them), or any architecture that :meth:`SearchSpace.arch` reads; None is that of the
            file.
        pretrained: a file of ``tools/export.py``, ``tools/convert.py`` or a training; or its
            http(s) address. Search space, channels, norm layers, strides and dilations are the
            file's, where it says them and the options do not.
        **options: of :class:`~pinas_mm.models.PiNASBackbone`.

    Returns:
        The network in training mode; it returns one feature map for each of ``out_indices``.

    Raises:
        UserError: an unknown name, an option that does not fit, or a file that is of another
            architecture or search space.

    Example:
        >>> backbone = pinas_mm.get_backbone('pinas_trans').eval()
        >>> [tuple(out.shape) for out in backbone(torch.zeros(1, 3, 224, 224))]
        [(1, 256, 56, 56), (1, 512, 28, 28), (1, 1024, 14, 14), (1, 2048, 7, 7)]
        >>> backbone = pinas_mm.get_backbone(pretrained='winner.pth')  # doctest: +SKIP
    """
    load = None if pretrained is None else Pretrained(pretrained)
    given = {key: value for key, value in dict(options, arch=name).items() if value is not None}
    backbone = PiNASBackbone(**{**(load.describe() if load else {}), **given})
    # Not backbone.init_weights(), which logs every parameter.
    if load is None:
        start(backbone)
    else:
        load(backbone)
    backbone.is_init = True
    return backbone

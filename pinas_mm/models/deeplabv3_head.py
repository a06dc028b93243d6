"""The DeepLabV3 head of the release's segmentation networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import nn


class DeepLabV3ReleaseHead(BaseDecodeHead):  # type: ignore[misc]  # mmseg has no types.
    """DeepLabV3's head as Pi-NAS was released with it (Chen et al., arXiv:1706.05587).

    It differs from mmseg's ``ASPPHead``: the image-pooling branch comes last, a 1x1 convolution
    with 2-d dropout joins the branches before the 3x3 one, and the dropout before the classifier
    drops single values, not whole channels. Its pooled branch is one pixel an image, so that
    training needs batches of two or more a norm group.

    Args:
        in_channels: channels of the backbone's feature map.
        channels: channels of each branch and of what follows them.
        dilations: of the branches before image pooling; 1 is a 1x1 convolution.
        project_dropout_ratio: share of the channels dropped after the branches are joined.
        dropout_ratio: share of the values dropped before the classifier.
        norm_cfg: config of the norm layers; None is BN.
        align_corners: how the pooled branch, the loss and the predictions are resized.
        kwargs: what mmseg's ``BaseDecodeHead`` takes besides (``num_classes``, ``in_index``,
            ``loss_decode``, ...).
    """

    def __init__(
        self,
        in_channels: int = 2048,
        channels: int = 256,
        dilations: Sequence[int] = (1, 12, 24, 36),
        project_dropout_ratio: float = 0.5,
        dropout_ratio: float = 0.1,
        norm_cfg: dict[str, Any] | None = None,
        align_corners: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg or dict(type="BN"),
            align_corners=align_corners,
            **kwargs,
        )
        layers = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.aspp = ASPPModule(tuple(dilations), self.in_channels, channels, **layers)
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), ConvModule(self.in_channels, channels, 1, **layers)
        )
        self.project = ConvModule((len(dilations) + 1) * channels, channels, 1, **layers)
        self.project_dropout = nn.Dropout2d(project_dropout_ratio)
        self.block = ConvModule(channels, channels, 3, padding=1, **layers)
        self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature maps to class scores (N, num_classes, H, W) at the chosen map's resolution."""
        return self.cls_seg(self._forward_feature(inputs))

    def _forward_feature(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        x = self._transform_inputs(inputs)
        pooled = resize(
            self.image_pool(x), x.shape[2:], mode="bilinear", align_corners=self.align_corners
        )
        joined = torch.cat([*self.aspp(x), pooled], dim=1)
        return self.block(self.project_dropout(self.project(joined)))

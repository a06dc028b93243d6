# A space whose architectures differ: what is dear (wide 1x1, which sees no neighbours) can be weak,
# what is cheap (depthwise 5x5) strong, so that cost alone does not decide. 6 blocks, the first of
# the second and third stage without skip: 5^4 * 4^2 = 10,000 architectures.
ranking_space = dict(
    skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=8, stem_stride=2),
    candidates=[
        dict(type="pinas_mm.Identity"),
        dict(type="pinas_mm.ResNetBottleneck", kernel=1, base_width=128),
        dict(
            type="pinas_mm.Module",
            cfg=dict(type="mmengine.ConvModule", kernel_size=3, padding=1, act_cfg=None),
            norm_cfg="norm_cfg",
            residual=True,
            scale="bn.weight",
            name="k3",
        ),
        dict(type="pinas_mm.InvertedResidual", kernel=5, expansion=1),
        dict(type="pinas_mm.ResNetBottleneck", kernel=3, base_width=32, dilation=2, squeeze=4),
    ],
    depths=(2, 2, 2),
    widths=(8, 16, 32),
    strides=(1, 2, 1),
)
channels = 32

# The space of the benchmark of rankings (benchmarks/ranking), twice as wide: what is dear (a wide
# 1x1, which sees no neighbours) can be weak, what is cheap (a depthwise 5x5) strong, so that cost
# alone does not decide. 6 blocks, the first of the second and third stage without skip: 5^4 * 4^2 =
# 10,000 architectures.
demo_space = dict(
    skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=16, stem_stride=2),
    candidates=[
        dict(type="pinas_mm.Identity"),
        dict(type="pinas_mm.ResNetBottleneck", kernel=1, base_width=256),
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
    widths=(16, 32, 64),
    strides=(1, 2, 1),
)

# Gray digits of 12 pixels, each with a fragment of another; CachedDataset decodes each once.
digits_pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
digits_root = "{{$PINAS_DATA:data}}/fragments"
digits = dict(type="pinas_mm.ImageFolder", data_root=digits_root, pipeline=digits_pipeline)
digits_train = dict(**digits, split="train")
digits_val = dict(**digits, split="val")
cached_train = dict(type="pinas_mm.CachedDataset", dataset=digits_train)
cached_val = dict(type="pinas_mm.CachedDataset", dataset=digits_val)
# Of gray images brightness and contrast are all there is of colors; a digit is none when flipped.
digits_views = dict(
    size=12, scale=(0.5, 1.0), hue=0.0, saturation=0.0, gray=0.0, blur=0.0, flip=0.0
)

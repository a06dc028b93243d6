# A space whose architectures differ, small enough for two CPU cores: 4 blocks, 4^4 architectures.
# The paper's split attention, a dear 1x1 that sees no neighbours, a cheap depthwise 5x5, and a
# dilated 3x3 with attention, so that cost alone does not decide.
demo_space = dict(
    candidates=[
        (2, 1, 64),
        dict(type="pinas_mm.ResNetBottleneck", kernel=1, base_width=256),
        dict(type="pinas_mm.ResNetBottleneck", kernel=5, groups=0, base_width=64),
        dict(type="pinas_mm.ResNetBottleneck", kernel=3, base_width=32, dilation=2, squeeze=4),
    ],
    depths=(1, 1, 1, 1),
    widths=(16, 16, 32, 32),
    strides=(2, 1, 2, 1),
    expansion=2,
    stem_widths=(8, 8, 16),
    stem_stride=2,
    stem_pool=False,
)

# Digits of 32 pixels; CachedDataset decodes each once.
digits_pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
digits_root = "{{$PINAS_DATA:data}}/imagenet"
digits = dict(type="pinas_mm.ImageFolder", data_root=digits_root, pipeline=digits_pipeline)
digits_train = dict(**digits, split="train")
digits_val = dict(**digits, split="val")

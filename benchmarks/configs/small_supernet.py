# A small supernet of the paper's kind: split attention and others in ResNeSt's skeleton, 32 pixels.
_base_ = ["../../configs/pinas_supernet.py"]

small_space = dict(
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
space = dict(_delete_=True, **small_space)

model = dict(
    data_preprocessor=dict(
        augment=dict(size=32, scale=(0.4, 1.0), hue=0.2, gray=0.2, blur=0.0, flip=0.0)
    ),
    backbone=dict(space=dict(_delete_=True, **small_space)),
    neck=dict(in_channels=64, hid_channels=128, out_channels=64),
    head=dict(pair=dict(dim=64, queue_size=1024, temperature=0.1)),
    teacher=dict(momentum=0.99),
)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="pinas_mm.AdamW", lr=3e-3, weight_decay=1e-4, fused=True),
)

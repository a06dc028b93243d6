# What the demo's three transfers share: few steps from the searched winner's weights, or from
# random ones; evaluated once, at the end.
_base_ = ["digits_data.py"]

demo_backbone = dict(type="pinas_mm.PiNASBackbone", arch="22-22-22", space=_base_.demo_space)
# Output stride 4, the space's own, and narrow heads: the strokes of the digits are narrow.
# The classifier's weights start larger than the usual 0.01: from nearly equal ones so small a
# network learned where digits are, but not which.
demo_head = dict(
    channels=48,
    num_classes=11,
    dropout_ratio=0.0,
    init_cfg=dict(type="Normal", std=0.3, override=dict(name="conv_seg")),
)
# Crops of enlarged images show things larger than whole images do: DeepLabV3 is tested at 1.25
# times its training's scale.
demo_deeplabv3 = dict(
    backbone=dict(_delete_=True, **demo_backbone),
    decode_head=dict(
        **demo_head, in_channels=64, in_index=2, dilations=(1, 2, 4, 6), project_dropout_ratio=0.0
    ),
    auxiliary_head=dict(**demo_head, in_channels=32, in_index=1),
)
demo_optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=5),
)
demo_optim_wrapper_deeplabv3 = dict(
    demo_optim_wrapper, optimizer=dict(type="AdamW", lr=8e-3, weight_decay=0.05)
)
# Not flipped: a digit would be none.
demo_rotation = dict(type="RandomRotate", prob=0.7, degree=15, pad_val=0, seg_pad_val=255)
# The digits' colors are random: any hue (of OpenCV's 180) is as likely.
demo_distortion = dict(type="PhotoMetricDistortion", hue_delta=90)
# The cosine ends where the training does.
demo_schedule = [
    dict(type="LinearLR", start_factor=0.01, end=50, by_epoch=False),
    dict(type="CosineAnnealingLR", by_epoch=False),
]
demo_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False), checkpoint=dict(interval=200)
)
demo_loader = dict(num_workers=0, persistent_workers=False)
# In TensorBoard, beside the curves.
demo_pictures = dict(type="pinas_mm.PicturesHook", validation=4)
demo_vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]

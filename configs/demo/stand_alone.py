# An architecture of the demo's space trained alone, with labels, from random weights.
_base_ = ["../_base_/runtime.py", "digits_data.py"]

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(
        type="pinas_mm.LabelledViewsPreprocessor",
        augment=dict(_base_.digits_views, scale=(0.7, 1.0)),
    ),
    backbone=dict(type="pinas_mm.PiNASBackbone", arch="22-22-22", space={{_base_.demo_space}}),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="LinearClsHead",
        num_classes=10,
        in_channels=64,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
    ),
)
demo_loader = dict(num_workers=0, collate_fn=dict(type="pseudo_collate"))
train_dataloader = dict(
    **demo_loader,
    batch_size=64,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=_base_.cached_train,
)
val_dataloader = dict(
    **demo_loader,
    batch_size=250,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=_base_.cached_val,
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=1)
test_evaluator = val_evaluator

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
# 187 steps an epoch. Evaluated once, at the end.
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=6, val_interval=6)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", begin=1, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=6))

# A classifier on a supernet, trained along single paths.
#
# Type and number of the paths, what is frozen and the schedule are the configs' that inherit this.

model = dict(
    type="pinas_mm.SinglePath",
    model=dict(
        type="ImageClassifier",
        data_preprocessor=dict(
            type="ClsDataPreprocessor",
            num_classes=1000,
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            to_rgb=True,
        ),
        backbone=dict(type="pinas_mm.PiNASSupernet"),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(
            type="LinearClsHead",
            num_classes=1000,
            in_channels=2048,
            loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
            topk=(1, 5),
        ),
    ),
    paths=dict(type="pinas_mm.UniformPaths", num_paths=1),
)

# A step leaves most candidates without gradient.
model_wrapper_cfg = dict(type="pinas_mm.PathDataParallel")

# The classifier that small_linear.py probes for, stand-alone: one architecture of its space.
_base_ = ["small_linear.py"]

model = dict(
    _delete_=True,
    type="ImageClassifier",
    data_preprocessor={{_base_.model.model.data_preprocessor}},
    backbone=dict(
        type="pinas_mm.PiNASBackbone",
        arch="31-2",
        space={{_base_.small_space}},
        norm_cfg=dict(type="SyncBN"),
    ),
    neck={{_base_.model.model.neck}},
    head={{_base_.model.model.head}},
)
val_cfg = dict(_delete_=True)
test_cfg = dict(_delete_=True)

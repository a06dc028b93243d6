# What trainings with labels share: one view of each image, augmented as of architectures alone.
_base_ = ["../../../configs/spos.py", "space.py", "digits.py", "schedule.py"]

space = dict(_delete_=True, **_base_.ranking_space)

model = dict(
    model=dict(
        data_preprocessor=dict(
            _delete_=True,
            type="pinas_mm.LabelledViewsPreprocessor",
            mean={{_base_.mean}},
            std={{_base_.std}},
            augment={{_base_.labelled_views}},
        ),
        head=dict(
            num_classes=10,
            in_channels={{_base_.channels}},
            loss=dict(_delete_=True, type="CrossEntropyLoss"),
        ),
    ),
)
loader = dict(num_workers=0, collate_fn=dict(type="pseudo_collate"))
train_dataloader = dict(batch_size=64, **loader, dataset=dict(_delete_=True, **_base_.digits_train))
val_dataloader = dict(batch_size=250, **loader, dataset=dict(_delete_=True, **_base_.digits_val))
test_dataloader = dict(batch_size=250, **loader, dataset=dict(_delete_=True, **_base_.digits_val))
calibration_loader = dict(batch_size=250, **loader)
calibration = dict(calibration_batches=20, num_archs=4)
val_cfg = dict(
    **calibration,
    calibration_dataloader=dict(
        **calibration_loader, dataset=dict(_delete_=True, **_base_.digits_train)
    ),
)
test_cfg = val_cfg

search = dict(
    score=dict(type="pinas_mm.ProbeScore", topk=1),
    objectives=["accuracy/top1"],
    calibration_batches=20,
    memory="512M",
    batch=200,
)

# The same with masks. mmdet's base for them keeps polygons; bitmaps also take run-length codes.
_base_ = ["coco_detection.py"]

train_pipeline = [
    _base_.load_image,
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="RandomChoiceResize",
        scales=[(1333, 640), (1333, 672), (1333, 704), (1333, 736), (1333, 768), (1333, 800)],
        keep_ratio=True,
        backend="pillow",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    _base_.load_image,
    dict(type="Resize", scale=(1333, 800), keep_ratio=True, backend="pillow"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = dict(metric=["bbox", "segm"])

held_out_pipeline = [*test_pipeline[:-1], _base_.held_out_pack]
train_images = dict(pipeline=train_pipeline)
training_part = dict(dataset=train_images)
held_out_part = dict(dataset=dict(pipeline=held_out_pipeline))
calibration_pipeline = [*train_pipeline[:-1], _base_.calibration_crop, train_pipeline[-1]]
calibration_dataloader = dict(dataset=dict(dataset=dict(pipeline=calibration_pipeline)))

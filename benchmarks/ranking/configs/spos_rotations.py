# SPOS without labels: the classes are the four turns of an image.
_base_ = ["spos.py"]
custom_imports = dict(
    imports=["pinas_mm", "benchmarks.ranking.rotations"], allow_failed_imports=False
)

model = dict(model=dict(head=dict(num_classes=4)))
turned = dict(type="pinas_mm.RotatedDataset")
train_dataloader = dict(dataset=turned)
val_dataloader = dict(dataset=turned)
test_dataloader = dict(dataset=turned)
val_cfg = dict(calibration_dataloader=dict(dataset=turned))
test_cfg = dict(calibration_dataloader=dict(dataset=turned))
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator

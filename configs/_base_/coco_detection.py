# COCO 2017 as the paper trains on it, and as mmdet's own base has it: 8 GPUs of 2 images, 90,000
# iterations, shortest side 640 to 800.
_base_ = ["mmdet::common/ms-90k_coco.py"]

data_root = "{{$PINAS_DATA:data}}/coco/"
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")

default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, backend_args=dict(backend="atomic")))

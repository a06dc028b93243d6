# The search of that supernet by box AP; how it is run: _base_/task_search.py.
_base_ = ["fcos_pinas-supernet_fpn_syncbn_ms-90k_coco.py", "../_base_/task_search.py"]

search = dict(score=dict(metrics=_base_.val_evaluator), objectives=["coco/bbox_mAP"])

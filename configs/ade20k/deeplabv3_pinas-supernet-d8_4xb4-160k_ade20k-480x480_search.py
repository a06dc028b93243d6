# The search of that supernet by mIoU; how it is run: _base_/task_search.py.
_base_ = ["deeplabv3_pinas-supernet-d8_4xb4-160k_ade20k-480x480.py", "../_base_/task_search.py"]

search = dict(score=dict(metrics=_base_.val_evaluator), objectives=["mIoU"])

# The search of that supernet by mIoU; how it is run: _base_/task_search.py.
_base_ = ["upernet_pinas-supernet_4xb2-80k_cityscapes-768x768.py", "../_base_/task_search.py"]

search = dict(score=dict(metrics=_base_.val_evaluator), objectives=["mIoU"])

# configs/pinas_search.py on the space and images of small_linear.py.
_base_ = ["small_linear.py"]

search = dict(
    score=dict(type="pinas_mm.ProbeScore", topk=(1, 5)),
    objectives=["accuracy/top1"],
    trials=12,
    sampler=dict(type="EvolutionSampler"),
    batch=4,
    images=None,
    calibration_batches=2,
    heartbeat=1,
    grace=3,
)

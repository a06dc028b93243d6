# configs/pinas_search.py on the demo's space and images: 100 of its 256 architectures.
_base_ = ["digits_linear.py"]

search = dict(
    score=dict(type="pinas_mm.ProbeScore", topk=(1, 5)),
    objectives=["accuracy/top1"],
    trials=100,
    sampler=dict(type="pinas_mm.PredictorSampler"),
    calibration_batches=20,
    memory="512M",
)

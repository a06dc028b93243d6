# configs/pinas_search.py on the demo's space and images: 200 of its 10,000 architectures.
_base_ = ["digits_linear.py"]

search = dict(
    score=dict(type="pinas_mm.ProbeScore", topk=(1, 5)),
    objectives=["accuracy/top1"],
    trials=200,
    sampler=dict(type="pinas_mm.PredictorSampler"),
    calibration_batches=20,
    memory="512M",
)

# Search of a supernet that nobody has trained, by a zero-cost score; it reads neither labels nor
# training images. A checkpoint in place of "untrained" scores the trained weights. What is not said
# here is as in pinas_search.py.
# python tools/search.py configs/pinas_search_zero_cost.py untrained
_base_ = ["pinas_supernet.py"]

search = dict(
    # NASWOTScore, GradNormScore and CostScore give zero_cost/naswot, /grad_norm, /params and /macs.
    score=dict(type="pinas_mm.SynFlowScore"),
    objectives=["zero_cost/synflow"],
    constraints=["macs<=5.3G"],  # without a bound larger networks win
    trials=1000,
    num_classes=1000,  # of the classifier that costs count; there is none here
)

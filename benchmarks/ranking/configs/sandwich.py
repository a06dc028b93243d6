# The sandwich rule: the dearest, the cheapest and two random paths a step.
_base_ = ["spos.py"]

model = dict(paths=dict(type="pinas_mm.SandwichPaths", num_paths=4, image_size=12))

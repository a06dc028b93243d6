# Without cross-path learning: each path is compared with itself.
_base_ = ["pinas.py"]

model = dict(head=dict(cross=False))

# Without negatives.
_base_ = ["pinas.py"]

model = dict(head=dict(pair=dict(_delete_=True, type="pinas_mm.PiModelHead")))

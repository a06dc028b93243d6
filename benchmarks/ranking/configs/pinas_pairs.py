# Pi-NAS on pairs of two images of one class: labels say nothing else.
_base_ = ["pinas.py"]
custom_imports = dict(imports=["pinas_mm", "benchmarks.ranking.pairs"], allow_failed_imports=False)

model = dict(data_preprocessor=dict(type="pinas_mm.ClassPairsPreprocessor"))

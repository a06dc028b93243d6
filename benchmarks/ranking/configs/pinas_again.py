# Pi-NAS once more, to be scored in more ways.
_base_ = ["pinas.py"]
custom_imports = dict(
    imports=["pinas_mm", "benchmarks.ranking.consensus"], allow_failed_imports=False
)

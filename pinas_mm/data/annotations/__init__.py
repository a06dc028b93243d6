"""A look at the annotations that a config names, before a run: are they what it takes them for?"""

from pinas_mm.data.annotations.look import Look, check_data_sets, looks

__all__ = ["Look", "check_data_sets", "looks"]

"""The Optuna study, its locks, and what is found."""

from pinas_mm.stack import needs

needs("optuna", "sklearn", "threadpoolctl", "jinja2", what="a search")

"""The Optuna study, its locks, and what is found."""

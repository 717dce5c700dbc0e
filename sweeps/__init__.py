"""The search over configurations of `stclip`: Optuna remembers, Ray runs."""

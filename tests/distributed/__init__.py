"""Several processes at one reconstruction."""

"""Benchmarks of predeploy's speed and of how long it blocks others, as ratios within one run."""

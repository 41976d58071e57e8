"""The layers, in the order in which they run."""

from job.layers import migrate, seed, verify

PIPELINE = (migrate.LAYER, seed.LAYER, verify.LAYER)

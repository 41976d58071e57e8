"""The layers, in the order in which they run."""

from job.layers import fallback, migrate, seed, verify

PIPELINE = (migrate.LAYER, fallback.LAYER, seed.LAYER, verify.LAYER)

"""The layers, in the order in which they run."""

from predeploy.layers import fallback, migrate, seed, sync, verify

PIPELINE = (migrate.LAYER, sync.LAYER, fallback.LAYER, seed.LAYER, verify.LAYER)

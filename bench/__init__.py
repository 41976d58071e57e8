"""How fast predeploy is and whom it keeps waiting, beside others, as ratios within one run."""

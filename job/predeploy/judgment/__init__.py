"""Decisions about a step before and after it runs. Pure.

Before: how it is delivered. After: whether it may be kept. `layers` decides what a layer plans.
"""

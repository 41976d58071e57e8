"""What is decided of a step before it runs and after it has run. Pure.

How it is delivered, and whether it may be kept. What a layer plans is decided in `layers`.
"""

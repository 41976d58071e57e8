"""What notices that a step takes something away: before it, within it, after it.

It looks and counts. Whether the loss is declared is judged in `judgment`.
"""

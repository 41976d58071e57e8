"""The input of a layer's planning: files and ledger side by side, and how they are related.

What runs is not decided here.
"""

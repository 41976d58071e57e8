"""The input of a layer's planning: files and ledger side by side, and how they are related.

So is what several layers ask, such as which critical tables are missing. What runs is not decided
here.
"""

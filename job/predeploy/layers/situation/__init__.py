"""What a layer is given when it plans: files and ledger side by side, and how they are related.

Nothing is decided here about what runs.
"""

"""What a run holds while it lasts: two connections, the lock, patience, its ledger.

What happens to one step alone is `steps`.
"""

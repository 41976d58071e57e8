"""What a run holds while it lasts: two connections, the lock, time budgets, its ledger.

How a single step runs belongs in `steps`.
"""

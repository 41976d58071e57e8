"""The tables of ours, and what is asked of them: one module a table or question.

They are made in `session/ledger_setup`, once a run has the lock.
"""

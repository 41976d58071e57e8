"""The ledger's tables and the queries on them: one module for each table or question.

The tables are created in `session/ledger_setup`, once a run has the lock.
"""

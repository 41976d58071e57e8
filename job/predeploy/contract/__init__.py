"""The vocabulary that every room shares: exit codes, errors, plans, results and the report.

Plain values without behaviour. Nothing here does I/O or makes a decision.
"""

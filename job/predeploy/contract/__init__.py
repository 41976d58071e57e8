"""The words that every room shares: exit codes, errors, plans and what came of them, the report.

Plain values without behaviour of their own. Nothing here reads, asks or decides.
"""

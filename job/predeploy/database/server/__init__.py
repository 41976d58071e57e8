"""A server and how to talk to it: connections, messages, settings, the meaning of errors.

Knows nothing of a ledger, a file or a step of a plan.
"""

"""One server and how to talk to it: connections, messages, settings, and what its errors mean.

Nothing here knows a ledger, a file or a step of a plan.
"""

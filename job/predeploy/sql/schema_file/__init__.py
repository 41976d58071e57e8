"""How schema files are read: which statements declare, of what, in which order a shadow runs them.

No fact is made here: PostgreSQL itself reads what they declare.
"""

"""Read-only queries on the catalogs: names, shapes, owners, grants, fingerprints.

Counting rows belongs in `sentinel`; predeploy's own tables belong in `ledger`.
"""

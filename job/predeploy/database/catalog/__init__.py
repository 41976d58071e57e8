"""Questions to the catalogs that change nothing: names, shapes, owners, grants, fingerprints.

What counts rows is `sentinel`; what we keep ourselves is `ledger`.
"""

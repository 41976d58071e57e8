"""Tools whose files have a part that migrates and a part that undoes it, each behind a mark.

The part that undoes is never run. What a mark is, and how a file falls apart, is in `sections`; a
tool whose files have one part only belongs one room up.
"""

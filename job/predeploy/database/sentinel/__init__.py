"""The sentinel: notices before, during and after a step whether the step removes anything.

It only looks and counts. Whether a loss is declared is judged in `judgment`.
"""

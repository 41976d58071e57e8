"""Cases of `migrate` besides pending files: adoption, squashes, manual corrections, undone files.

Each answers a question of `migrate`.
"""

"""Cases of `migrate` beside pending files: adoption, squashes, corrections by hand, undone files.

Each is a question that `migrate` asks; none plans a step by itself.
"""

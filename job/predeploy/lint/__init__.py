"""`predeploy lint`: what may go wrong with the files of a folder, without a database.

The rules themselves are in `sql.rules`. Here is what they are applied to, and what silences them.
Nothing here reads a file or asks a database.
"""

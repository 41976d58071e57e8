"""The operator's own command: its process, its sessions on the server, what it changed.

`run_command` is the only entry point. The command is never trusted to tell what it has done: the
catalog is read before and after it. What layers plan and what steps are belongs elsewhere.
"""

"""The worker: a supervisor that owns processes, a consumer that owns the file, children that run.

`supervisor.Supervisor` is what ``litequeue worker`` starts.  ARCHITECTURE.md draws the three.
"""

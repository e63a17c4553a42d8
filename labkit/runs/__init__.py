"""A lab's run: options, loop, checkpoints, what is logged and shown, reports, and the list of all runs.

Imports data and base. Runs in a stack's interpreter, with torch; records, report and launch on the host too.
"""

"""Stacks: which there are, which fits this machine, and each as a native environment or a container image.

Imports runs, data and base. Runs in the host's interpreter, without torch; only selftest runs in a stack's.
"""

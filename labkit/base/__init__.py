"""The ground: errors, paths, console, files, typed records, programs, the computer, and what each lab.toml says.

Imports nothing of labkit. Runs in the host's interpreter and in every stack's (Python 3.8 or newer).
"""

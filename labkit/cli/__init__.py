"""The command line: the program `invoke` with our manners, and what each task of tasks.py does.

Imports every other room. Runs in the host's interpreter, or in an image's.
"""

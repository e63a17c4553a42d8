"""Data sets: which there are, how each is fetched, compared with its hashes, unpacked, drawn as a sample and read.

Imports base. Runs in the host's interpreter; pickles, idx, shapes and scenes need numpy and run in a stack's.
"""

"""Slow and plain versions of what cskt computes, in the style of the released code, for tests and for `make bench`.

Each is written down from the specification: loops over images and landmarks, a scan of the annotation table and a full
decode of the photograph for each item. They are correct, and meant to be read, not used.
"""

"""Annotations, the embedded zoo, crops and data sets."""

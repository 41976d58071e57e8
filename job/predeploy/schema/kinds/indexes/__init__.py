"""Indexes, and how they are built over partitions without keeping anybody waiting."""

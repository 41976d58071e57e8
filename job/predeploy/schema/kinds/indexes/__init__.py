"""Indexes, and how they are built on partitions without blocking other sessions."""

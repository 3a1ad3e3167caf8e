"""What a standalone export ships beside the readers of the columns: everything below the marker line of each file.

These files import numpy and the standard library alone (LightGBM where trees are in the product), and nothing of each other.
"""

"""A laboratory for one question: how do Tiny Recursive Models scale? (TRM, arXiv 2510.04871)"""

__version__ = "0.1.0"

"""Sudoku of any box shape up to side 9."""

"""Mazes: the shortest path from S to G through a grid of walls."""

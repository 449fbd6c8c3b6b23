"""The compiled inner loops of mazes: making one, measuring it, judging an answer.

They stand in one file, with a random stream of their own, because numba's cache only notices a change of a
function's own file.

Cells are flat. `neighbours` [C, 4] holds the cells above, below, left and right of each, and C where the grid
ends; `is_free` [C + 1] is False there, so that no loop has to ask about edges.
"""

import numpy as np
from numba import njit

WALL, FREE, START, GOAL, PATH = 1, 2, 3, 4, 5


@njit(cache=True, nogil=True)
def _next(state):  # type: ignore[no-untyped-def]
    """64 random bits (splitmix64). Our own, because streams of libraries change with versions."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    value = state[0]
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _below(state, bound):  # type: ignore[no-untyped-def]
    """A random integer in 0 .. bound - 1."""
    return np.int64(((_next(state) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@njit(cache=True, nogil=True)
def neighbours_of(side):  # type: ignore[no-untyped-def]
    cells = side * side
    neighbours = np.full((cells, 4), cells)
    for cell in range(cells):
        if cell >= side:
            neighbours[cell, 0] = cell - side
        if cell < cells - side:
            neighbours[cell, 1] = cell + side
        if cell % side > 0:
            neighbours[cell, 2] = cell - 1
        if cell % side < side - 1:
            neighbours[cell, 3] = cell + 1
    return neighbours


@njit(cache=True, nogil=True)
def measure(is_free, neighbours, start, distance, paths, queue):  # type: ignore[no-untyped-def]
    """Breadth-first search from `start` over free cells; returns how many cells it reaches.

    `distance` [C] becomes the moves from the start, -1 where none lead. `paths` [C] becomes the number of
    shortest paths, 2 standing for two or more: a cell has the sum of its neighbours in the layer before.
    `queue` [C] holds the reached cells, nearest first.
    """
    distance[:] = -1
    distance[start] = 0
    paths[start] = 1
    queue[0] = start
    reached = 1
    done = 0
    while done < reached:
        cell = queue[done]
        done += 1
        for direction in range(4):
            other = neighbours[cell, direction]
            if not is_free[other]:
                continue
            if distance[other] < 0:
                distance[other] = distance[cell] + 1
                paths[other] = paths[cell]
                queue[reached] = other
                reached += 1
            elif distance[other] == distance[cell] + 1:
                paths[other] = min(2, paths[other] + paths[cell])
    return reached


@njit(cache=True, nogil=True)
def _scatter_walls(state, is_free, order, fewest, most):  # type: ignore[no-untyped-def]
    """A number of walls from `fewest` to `most`, uniform, in distinct random cells."""
    cells = order.shape[0]
    count = fewest + _below(state, most - fewest + 1)
    for index in range(cells):
        is_free[index] = True
        order[index] = index
    for index in range(count):
        other = index + _below(state, cells - index)
        order[index], order[other] = order[other], order[index]
        is_free[order[index]] = False


@njit(cache=True, nogil=True)
def _carve(state, is_free, neighbours, side, stack):  # type: ignore[no-untyped-def]
    """A perfect maze by a depth-first walk over the cells of even row and column."""
    is_free[:] = False
    outside = side * side
    rooms = (side + 1) // 2
    first = 2 * side * _below(state, rooms) + 2 * _below(state, rooms)
    is_free[first] = True
    stack[0] = first
    depth = 0
    while depth >= 0:
        cell = stack[depth]
        chosen, choices = -1, 0
        for direction in range(4):
            between = neighbours[cell, direction]
            if between == outside or neighbours[between, direction] == outside:
                continue
            if not is_free[neighbours[between, direction]]:
                choices += 1
                # Each of the choices so far is kept with the same probability.
                if _below(state, choices) == 0:
                    chosen = direction
        if chosen < 0:
            depth -= 1
            continue
        between = neighbours[cell, chosen]
        room = neighbours[between, chosen]
        is_free[between] = True
        is_free[room] = True
        depth += 1
        stack[depth] = room


@njit(cache=True, nogil=True)
def _draw_goal(state, distance, queue, reached, low, high):  # type: ignore[no-untyped-def]
    """A random cell that is `low` to `high` moves from the start, or -1."""
    # The queue is in the order of distance, so these cells are one stretch of it.
    first = reached
    while first > 0 and distance[queue[first - 1]] >= low:
        first -= 1
    last = reached
    while last > first and distance[queue[last - 1]] > high:
        last -= 1
    return queue[first + _below(state, last - first)] if first < last else -1


@njit(cache=True, nogil=True)
def _keep_one_path(  # type: ignore[no-untyped-def]
    state, is_free, neighbours, start, goal, distance, queue, before, label
):
    """Wall off what makes another shortest path to `goal`; write the maze and the one left into `label`.

    A shortest path is unique when each of its cells has one neighbour in the layer before. Of all shortest
    paths the one is kept that needs the fewest new walls (among equals a random one). Walls only lengthen
    ways, so what is done for one cell of the path holds after the next. Returns the number of new walls.
    """
    cells = label.shape[0]
    cost = np.zeros(cells, dtype=np.int64)
    for place in range(1, cells):
        cell = queue[place]
        ways, ties = 0, 0
        for direction in range(4):
            other = neighbours[cell, direction]
            if not is_free[other] or distance[other] != distance[cell] - 1:
                continue
            ways += 1
            if ways == 1 or cost[other] < cost[before[cell]]:
                before[cell] = other
                ties = 1
            elif cost[other] == cost[before[cell]]:
                ties += 1
                if _below(state, ties) == 0:
                    before[cell] = other
        cost[cell] = cost[before[cell]] + ways - 1
        if cell == goal:
            break
    label[:] = FREE
    cell, added = goal, 0
    while cell != start:
        label[cell] = PATH
        for direction in range(4):
            other = neighbours[cell, direction]
            if is_free[other] and other != before[cell] and distance[other] == distance[cell] - 1:
                is_free[other] = False
                added += 1
        cell = before[cell]
    for cell in range(cells):
        if not is_free[cell]:
            label[cell] = WALL
    return added


@njit(cache=True, nogil=True)
def _make(  # type: ignore[no-untyped-def]
    state, side, neighbours, perfect, fewest, most, low, high, maps, tokens, label
):
    """Draw walls until two cells are `low` to `high` moves apart, then leave them one shortest path.

    The start is a random free cell. Where no cell is far enough from it, the cell farthest from it is tried
    as the start: long paths are rare, and this finds several times as many of them.

    Returns the moves (0 when `maps` wall maps gave none), the largest distance met, and the walls added.
    """
    cells = side * side
    is_free = np.zeros(cells + 1, dtype=np.bool_)
    scratch = np.empty(cells, dtype=np.int64)
    queue = np.empty(cells, dtype=np.int64)
    distance = np.empty(cells + 1, dtype=np.int64)
    paths = np.empty(cells, dtype=np.int64)
    longest = 0
    for _ in range(maps):
        if perfect:
            _carve(state, is_free, neighbours, side, scratch)
        else:
            _scatter_walls(state, is_free, scratch, fewest, most)
        start = _below(state, cells)
        while not is_free[start]:
            start = _below(state, cells)
        reached = measure(is_free, neighbours, start, distance, paths, queue)
        goal = -1
        if reached > low:
            goal = _draw_goal(state, distance, queue, reached, low, high)
            if goal < 0 and distance[queue[reached - 1]] < low:
                start = queue[reached - 1]
                measure(is_free, neighbours, start, distance, paths, queue)
                goal = _draw_goal(state, distance, queue, reached, low, high)
        longest = max(longest, distance[queue[reached - 1]])
        if goal < 0:
            continue
        added = _keep_one_path(state, is_free, neighbours, start, goal, distance, queue, scratch, label)
        moves = distance[goal]
        if _below(state, 2):
            # Otherwise the farthest cell of a maze would nearly always be its start.
            start, goal = goal, start
        label[start] = START
        label[goal] = GOAL
        for cell in range(cells):
            tokens[cell] = FREE if label[cell] == PATH else label[cell]
        return moves, longest, added
    return 0, longest, 0


@njit(cache=True, nogil=True)
def make_many(  # type: ignore[no-untyped-def]
    states, side, perfect, fewest, most, low, high, maps, inputs, labels, moves, longest, added
):
    neighbours = neighbours_of(side)
    for row in range(states.shape[0]):
        moves[row], longest[row], added[row] = _make(
            states[row], side, neighbours, perfect, fewest, most, low, high, maps, inputs[row], labels[row]
        )


@njit(cache=True, nogil=True)
def shortest_many(inputs, side, moves, paths_to_goal):  # type: ignore[no-untyped-def]
    """Moves of a shortest path of each maze [N] (-1: none), and how many such paths, saturating at 2."""
    cells = side * side
    neighbours = neighbours_of(side)
    is_free = np.zeros(cells + 1, dtype=np.bool_)
    queue = np.empty(cells, dtype=np.int64)
    distance = np.empty(cells + 1, dtype=np.int64)
    paths = np.empty(cells, dtype=np.int64)
    for row in range(inputs.shape[0]):
        start, goal = 0, 0
        for cell in range(cells):
            is_free[cell] = inputs[row, cell] != WALL
            if inputs[row, cell] == START:
                start = cell
            elif inputs[row, cell] == GOAL:
                goal = cell
        measure(is_free, neighbours, start, distance, paths, queue)
        moves[row] = distance[goal]
        paths_to_goal[row] = paths[goal] if distance[goal] >= 0 else 0


@njit(cache=True, nogil=True)
def verify_many(inputs, moves, answers, side, valid):  # type: ignore[no-untyped-def]
    """Whether each answer [N] keeps its maze and draws one of its shortest paths, which has `moves` [N]."""
    cells = side * side
    neighbours = neighbours_of(side)
    on_path = np.zeros(cells + 1, dtype=np.bool_)
    queue = np.empty(cells, dtype=np.int64)
    distance = np.empty(cells + 1, dtype=np.int64)
    paths = np.empty(cells, dtype=np.int64)
    for row in range(inputs.shape[0]):
        start, goal, drawn = 0, 0, 0
        kept = True
        for cell in range(cells):
            given, answer = inputs[row, cell], answers[row, cell]
            if answer != given and not (given == FREE and answer == PATH):
                kept = False
                break
            on_path[cell] = answer >= START
            drawn += on_path[cell]
            if answer == START:
                start = cell
            elif answer == GOAL:
                goal = cell
        # As many cells as a shortest path has, joining start and goal: none is spare, so the path is simple.
        if not kept or drawn != moves[row] + 1:
            valid[row] = False
            continue
        measure(on_path, neighbours, start, distance, paths, queue)
        valid[row] = distance[goal] == moves[row]

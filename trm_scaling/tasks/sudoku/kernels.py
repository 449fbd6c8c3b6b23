"""The compiled inner loops of solving and generating, apart from the functions that people call.

They stand in one file because numba's cache only notices a change of a function's own file: with
the solver elsewhere, a generator compiled before would go on using the old one.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def propagate(masks, queue, queued, peers, units):  # type: ignore[no-untyped-def]
    """Spread the `queued` decided cells of `queue` over `masks` in place; False on contradiction.

    Every cell enters the queue once, when its mask becomes a single bit.
    """
    full = (1 << units.shape[1]) - 1
    while True:
        while queued > 0:
            queued -= 1
            cell = queue[queued]
            bit = masks[cell]
            for index in range(peers.shape[1]):
                peer = peers[cell, index]
                mask = masks[peer]
                if mask & bit:
                    mask ^= bit
                    if mask == 0:
                        return False
                    masks[peer] = mask
                    if mask & (mask - 1) == 0:
                        queue[queued] = peer
                        queued += 1
        for unit in range(units.shape[0]):
            once, twice = np.int64(0), np.int64(0)
            for index in range(units.shape[1]):
                places = np.int64(masks[units[unit, index]])
                twice |= once & places
                once |= places
            if once != full:
                return False
            single = once & ~twice
            if single == 0:
                continue
            for index in range(units.shape[1]):
                cell = units[unit, index]
                mask = np.int64(masks[cell])
                hidden = mask & single
                if hidden and mask & (mask - 1):
                    if hidden & (hidden - 1):
                        return False
                    masks[cell] = hidden
                    queue[queued] = cell
                    queued += 1
        if queued == 0:
            return True


@njit(cache=True)
def most_constrained(masks):  # type: ignore[no-untyped-def]
    """The first cell with the fewest candidates above one, or -1 when all cells are decided."""
    best, fewest = -1, 99
    for cell in range(masks.shape[0]):
        mask = masks[cell]
        rest = mask & (mask - 1)
        if rest:
            if rest & (rest - 1) == 0:
                return cell
            count = 2
            while rest:
                rest &= rest - 1
                count += 1
            if count < fewest:
                best, fewest = cell, count
    return best


@njit(cache=True)
def search(givens, barred_cell, limit, solution, peers, units):  # type: ignore[no-untyped-def]
    """Count solutions up to `limit`, and the guesses made.

    Args:
        givens: digits [C], 0 blank.
        barred_cell: a blank cell that may not hold `solution[barred_cell]`, or -1. It turns "is
            the puzzle still unique without this given" into a search that mostly fails at once.
        solution: digits [C]; the last solution found is written into it when none is barred.

    Returns:
        (solutions found, guesses)
    """
    cells = givens.shape[0]
    stack = np.empty((cells + 1, cells), dtype=np.uint16)
    branch_cell = np.empty(cells + 1, dtype=np.int64)
    untried = np.empty(cells + 1, dtype=np.uint16)
    queue = np.empty(cells, dtype=np.int64)
    masks = stack[0]
    masks[:] = (1 << units.shape[1]) - 1
    queued = 0
    for cell in range(cells):
        if givens[cell]:
            masks[cell] = 1 << (givens[cell] - 1)
            queue[queued] = cell
            queued += 1
    if barred_cell >= 0:
        masks[barred_cell] ^= np.uint16(1 << (solution[barred_cell] - 1))
        if masks[barred_cell] & (masks[barred_cell] - 1) == 0:
            queue[queued] = barred_cell
            queued += 1
    if not propagate(masks, queue, queued, peers, units):
        return 0, 0
    found, guesses, depth, descending = 0, 0, 0, True
    while depth >= 0:
        if descending:
            cell = most_constrained(stack[depth])
            if cell < 0:
                found += 1
                if barred_cell < 0:
                    for index in range(cells):
                        mask = stack[depth, index]
                        digit = 0
                        while mask:
                            mask >>= 1
                            digit += 1
                        solution[index] = digit
                if found >= limit:
                    break
                depth -= 1
                descending = False
                continue
            branch_cell[depth] = cell
            untried[depth] = stack[depth, cell]
        mask = np.int64(untried[depth])
        if mask == 0:
            depth -= 1
            descending = False
            continue
        bit = mask & -mask
        untried[depth] = mask ^ bit
        guesses += 1
        stack[depth + 1] = stack[depth]
        stack[depth + 1, branch_cell[depth]] = bit
        queue[0] = branch_cell[depth]
        descending = propagate(stack[depth + 1], queue, 1, peers, units)
        if descending:
            depth += 1
    return found, guesses


@njit(cache=True)
def search_many(puzzles, solutions, found, ratings, peers, units):  # type: ignore[no-untyped-def]
    for row in range(puzzles.shape[0]):
        found[row], ratings[row] = search(puzzles[row], -1, 2, solutions[row], peers, units)


@njit(cache=True)
def _next(state):  # type: ignore[no-untyped-def]
    """64 random bits (splitmix64). Our own, because streams of libraries change with versions."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    value = state[0]
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True)
def _below(state, bound):  # type: ignore[no-untyped-def]
    """A random integer in 0 .. bound - 1."""
    return np.int64(((_next(state) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@njit(cache=True)
def _shuffle(state, values, count):  # type: ignore[no-untyped-def]
    for last in range(count - 1, 0, -1):
        other = _below(state, last + 1)
        values[last], values[other] = values[other], values[last]


@njit(cache=True)
def _random_grid(state, solution, peers, units):  # type: ignore[no-untyped-def]
    """Fill `solution` with a random valid grid: depth-first, digits in random order."""
    cells, side = solution.shape[0], units.shape[1]
    stack = np.empty((cells + 1, cells), dtype=np.uint16)
    branch_cell = np.empty(cells + 1, dtype=np.int64)
    untried = np.empty(cells + 1, dtype=np.uint16)
    queue = np.empty(cells, dtype=np.int64)
    stack[0, :] = (1 << side) - 1
    depth, descending = 0, True
    while True:
        if descending:
            cell = most_constrained(stack[depth])
            if cell < 0:
                break
            branch_cell[depth] = cell
            untried[depth] = stack[depth, cell]
        if untried[depth] == 0:
            depth -= 1
            descending = False
            continue
        digit = _below(state, side)
        while not (untried[depth] >> digit) & 1:
            digit = _below(state, side)
        untried[depth] ^= np.uint16(1 << digit)
        stack[depth + 1] = stack[depth]
        stack[depth + 1, branch_cell[depth]] = 1 << digit
        queue[0] = branch_cell[depth]
        descending = propagate(stack[depth + 1], queue, 1, peers, units)
        if descending:
            depth += 1
    for index in range(cells):
        mask = stack[depth, index]
        digit = 0
        while mask:
            mask >>= 1
            digit += 1
        solution[index] = digit


@njit(cache=True)
def _dig(state, puzzle, solution, target, order, peers, units):  # type: ignore[no-untyped-def]
    """Remove givens in random order down to `target` of them; returns (givens left, solver calls)."""
    count, searches = 0, 0
    for cell in range(puzzle.shape[0]):
        if puzzle[cell]:
            order[count] = cell
            count += 1
    _shuffle(state, order, count)
    left = count
    for index in range(count):
        if left <= target:
            break
        cell = order[index]
        puzzle[cell] = 0
        searches += 1
        others, _ = search(puzzle, cell, 1, solution, peers, units)
        if others:
            puzzle[cell] = solution[cell]
        else:
            left -= 1
    return left, searches


@njit(cache=True)
def _put_back(state, puzzle, solution, count):  # type: ignore[no-untyped-def]
    """Fill `count` random blanks (or all, if there are fewer) from the solution."""
    cells = puzzle.shape[0]
    for _ in range(count):
        cell = _below(state, cells)
        for _ in range(cells):
            if puzzle[cell] == 0:
                puzzle[cell] = solution[cell]
                break
            cell = (cell + 1) % cells


@njit(cache=True)
def _candidate(  # type: ignore[no-untyped-def]
    state, puzzle, solution, target, minimal, low, high, effort, peers, units
):
    """Make one puzzle in place; returns (rating, givens, whether the wish is met, solver calls)."""
    cells = puzzle.shape[0]
    order = np.empty(cells, dtype=np.int64)
    scratch = np.empty(cells, dtype=np.uint8)
    trial = np.empty(cells, dtype=np.uint8)
    _random_grid(state, solution, peers, units)
    puzzle[:] = solution
    floor = max(target, 0)
    givens, searches = _dig(state, puzzle, solution, floor, order, peers, units)
    _, rating = search(puzzle, -1, 2, scratch, peers, units)
    while searches < effort:
        excess = givens - target if target >= 0 else 0
        miss = max(low - rating, rating - high, 0)
        if excess == 0 and miss == 0:
            return rating, givens, True, searches
        trial[:] = puzzle
        _put_back(state, trial, solution, 1 + _below(state, max(2, cells // 16)))
        trial_givens = 0
        if rating > high and target < 0 and not minimal:
            for cell in range(cells):
                trial_givens += trial[cell] > 0
        else:
            trial_givens, spent = _dig(state, trial, solution, floor, order, peers, units)
            searches += spent
        _, trial_rating = search(trial, -1, 2, scratch, peers, units)
        searches += 1
        trial_excess = trial_givens - target if target >= 0 else 0
        trial_miss = max(low - trial_rating, trial_rating - high, 0)
        if trial_excess < excess or (trial_excess == excess and trial_miss <= miss):
            puzzle[:] = trial
            givens, rating = trial_givens, trial_rating
    return rating, givens, False, searches


@njit(cache=True)
def make_many(  # type: ignore[no-untyped-def]
    states,
    target,
    minimal,
    low,
    high,
    effort,
    peers,
    units,
    puzzles,
    solutions,
    ratings,
    givens,
    fits,
    searches,
):
    for row in range(puzzles.shape[0]):
        ratings[row], givens[row], fits[row], searches[row] = _candidate(
            states[row], puzzles[row], solutions[row], target, minimal, low, high, effort, peers, units
        )

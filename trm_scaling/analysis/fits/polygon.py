"""Two numbers inside a convex polygon: their least squares, and how far a linear function of them reaches.

Once the exponent of a law is given, what remains are two numbers, beta, with bounds on both and an
order between them: a polygon. In two dimensions everything has a closed form, so a whole grid of
exponents is solved at once and no optimiser can fail.

Objectives are Q(beta) = beta' H beta / 2 - g' beta. Shapes: independent problems in front, v vertices
counter-clockwise; two of them make a segment, one a point.
"""

import numpy as np
from jaxtyping import Bool, Float

_INSIDE = 1e-12


def objective(
    H: Float[np.ndarray, "*#problems 2 2"],
    g: Float[np.ndarray, "*#problems 2"],
    beta: Float[np.ndarray, "*#problems 2"],
) -> Float[np.ndarray, "*problems"]:
    """Q at beta."""
    return np.asarray((0.5 * (H @ beta[..., None])[..., 0] * beta - g * beta).sum(-1))


def minimum(
    H: Float[np.ndarray, "*problems 2 2"],
    g: Float[np.ndarray, "*problems 2"],
    vertices: Float[np.ndarray, "v 2"],
) -> Float[np.ndarray, "*problems 2"]:
    """The beta in the polygon with the smallest Q."""
    centre, regular = _centre(H, g)
    candidates = []
    for start, along in _edges(vertices):
        slope, bend = _on_edge(H, g, start, along)
        t = np.clip(-slope / np.where(bend > 0, bend, 1.0), 0.0, 1.0)
        candidates.append(start + t[..., None] * along)
    stacked = np.stack(candidates)
    values = objective(H, g, stacked)
    best = np.take_along_axis(stacked, values.argmin(0)[None, ..., None], axis=0)[0]
    return np.where((regular & _inside(centre, vertices))[..., None], centre, best)


def reach(
    H: Float[np.ndarray, "*problems 2 2"],
    g: Float[np.ndarray, "*problems 2"],
    limit: Float[np.ndarray, "*problems"],
    direction: Float[np.ndarray, "*#problems 2"],
    vertices: Float[np.ndarray, "v 2"],
) -> tuple[Float[np.ndarray, "*problems"], Float[np.ndarray, "*problems"]]:
    """Smallest and largest direction' beta over the beta in the polygon with Q <= limit.

    The ends lie where the ellipse Q = limit turns (if that is inside), or on an edge. They are (inf,
    -inf) where no beta qualifies.
    """
    lows, highs = [], []

    def add(beta: np.ndarray, valid: np.ndarray | np.bool_) -> None:
        value = (direction * beta).sum(-1)
        lows.append(np.where(valid, value, np.inf))
        highs.append(np.where(valid, value, -np.inf))

    for start, along in _edges(vertices):
        slope, bend = _on_edge(H, g, start, along)
        first = objective(H, g, start) - limit
        discriminant = slope**2 - 2 * bend * first
        root = np.sqrt(np.maximum(discriminant, 0.0))
        curved = bend > 0
        divisor = np.where(curved, bend, 1.0)
        # A flat edge (a law that does not depend on it) is inside as a whole or not at all.
        t_low = np.where(curved, (-slope - root) / divisor, 0.0)
        t_high = np.where(curved, (-slope + root) / divisor, 1.0)
        meets = np.where(curved, discriminant >= 0, first <= 0)
        valid = meets & (t_high >= 0) & (t_low <= 1)
        for t in (t_low, t_high):
            add(start + np.clip(t, 0.0, 1.0)[..., None] * along, valid)

    centre, regular = _centre(H, g)
    turned = np.linalg.solve(np.where(regular[..., None, None], H, np.eye(2)), direction[..., None])[..., 0]
    slack = limit - objective(H, g, centre)
    length = (direction * turned).sum(-1)
    # Two roots, not the root of the quotient: the length of a small direction may have no reciprocal.
    scale = np.sqrt(np.maximum(2 * slack, 0.0)) / np.sqrt(np.where(length > 0, length, 1.0))
    for sign in (-1.0, 1.0):
        beta = centre + (sign * scale)[..., None] * turned
        add(beta, regular & (slack >= 0) & _inside(beta, vertices))
    return np.asarray(np.min(lows, axis=0)), np.asarray(np.max(highs, axis=0))


def _edges(vertices: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Start and direction of each edge; a point is one edge of no length."""
    count = len(vertices)
    return [(vertices[i], vertices[(i + 1) % count] - vertices[i]) for i in range(count if count > 2 else 1)]


def _on_edge(
    H: np.ndarray, g: np.ndarray, start: np.ndarray, along: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of Q along an edge, at its start."""
    slope = ((H @ start - g) * along).sum(-1)
    bend = ((H @ along) * along).sum(-1)
    return np.asarray(slope), np.asarray(bend)


def _centre(H: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The minimum without the polygon, and whether there is only one."""
    scale = np.maximum(H[..., 0, 0] * H[..., 1, 1], np.finfo(float).tiny)
    regular = np.asarray(H[..., 0, 0] * H[..., 1, 1] - H[..., 0, 1] ** 2 > 1e-14 * scale)
    safe = np.where(regular[..., None, None], H, np.eye(2))
    return np.linalg.solve(safe, g[..., None])[..., 0], regular


def _inside(
    beta: Float[np.ndarray, "*problems 2"], vertices: Float[np.ndarray, "v 2"]
) -> Bool[np.ndarray, "*problems"]:
    """Whether beta lies in a polygon with an interior; never in a segment or a point."""
    if len(vertices) < 3:
        return np.zeros(beta.shape[:-1], dtype=np.bool_)
    sides = [
        along[0] * (beta[..., 1] - start[1]) - along[1] * (beta[..., 0] - start[0])
        for start, along in _edges(vertices)
    ]
    return np.asarray(np.min(sides, axis=0) >= -_INSIDE)

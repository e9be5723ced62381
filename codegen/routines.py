"""What no one call of NumPy does: functions that an emitted module defines for itself.

They are written as a person would, in NumPy alone, and stand at the end of the modules that call
them. Each is tested by itself, like any other function.

    _few_rows        a matrix of few rows times a large transposed one
    _sum_rows        rows added up by their numbers, which may repeat
    _sum_short_rows  the same for rows of few elements
    _nearest         which centres are nearest to points
"""

from __future__ import annotations

from codegen.source import Blank, Lines, Source


def routines(needs: set[str]) -> list[Source]:
    """The definitions of the routines of these names."""
    sources: list[Source] = []
    for name, text in ROUTINES.items():
        if name in needs:
            sources += [Blank(2), Lines(text.strip("\n").splitlines())]
    return sources


ROUTINES = {
    "_sum_rows": '''
def _sum_rows(rows, values, count):
    """An array of `count` rows: each the sum of the values whose row it is, or zeros.

    All values are assigned at once, so that the last of each row stays; the others are
    added in rounds, one value a row, as long as a round brings many of them in.
    """
    total = np.zeros((count, *values.shape[1:]), values.dtype)
    if not values.size:
        return total
    # A row is moved as one item, in half the time.
    row = np.dtype((np.void, total[0].nbytes))
    whole = total.reshape(-1).view(row)
    whole[rows] = np.ascontiguousarray(values).reshape(-1).view(row)
    left = np.arange(len(rows))
    last = np.empty(count, np.intp)
    last[rows] = left
    left = np.flatnonzero(last.take(rows) != left)
    many = added = len(rows) // 16
    while len(left) and added >= many:
        again = rows.take(left)
        last[again] = left
        taken = last.take(again) == left
        which = again[taken]
        sums = total.take(which, axis=0)
        sums += values.take(left[taken], axis=0)
        whole[which] = sums.reshape(-1).view(row)
        left, added = left[~taken], len(which)
    if len(left):
        # Element by element: for whole rows np.add.at takes five times as long.
        width = values[0].size
        flat = rows[left][:, None] % count * width + np.arange(width)
        np.add.at(total.reshape(-1), flat.reshape(-1), values[left].reshape(-1))
    return total
''',
    "_few_rows": '''
def _few_rows(few, matrix):
    """few @ matrix.T, transposed: BLAS reads a large matrix faster in rows."""
    return np.copy((matrix @ few.T).T, order="C")
''',
    "_sum_short_rows": '''
def _sum_short_rows(rows, values, count):
    """As many rows as `count`: each the sum of the values whose row it is."""
    width = values.shape[1]
    if width <= 16 and max(count, 1000) <= len(rows):
        # Long sums, added up one by one: in double precision.
        precise = np.float64 if values.dtype == np.float32 else values.dtype
        total = np.zeros((count, width), precise)
        for sums, column in zip(total.T, values.astype(precise, copy=False).T):
            np.add.at(sums, rows, column)
        return total.astype(values.dtype, copy=False)
    # Element by element: for whole rows np.add.at takes five times as long.
    total = np.zeros((count, width), values.dtype)
    flat = rows[:, None] * width + np.arange(width)
    np.add.at(total.reshape(-1), flat.reshape(-1), values.reshape(-1))
    return total
''',
    "_nearest": '''
def _nearest(points, centres, screen=np.float32):
    """The centres nearest to each point: pairs (point, centre), and the share of each.

    Distances are compared in single precision, as products, in tiles. A centre that may
    be the nearest within rounding stays; where several do, differences decide. Centres
    at the same least distance share the point evenly.
    """
    count, width = points.shape
    most = len(centres)
    step = 1024
    while step > 16 and step * most > 1 << 17:
        step //= 2  # so that the scores of a tile stay in the cache
    if most > 1 << 24:
        screen = np.float64  # single precision does not count so far
    # How many centres are near to each point, and the sum of their numbers.
    times, numbers = found = np.empty((2, count), screen)
    summing = np.ones((2, most), screen)
    summing[1] = np.arange(most)
    several = [np.empty((2, 0), np.intp)]
    with np.errstate(all="ignore"):
        # |x - c|^2 - |x|^2 = |c|^2 - 2 x c, as the product of [-2 c, |c|^2] and [x, 1].
        middle = centres.sum(axis=0) / most
        weights = np.empty((most, width + 1), screen)
        np.subtract(centres, middle, out=weights[:, :-1], casting="same_kind")
        weights[:, -1] = np.vecdot(weights[:, :-1], weights[:, :-1])
        largest = weights[:, -1].max()
        weights[:, :-1] *= -2.0
        extended = np.empty((width + 1, count), screen)
        np.subtract(points.T, middle[:, None], out=extended[:-1], casting="same_kind")
        extended[-1] = 1.0
        # Scores that differ by more than this do so before rounding, too.
        slack = np.einsum("ij,ij->j", extended, extended)
        slack += 2.0 * largest
        slack *= 4.0 * (width + 8) * np.finfo(screen).eps
        space = np.empty((most, step), screen)
        for start in range(0, count, step):
            tile = slice(start, start + step)
            scores = space[:, : count - start]
            np.matmul(weights, extended[:, tile], out=scores)
            bound = scores.min(axis=0)
            bound += slack[tile]
            near = np.less_equal(scores, bound, out=scores)  # 1 or 0
            np.matmul(summing, near, out=found[:, tile])
        if screen is np.float32 and not (times.all() and times.sum() <= 4 * count):
            return _nearest(points, centres, np.float64)
        ties = np.flatnonzero(times > 1.0)
        for start in range(0, len(ties), step):
            some = ties[start : start + step]
            scores = np.matmul(weights, extended[:, some])
            pairs = np.array(np.nonzero(scores <= scores.min(axis=0) + slack[some]))
            pairs[1] = some[pairs[1]]
            several.append(pairs)
    point, centre = np.arange(count), numbers.astype(np.intp)
    unsure = np.flatnonzero(times != 1.0)
    if len(unsure):
        nearer, which = np.concatenate(several, axis=1)
        lost = np.flatnonzero(times == 0.0)
        if len(lost):
            # No score of theirs is a number: all their distances are looked at.
            which = np.concatenate((which, np.repeat(lost, most)))
            nearer = np.concatenate((nearer, np.tile(np.arange(most), len(lost))))
        apart = points[which] - centres[nearer]
        distance = np.vecdot(apart, apart)
        least = np.full(count, np.inf, distance.dtype)
        with np.errstate(invalid="ignore"):
            np.minimum.at(least, which, distance)
        left = np.flatnonzero(~(distance > least[which]))
        which, nearer = which[left], nearer[left]
        centre[which] = nearer
        if len(which) > len(unsure):
            point = np.concatenate((np.delete(point, unsure), which))
            centre = np.concatenate((np.delete(centre, unsure), nearer))
            share = 1.0 / np.bincount(point)[point]
            return point, centre, share.astype(points.dtype, copy=False)
    return point, centre, np.broadcast_to(np.ones((), points.dtype), count)
''',
}

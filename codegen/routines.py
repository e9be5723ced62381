"""What no one call of NumPy does: functions that an emitted module defines for itself.

They are written as a person would, in NumPy alone, and stand at the end of the modules that call
them. Each is tested by itself, like any other function.

    _sum_rows      rows added up by their numbers, which may repeat
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
    total[rows] = values
    left = np.arange(len(rows))
    last = np.empty(count, np.intp)
    last[rows] = left
    left = left[last[rows] != left]
    many = added = len(rows) // 16
    while len(left) and added >= many:
        again = rows[left]
        last[again] = left
        taken = last[again] == left
        which = left[taken]
        total[rows[which]] += values[which]
        left, added = left[~taken], len(which)
    if len(left):
        # Element by element: for whole rows np.add.at takes five times as long.
        width = values[0].size
        flat = rows[left][:, None] % count * width + np.arange(width)
        np.add.at(total.reshape(-1), flat.reshape(-1), values[left].reshape(-1))
    return total
''',
}

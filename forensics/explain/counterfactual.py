"""What would have changed a decision: the nearest other values of one or two levers.

Everything is asked of the whole decision, model and rules, never of the score alone. One lever is
searched exactly on its grid. Two levers are searched on the values at which each alone improves the
score or passes a rule's boundary, then each is moved back towards its current value as far as the
other allows. Every answer is replayed once more at its stated value and at the ends of its range.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from forensics.errors import ReplayError
from forensics.explain.levers import Grid, grids
from forensics.records.replay import Counterfactual, CounterfactualChange
from forensics.replay.session import ReplaySession

#: A flip must hold when the score is off by this much, relative to 1 or its own size.
_SCORE_MARGIN = 1e-6
_PAIR_ROWS_MAX = 12_000
#: Rows times boosting rounds of one batch: about 50 ms on one processor.
_ROW_ROUNDS_MAX = 3_600_000
_PAIR_LEVERS_MAX = 8
_POLISHED_PAIRS_MAX = 6
_POLISH_ROUNDS = 2
_BOX_ROWS_MAX = 4_000
_HALVINGS_MAX = 24

#: Values of the levers that differ from the decision's: by position of the lever, its k.
Setting = dict[int, int]


class _Found(NamedTuple):
    """Levers with the k of the nearest value and of the far end of the range; one other outcome."""

    levers: tuple[int, ...]
    near: tuple[int, ...]
    far: tuple[int, ...]
    outcome: str
    distance: float


class _Scan(NamedTuple):
    """One lever over its grid: ascending k, the other outcome there or None, and the score."""

    ks: list[int]
    outcomes: list[str | None]
    scores: list[float]


def counterfactuals(
    session: ReplaySession, *, limit: int = 3, target: str | Collection[str] | None = None
) -> tuple[Counterfactual, ...]:
    """The nearest changes of one or two levers after which the outcome is another, nearest first.

    Levers are those of the rule set; where it declares none, every numeric feature that the model
    splits, within its cut points. Different levers are preferred over the same ones again. Empty
    where the decision cannot be replayed or replay gives another outcome than the recorded one.

    Args:
        session: the decision with its model and rules.
        limit: how many to return at most.
        target: outcomes that count; any other than the recorded one where None.

    Raises:
        ReplayError: when the model's process fails on the way.
    """
    rules = session.logic
    if limit < 1 or rules is None or session.missing:
        return ()
    try:
        if session.decide({}, 1).rules[0].outcome != session.decision.outcome:
            return ()
    except ReplayError:  # the rules cannot be evaluated on what was recorded
        return ()
    wanted = {target} if isinstance(target, str) else None if target is None else set(target)
    search = _Search(session, grids(session, rules), wanted)
    scans = search.scan([(at, {}) for at in range(len(search.grids))])
    found = [flip for at, scan in enumerate(scans) for flip in search.single(at, scan)]
    found += search.pairs(scans)
    answers: list[Counterfactual] = []
    for flip in _diverse(found):
        answer = search.verified(search.widened(flip))
        if answer is not None:
            answers.append(answer)
        if len(answers) == limit:
            break
    return tuple(sorted(answers, key=lambda answer: answer.distance))


class _Search:
    def __init__(self, session: ReplaySession, levers: list[Grid], wanted: set[str] | None) -> None:
        self.session = session
        self.grids = levers
        self._wanted = wanted
        self._decided = session.decision.outcome

    def ask(self, settings: Sequence[Setting]) -> tuple[list[str | None], Sequence[float]]:
        """For each setting the other outcome that it surely gives, or None, and the score."""
        columns = {}
        for at, grid in enumerate(self.grids):
            if any(at in setting for setting in settings):
                columns[grid.feature] = [
                    grid.value(setting[at]) if at in setting else grid.current
                    for setting in settings
                ]
        return self._ask(columns, len(settings))

    def _ask(
        self, columns: dict[str, list[float]], count: int
    ) -> tuple[list[str | None], Sequence[float]]:
        if not count:
            return [], []
        answer = self.session.decide(columns, count)
        outcomes = [self._other(rule.outcome) for rule in answer.rules]
        # A flip that hangs on the last digits of the score is none.
        flipped = [at for at, outcome in enumerate(outcomes) if outcome is not None]
        if flipped:
            margins = [
                (at, sign * _SCORE_MARGIN * max(1.0, abs(answer.scores[at])))
                for sign in (-1, 1)
                for at in flipped
            ]
            rules = self.session.judge(
                {name: [values[at] for at, _ in margins] for name, values in columns.items()},
                [answer.scores[at] + margin for at, margin in margins],
                len(margins),
            ).rules
            for (at, _), rule in zip(margins, rules, strict=True):
                if rule.outcome != answer.rules[at].outcome:
                    outcomes[at] = None
        return outcomes, answer.scores

    def _other(self, outcome: str) -> str | None:
        if outcome == self._decided or (self._wanted is not None and outcome not in self._wanted):
            return None
        return outcome

    def scan(self, wanted: Sequence[tuple[int, Setting]]) -> list[_Scan]:
        """Each lever over its grid with others set; halves every gap that hides a boundary."""
        batches = [list(self.grids[at].ks) for at, _ in wanted]
        known: list[dict[int, tuple[str | None, float]]] = [{} for _ in wanted]
        for _ in range(_HALVINGS_MAX):
            settings = [
                {**fixed, at: k}
                for (at, fixed), ks in zip(wanted, batches, strict=True)
                for k in ks
            ]
            if not settings:
                break
            answers = iter(zip(*self.ask(settings), strict=True))
            for seen, ks in zip(known, batches, strict=True):
                for k in ks:
                    seen[k] = next(answers)
            batches = [_gaps(seen) for seen in known]
        scans = []
        for seen in known:
            ks = sorted(seen)
            scans.append(_Scan(ks, [seen[k][0] for k in ks], [seen[k][1] for k in ks]))
        return scans

    def single(self, at: int, scan: _Scan) -> Iterable[_Found]:
        """The nearest flip to each outcome below and above the current value, with its range."""
        grid = self.grids[at]
        middle = sum(grid.value(k) < grid.current for k in scan.ks)
        for steps in (range(middle - 1, -1, -1), range(middle, len(scan.ks))):
            seen: set[str] = set()
            for position in steps:
                outcome = scan.outcomes[position]
                if outcome is None or outcome in seen:
                    continue
                seen.add(outcome)
                far = position
                for further in range(position, steps.stop, steps.step):
                    if scan.outcomes[further] != outcome:
                        break
                    far = further
                near_k, far_k = scan.ks[position], scan.ks[far]
                yield _Found((at,), (near_k,), (far_k,), outcome, grid.distance(near_k))

    def pairs(self, scans: Sequence[_Scan]) -> list[_Found]:
        """Changes of two levers neither of which flips the outcome alone."""
        choices = self._pair_values(scans)
        couples = [pair for pair in combinations(choices, 2) if all(choices[at] for at in pair)]
        if not couples:
            return []
        side = max(2, int((self._affordable(_PAIR_ROWS_MAX) / len(couples)) ** 0.5))
        cells = [
            ((a, j), (b, k))
            for a, b in couples
            for j in _thin(choices[a], side)
            for k in _thin(choices[b], side)
        ]
        columns: dict[str, list[float]] = {}
        for at in choices:
            grid = self.grids[at]
            values = {k: grid.value(k) for k in choices[at]}
            columns[grid.feature] = [
                values[p[1]] if p[0] == at else values[q[1]] if q[0] == at else grid.current
                for p, q in cells
            ]
        answer = self.session.decide(columns, len(cells))
        best: dict[tuple[int, int], _Found] = {}
        for ((a, j), (b, k)), rule in zip(cells, answer.rules, strict=True):
            outcome = self._other(rule.outcome)
            if outcome is None:
                continue
            distance = self.grids[a].distance(j) + self.grids[b].distance(k)
            if (a, b) not in best or distance < best[a, b].distance:
                best[a, b] = _Found((a, b), (j, k), (j, k), outcome, distance)
        nearest = sorted(best.values(), key=lambda found: found.distance)[:_POLISHED_PAIRS_MAX]
        return self._polish(nearest, scans)

    def _pair_values(self, scans: Sequence[_Scan]) -> dict[int, list[int]]:
        """By lever the values worth combining, nearest first.

        Of those that do not flip alone, they are the ones with a better score than any nearer one,
        and those beside a rule's boundary.
        """
        low, high = self.session.judge({}, [-1e30, 1e30], 2).rules
        down, up = self._other(low.outcome) is not None, self._other(high.outcome) is not None
        if not down and not up:  # a rule decides whatever the score
            down = up = True
        found: dict[int, list[int]] = {}
        effect: dict[int, float] = {}
        base = self.session.model.score or 0.0
        for at, scan in enumerate(scans):
            grid = self.grids[at]
            ks = set()
            order = sorted(range(len(scan.ks)), key=lambda i: grid.distance(scan.ks[i]))
            for below in (True, False):
                lowest = highest = base
                for i in order:
                    k, score = scan.ks[i], scan.scores[i]
                    if (grid.value(k) < grid.current) != below or scan.outcomes[i] is not None:
                        continue
                    if (down and score < lowest) or (up and score > highest) or k in grid.rule_ks:
                        ks.add(k)
                    lowest, highest = min(lowest, score), max(highest, score)
            found[at] = sorted(ks, key=grid.distance)
            effect[at] = max((abs(score - base) for score in scan.scores), default=0.0)
            if grid.rule_ks:
                effect[at] += 1e9
        keep = sorted(found, key=lambda at: -effect[at])[:_PAIR_LEVERS_MAX]
        return {at: found[at] for at in sorted(keep) if found[at]}

    def _polish(self, found: list[_Found], scans: Sequence[_Scan]) -> list[_Found]:
        """Moves each lever back towards its current value as far as the other allows."""
        for _ in range(_POLISH_ROUNDS):
            for side in (0, 1):
                wanted = [
                    (flip.levers[side], {flip.levers[1 - side]: flip.near[1 - side]})
                    for flip in found
                ]
                kept = []
                for flip, scan in zip(found, self.scan(wanted), strict=True):
                    grid, other = self.grids[flip.levers[side]], self.grids[flip.levers[1 - side]]
                    alone = scans[flip.levers[side]]
                    flips_alone = dict(zip(alone.ks, alone.outcomes, strict=True))
                    ks = [
                        k
                        for k, outcome in zip(scan.ks, scan.outcomes, strict=True)
                        if outcome == flip.outcome and flips_alone.get(k) is None
                    ]
                    if not ks:
                        continue
                    k = min(ks, key=grid.distance)
                    rest = flip.near[1 - side]
                    near = (k, rest) if side == 0 else (rest, k)
                    distance = grid.distance(k) + other.distance(rest)
                    kept.append(flip._replace(near=near, far=near, distance=distance))
                found = kept
        return found

    def widened(self, flip: _Found) -> _Found:
        """A pair with ranges all of whose combinations give the outcome; a single as it is."""
        if len(flip.levers) == 1:
            return flip
        outward = [self._outward(at, k) for at, k in zip(flip.levers, flip.near, strict=True)]
        a, b = flip.levers
        rows, columns = outward
        affordable = self._affordable(_BOX_ROWS_MAX)
        shorter = max(1, min(len(rows), len(columns)))
        rows, columns = (ks[: max(shorter, affordable // shorter)] for ks in outward)
        if len(rows) * len(columns) > affordable:
            rows, columns = (ks[: int(affordable**0.5)] for ks in outward)
        outcomes, _ = self.ask([{a: j, b: k} for j in rows for k in columns])
        size = len(columns)

        def holds(i: int, j: int) -> bool:
            return outcomes[i * size + j] == flip.outcome

        first = _box(len(rows), len(columns), holds)
        second = _box(len(columns), len(rows), lambda i, j: holds(j, i))
        high, wide = max(first, (second[1], second[0]), key=lambda box: box[0] * box[1])
        if not high or not wide:
            return flip
        return flip._replace(far=(rows[high - 1], columns[wide - 1]))

    def _affordable(self, rows_max: int) -> int:
        """Rows of a batch, fewer for a large model, so that a trace stays quick."""
        description = self.session.model.description
        rounds = description.rounds if description else 0
        return min(rows_max, max(400, _ROW_ROUNDS_MAX // max(rounds, 1)))

    def _outward(self, at: int, near: int) -> list[int]:
        """The far end of each cell from ``near`` on, away from the current value."""
        grid = self.grids[at]
        cells = list(zip(grid.ks, grid.cells, strict=True))
        below = grid.value(near) < grid.current
        found = {cell: k for k, cell in (cells if not below else reversed(cells))
                 if (k <= near if below else k >= near)}  # fmt: skip
        return [near, *(k for k in found.values() if k != near)]

    def verified(self, flip: _Found) -> Counterfactual | None:
        """The answer, replayed at its value and at the ends of its ranges; None if one differs."""
        corners: list[Setting] = [{}]
        for at, near, far in zip(flip.levers, flip.near, flip.far, strict=True):
            corners = [{**corner, at: k} for corner in corners for k in (near, far)]
        outcomes, scores = self.ask(corners)
        if any(outcome != flip.outcome for outcome in outcomes):
            return None
        changes = tuple(
            self._change(self.grids[at], near, far)
            for at, near, far in zip(flip.levers, flip.near, flip.far, strict=True)
        )
        return Counterfactual(changes, flip.outcome, scores[0], flip.distance, verified=True)

    def _change(self, grid: Grid, near: int, far: int) -> CounterfactualChange:
        ends = (grid.ks[0], grid.ks[-1])
        below = grid.value(near) < grid.current
        if near == far and near not in ends:
            words = grid.words(near)
        elif far == ends[0] and below:
            words = f"at most {grid.words(near)}" if near != far else grid.words(near)
        elif far == ends[1] and not below:
            words = f"at least {grid.words(near)}" if near != far else grid.words(near)
        elif near == far:
            words = grid.words(near)
        else:
            low, high = sorted((near, far))
            words = f"between {grid.words(low)} and {grid.words(high)}"
        value = self.session.decision.features[grid.feature]
        return CounterfactualChange(
            grid.feature, value, grid.plain(near), f"{grid.feature} {words}"
        )


def _gaps(seen: dict[int, tuple[str | None, float]]) -> list[int]:
    """A k in the middle of each gap whose two ends answer differently."""
    ks = sorted(seen)
    return [
        (left + right) // 2
        for left, right in pairwise(ks)
        if right - left > 1 and seen[left][0] != seen[right][0]
    ]


def _thin(ks: list[int], count: int) -> list[int]:
    """At most ``count`` of ``ks``, evenly over their order, first and last included."""
    if len(ks) <= count:
        return ks
    return [ks[round(i * (len(ks) - 1) / (count - 1))] for i in range(count)]


def _box(high_max: int, wide_max: int, holds: Callable[[int, int], bool]) -> tuple[int, int]:
    """The sizes of a box at the origin in which everything holds, as high as its first column."""
    high = 0
    while high < high_max and holds(high, 0):
        high += 1
    wide = 0
    while wide < wide_max and high and all(holds(i, wide) for i in range(high)):
        wide += 1
    return high, wide


def _diverse(found: Iterable[_Found]) -> Iterable[_Found]:
    """Nearest first, levers that have not been seen before those that have."""
    left = sorted(found, key=lambda flip: (flip.distance, len(flip.levers)))
    seen: set[int] = set()
    sets: set[tuple[int, ...]] = set()
    for turn in range(3):
        for flip in list(left):
            known = (seen & set(flip.levers), flip.levers in sets, False)
            if not known[turn]:
                left.remove(flip)
                seen.update(flip.levers)
                sets.add(flip.levers)
                yield flip

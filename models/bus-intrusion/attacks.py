"""Attacks that are planted into clean traffic: all of training's, and the families that the recordings lack.

Each takes traffic, a stretch in seconds and a generator of random numbers, and gives the traffic with the attack in it
and the seconds that hold any of it. Nothing here looks at what the detector computes."""

import numpy as np


def identifiers(traffic, fewest=20):
    """The identifiers that come at least so often."""
    ids, counts = np.unique(traffic.id, return_counts=True)
    return ids[counts >= fewest]


def inside(traffic, stretch):
    return (traffic.at >= stretch[0] * 1_000_000) & (traffic.at < stretch[1] * 1_000_000)


def times(stretch, count, rng):
    return np.sort(rng.uniform(stretch[0] * 1e6, stretch[1] * 1e6, count)).astype(np.int64)


def words(count, rng):
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def whole(stretch):
    """The seconds of an attack that is there all the time."""
    return set(range(int(np.floor(stretch[0])), int(np.ceil(stretch[1]))))


def hit(at):
    return set((np.asarray(at) // 1_000_000).tolist())


def flood(traffic, stretch, rng):
    """One identifier of high priority, 100 to 4,000 frames a second in a burst or all the time."""
    rate = int(np.exp(rng.uniform(np.log(100), np.log(4_000))))
    length = min(rng.choice([0.02, 0.1, 0.5, 9.0]), stretch[1] - stretch[0])
    start = rng.uniform(stretch[0], stretch[1] - length)
    count = max(int(rate * max(length, 0.2)), 20)
    at = np.linspace(start * 1e6, (start + length) * 1e6 - 1, count).astype(np.int64)
    id = rng.integers(0, 8) if rng.random() < 0.7 else rng.choice(identifiers(traffic))
    return traffic.with_frames(at, np.full(count, id), np.full(count, words(1, rng)[0])), hit(at)


def unknown(traffic, stretch, rng):
    """An identifier that the vehicle does not have, 1 to 20 frames a second."""
    known = set(traffic.id.tolist())
    id = next(i for i in rng.integers(0, 0x800, 100).tolist() if i not in known)
    at = times(stretch, rng.integers(1, 20) * int(stretch[1] - stretch[0]), rng)
    return traffic.with_frames(at, np.full(len(at), id), words(len(at), rng)), hit(at)


def fuzz(traffic, stretch, rng):
    """A known identifier with random payloads beside the unit's, 1 to 20 frames a second."""
    at = times(stretch, rng.integers(1, 20) * int(stretch[1] - stretch[0]), rng)
    id = rng.choice(identifiers(traffic))
    return traffic.with_frames(at, np.full(len(at), id), words(len(at), rng)), hit(at)


def replay(traffic, stretch, rng):
    """One payload of a known identifier again and again beside the unit's, 1 to 20 a second."""
    at = times(stretch, rng.integers(1, 20) * int(stretch[1] - stretch[0]), rng)
    id = rng.choice(identifiers(traffic))
    word = rng.choice(traffic.word[traffic.id == id])
    return traffic.with_frames(at, np.full(len(at), id), np.full(len(at), word)), hit(at)


def sequence(traffic, stretch, rng):
    """A recorded sequence of 2 to 20 frames at once, once or twice a second."""
    count, length = rng.integers(1, 3) * int(stretch[1] - stretch[0]), rng.integers(2, 21)
    parts = []
    for start in times(stretch, count, rng):
        first = rng.integers(0, len(traffic.at) - length)
        parts.append((start + 2 * np.arange(length), traffic.id[first : first + length], traffic.word[first : first + length]))
    at, id, word = (np.concatenate(part) for part in zip(*parts))
    return traffic.with_frames(at, id, word), hit(at)


def suppress(traffic, stretch, rng, id=None, share=None):
    """An identifier falls silent, or loses a share of its frames."""
    id = rng.choice(identifiers(traffic)) if id is None else id
    share = rng.choice([1.0, 0.5, 0.2]) if share is None else share
    gone = inside(traffic, stretch) & (traffic.id == id)
    lost = gone & (rng.random(len(gone)) < share)
    seconds = hit(traffic.at[lost])
    return traffic.take(~lost), seconds


def masquerade(traffic, stretch, rng, id=None, how=None):
    """The unit is silenced, and another sends in its place, when it would have sent: `held` repeats the last payload,
    `random` changes bits that do move, `byte` one byte of the payload, `old` sends an earlier stretch of the unit."""
    id = rng.choice(identifiers(traffic)) if id is None else id
    how = rng.choice(["held", "random", "byte", "old"]) if how is None else how
    mine = traffic.id == id
    place = np.flatnonzero(mine & inside(traffic, stretch))
    before = np.flatnonzero(mine & (traffic.at < stretch[0] * 1_000_000))
    if len(place) == 0 or len(before) == 0:
        return traffic, set()
    true = traffic.word[place]
    seen = traffic.word[mine]
    moving = np.bitwise_or.reduce(seen ^ seen[0])
    match how:
        case "held":
            false = np.full(len(place), traffic.word[before[-1]])
        case "random":
            false = true ^ (words(len(place), rng) & moving)
        case "byte":
            byte = np.uint64(8 * rng.choice([n for n in range(8) if moving >> np.uint64(8 * n) & np.uint64(0xFF)] or [0]))
            false = true & ~(np.uint64(0xFF) << byte) | rng.integers(0, 256, dtype=np.uint64) << byte
        case "old":
            back = min(len(place), len(before))
            false = np.resize(traffic.word[before[len(before) // 2 :][:back]], len(place))
    word, attack = traffic.word.copy(), traffic.attack.copy()
    word[place] = false
    changed = place[false != true]
    attack[changed] = True
    # An attacker's clock is not the unit's.
    at = traffic.at.copy()
    at[place] += np.abs(rng.normal(0, 100, len(place))).astype(np.int64)
    order = np.argsort(at, kind="stable")
    forged = type(traffic)(at[order], traffic.id[order], word[order], attack[order])
    return forged, hit(at[changed])


ALL = [flood, unknown, fuzz, replay, sequence, suppress, masquerade]

"""A second judge of evidence and recoveries, written from node/anchoring/SPEC.md, sections 6, 8 and 9, alone:
a client goes in, whose evidence and bases are of incarnation 0, and the client that comes of it goes out."""

from typing import Any

import msgpack
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tests.node.anchoring.independent_verifier import (
    Refused,
    certified,
    climb,
    need,
    set_hash,
    tagged,
    unpack,
)

ACTIVE, FROZEN, RETIRED = 1, 3, 4
WEEK_MS = 7 * 24 * 3_600_000
INCARNATION, CURRENT, ORIGIN, OPERATORS, TIP, STATUS, ADMITTED, ACCUSED, CONVICTED = (
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    11,
    12,
)


def recovered(client: bytes, data: bytes, now_ms: int, tip_path: Any = ()) -> bytes:
    """The client after a recovery that its operators approved."""
    return _guarded(_recovered, client, data, now_ms, tip_path)


def replaced(client: bytes, data: bytes, now_ms: int) -> bytes:
    """The client after a recovery with the path from its tip, as they stand in the vectors."""
    return _guarded(_replaced, client, data, now_ms)


def told(client: bytes, data: bytes) -> bytes:
    """The client after evidence."""
    return _guarded(_told, client, data)


def _guarded(judge: Any, *arguments: Any) -> bytes:
    try:
        return judge(*arguments)
    except (ValueError, TypeError, IndexError, BadSignatureError, msgpack.UnpackException) as error:
        raise Refused(repr(error)) from error


def _recovered(data, recovery, now_ms, tip_path):
    client = unpack(data)
    (
        version,
        (header, certificate),
        incarnation,
        members,
        operators,
        by,
        accused,
        convicted,
        *signed,
        links,
    ) = unpack(recovery)
    base = unpack(header)
    base_hash = tagged("isthmus/header/v1", header)
    need(version == 3 and accused == sorted(set(accused)) and len(accused) <= 512)
    need(client[STATUS] != RETIRED and client[INCARNATION] < incarnation <= base[1] + 16)
    old, lowest, base_min = judging(client, base, base_hash, tip_path)
    need(base[4] >= max(lowest, base_min) and base[7] <= now_ms + 15 * 60_000)
    sets = way(old, base[3], links, lowest)
    need(base[4] > max([lowest - 1, *(unpack(link[0])[4] for link in links)]))
    epoch, signing = old_set = signing_set = sets[-1]
    certified(client[1], header, certificate, signing, epoch)
    first = ranked(old[CONVICTED])
    if convicted is None:
        need(accused == [])
    else:
        (old_set,) = [passed for passed in sets if ranked(passed) == convicted]
        named = sum(weight for key, weight in old_set[1] if key in accused)
        need(3 * named > sum(weight for _, weight in old_set[1]))
        need(first is not None and first <= convicted)
    need(all(key in old[ACCUSED] for key in accused) and not any(key in accused for key, _ in members))
    fields = [client[1], incarnation, *base[3:5], base_hash, members, operators, by, accused, convicted]
    signers = agreed(fields, by, old_set[1], old[OPERATORS], accused, *signed)
    following = [base[3] + incarnation - base[1], members]
    tip = [base[1], base[4], base_hash, base[12], base[7], base[11], base[13], base[10], None]
    if old[STATUS] != FROZEN:
        old[CURRENT], old[TIP] = signing_set, [*tip[:8], base[15]]
    before = [msgpack.packb(remembering(old, 2)), lowest, base[4], signers, convicted, now_ms]
    kept = [
        *client[1:3],
        incarnation,
        following,
        following,
        operators,
        tip,
        client[ADMITTED],
        client[ADMITTED],
    ]
    begun = [3, *kept, 0, [], None, before]
    if is_tainted(begun, base[7]):
        begun[STATUS] = FROZEN
    return msgpack.packb(begun)


def _replaced(client, data, now_ms):
    recovery, path = unpack(data)
    return _recovered(client, msgpack.packb(recovery), now_ms, path)


def remembering(client, levels):
    """The client with at most so many incarnations before its own."""
    if client[0] == 2 or levels == 0:
        return [2, *client[1:13]]
    inner, *rest = client[13]
    return [*client[:13], [msgpack.packb(remembering(unpack(inner), levels - 1)), *rest]]


def is_tainted(client, time_ms):
    """Whether the recovery that began this incarnation, or one before it, is tainted at a tip of then."""
    if client[0] == 2 or time_ms > client[13][5] + WEEK_MS:
        return False
    inner, _, _, signers, convicted, _ = client[13]
    held = unpack(inner)
    named = [*signers, *(key for key, _ in client[ORIGIN][1])]
    tainted = ranked(held[CONVICTED]) != convicted or any(key in held[ACCUSED] for key in named)
    return tainted or is_tainted(held, time_ms)


def judging(client, base, base_hash, tip_path):
    """(the client that judges, the lowest height of its incarnation, the lowest base that it takes)."""
    if base[1] == client[INCARNATION]:
        need(client[STATUS] == FROZEN or client[TIP][1:3] == [base[4], base_hash])
        return client, 0 if client[0] == 2 else client[13][2] + 1, 0
    while client[INCARNATION] != base[1]:
        before = client[13]
        client = unpack(before[0])
    height, tip_hash = client[TIP][1:3]
    if client[STATUS] != FROZEN and height == base[4]:
        need(tip_hash == base_hash and not tip_path)
    elif client[STATUS] != FROZEN:
        need(height < base[4] and climb(tip_hash, height, base[4], tip_path) == base[12])
    return client, before[1], before[2] if client[CONVICTED] is None else 0


def way(client, epoch, links, lowest):
    """The sets from the first of the incarnation, or the one held, to that of `epoch`; each with its own."""
    sets = [client[ORIGIN]] if links else [s for s in (client[CURRENT], client[ORIGIN]) if s[0] == epoch][:1]
    height = lowest - 1
    for ending, by, members in links:
        end = certified(client[1], ending, by, sets[-1][1], sets[-1][0])
        need(end[15] == set_hash(members) and end[4] > height)
        height = end[4]
        sets.append([sets[-1][0] + 1, members])
    need(sets[-1][0] == epoch)
    return sets


def ranked(convicted):
    return None if convicted is None else [convicted[0], set_hash(convicted[1])]


def agreed(fields, by, old_set, operators, accused, bitmap, signatures):
    """The validators who signed, none where operators did."""
    total = sum(weight for _, weight in old_set)
    left = sum(weight for key, weight in old_set if key not in accused)
    need((by == 1 and 3 * left > total) or (by == 2 and 3 * left <= total))
    signing = old_set if by == 1 else operators
    message = tagged("isthmus/recovery/v3", msgpack.packb([*fields, bitmap if by == 1 else b""]))
    chosen = [signing[index] for index in range(8 * len(bitmap)) if bitmap[index // 8] >> index % 8 & 1]
    need(len(bitmap) == (len(signing) + 7) // 8 and len(signatures) == 64 * len(chosen))
    for position, (key, _) in enumerate(chosen):
        VerifyKey(key).verify(message, signatures[64 * position : 64 * position + 64])
    weight = sum(weight for _, weight in chosen)
    if by == 2:
        need(3 * weight > 2 * sum(weight for _, weight in operators))
        return []
    need(2 * weight > left and not any(key in accused for key, _ in chosen))
    return [key for key, _ in chosen]


def _told(data, evidence):
    client, piece = unpack(data), unpack(evidence)
    if client[INCARNATION] == unpack(piece[4][0])[1]:
        return msgpack.packb(accused(client, piece))
    inner, *rest = client[13]
    client[13] = [_told(inner, evidence), *rest]
    if is_tainted(client, client[TIP][4]):
        client[STATUS] = FROZEN
    return msgpack.packb(client)


def accused(client, piece):
    """A client that evidence of its own incarnation freezes."""
    version, kind, index, links, first, second = piece
    epoch = unpack(first[0])[3]
    sets = way(client, epoch, links, 0)
    current = client[CURRENT]
    need(all(passed == current for passed in sets if passed[0] == current[0]))
    signed, told_of = [], []
    for header, certificate, leaf in (first, second):
        fields = certified(client[1], header, certificate, sets[-1][1], epoch)
        bitmap = certificate[5]
        signed.append({i for i in range(len(sets[-1][1])) if bitmap[i // 8] >> i % 8 & 1})
        if leaf is not None:
            need(index < fields[4] and climb(leaf[0], index, fields[4], leaf[1]) == fields[12])
        told_of.append((fields, leaf, tagged("isthmus/header/v1", header)))
    (one, one_leaf, _), (two, two_leaf, _) = told_of
    need(version == 1)
    if kind == 1:
        need(all(leaf is not None or fields[4] == index for fields, leaf, _ in told_of))
        names = [leaf[0] if leaf is not None else header for _, leaf, header in told_of]
        need(names[0] != names[1])
    else:
        need(kind == 2 and one_leaf is None and two_leaf is None and one[15] is not None)
        need(one[4] == index < two[4])
    need(epoch > current[0] or (epoch == current[0] and client[TIP][8] is None))
    known = client[CONVICTED]
    if known is None or ranked(sets[-1]) < ranked(known):
        client[CONVICTED] = sets[-1]
    both = {sets[-1][1][i][0] for i in signed[0] & signed[1]}
    client[ACCUSED] = sorted({*client[ACCUSED], *both})
    need(len(client[ACCUSED]) <= 512)
    client[STATUS] = FROZEN
    return client

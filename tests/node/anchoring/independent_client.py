"""A second light client and judge, written from node/anchoring/SPEC.md alone: no code of ours but the first
independent verifier's, which uses hashlib, nacl and msgpack."""

from hashlib import sha256
from typing import Any

import msgpack
from nacl.exceptions import BadSignatureError

from tests.node.anchoring.independent_verifier import (
    Refused,
    certified,
    climb,
    need,
    set_hash,
    tagged,
    unpack,
)


def updated(client: bytes, data: bytes) -> tuple[Any, ...]:
    """(epoch, height, header hash, set hash) of an ACTIVE client in incarnation 0 after a fresh update."""
    return _guarded(_updated, client, data)


def convicted(data: bytes, trust: bytes) -> tuple[Any, ...]:
    """(epoch, index, weight, total weight, accused keys) of an evidence file that holds."""
    return _guarded(_convicted, data, trust)


def _guarded(judge, *arguments):
    try:
        return judge(*arguments)
    except (ValueError, TypeError, IndexError, BadSignatureError, msgpack.UnpackException) as error:
        raise Refused(repr(error)) from error


def _updated(client, data):
    _, cluster, _, incarnation, (epoch, members), _, _, tip, status, _, _, _, _ = unpack(client)
    (header, certificate), links, consistency, tip_path = unpack(data)
    need(incarnation == 0 and status == 1)
    fields = unpack(header)
    of, height, tip_hash, history, time_ms, *_, following = tip
    need(of == 0)
    need(fields[4] > height and fields[7] > time_ms)
    last_end = height
    for number, (ending, by, next_members) in enumerate(links):
        end = certified(cluster, ending, by, members, epoch)
        is_tip = number == 0 and tagged("isthmus/header/v1", ending) == tip_hash
        need(end[15] == set_hash(next_members) and (is_tip or end[4] > last_end))
        need(number > 0 or following is None or is_tip)
        epoch, members, last_end = epoch + 1, next_members, end[4]
    need(following is None or links)
    top = certified(cluster, header, certificate, members, epoch)
    need(top[4] > last_end)
    if height == 0:
        need(consistency == [])
    else:
        need(extends(height, history, top[4], top[12], consistency))
    need(climb(tip_hash, height, top[4], tip_path) == top[12])
    return epoch, top[4], tagged("isthmus/header/v1", header), set_hash(members)


def extends(size, root, new_size, new_root, path):
    """Whether the first `size` of `new_size` leaves have `root`, by RFC 6962's recursion over the path."""
    need(0 < size <= new_size and all(type(item) is bytes and len(item) == 32 for item in path))
    if size == new_size:
        return path == [] and root == new_root
    path = list(path)

    def walk(old, new, is_whole):
        """(old root, new root) of a subtree of `new` leaves of which `old` were there."""
        if old == new:
            if is_whole:
                return root, root
            known = path.pop(0)
            return known, known
        left = 1 << (new - 1).bit_length() - 1
        if old <= left:
            before, after = walk(old, left, is_whole)
            return before, node(after, path.pop(0))
        before, after = walk(old - left, new - left, False)
        sibling = path.pop(0)
        return node(sibling, before), node(sibling, after)

    return walk(size, new_size, True) == (root, new_root) and path == []


def node(left, right):
    return sha256(b"\x01" + left + right).digest()


def _convicted(data, trust):
    magic, body, (version, kind, index, links, first, second) = unpack(data)
    need(magic == "isthmus-evidence/1" and version == 1 and tagged("isthmus/genesis/v1", body) == trust)
    members, last_end = [[validator[2], validator[4]] for validator in unpack(body)[3]], -1
    for epoch, (ending, by, next_members) in enumerate(links):
        end = certified(trust, ending, by, members, epoch)
        need(end[15] == set_hash(next_members) and end[4] > last_end)
        members, last_end = next_members, end[4]
    told, signed = [], []
    for header, certificate, leaf in (first, second):
        fields = certified(trust, header, certificate, members, len(links))
        bitmap = certificate[5]
        signed.append({i for i in range(len(members)) if bitmap[i // 8] >> i % 8 & 1})
        if leaf is not None:
            need(index < fields[4] and climb(leaf[0], index, fields[4], leaf[1]) == fields[12])
        told.append((fields, leaf))
    (one, one_leaf), (two, two_leaf) = told
    if kind == 1:
        names = []
        for fields, leaf, header in ((one, one_leaf, first[0]), (two, two_leaf, second[0])):
            need(leaf is not None or fields[4] == index)
            names.append(leaf[0] if leaf is not None else tagged("isthmus/header/v1", header))
        need(names[0] != names[1])
    else:
        need(kind == 2 and one_leaf is None and two_leaf is None and one[15] is not None)
        need(one[4] == index < two[4])
    both = sorted(signed[0] & signed[1])
    weights = [weight for _, weight in members]
    return len(links), index, sum(weights[i] for i in both), sum(weights), [members[i][0] for i in both]

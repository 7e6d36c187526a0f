"""A second verifier of bundles, written from the format alone: hashlib, nacl and msgpack, nothing of ours."""

from hashlib import sha256
from typing import Any

import msgpack
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


class Refused(Exception):
    """The bundle proves nothing."""


def verify(data: bytes, trust: bytes) -> tuple[Any, ...]:
    """(kind, height, what is proven) of a bundle that holds; Refused otherwise."""
    try:
        return _verify(data, trust)
    except (ValueError, TypeError, IndexError, BadSignatureError, msgpack.UnpackException) as error:
        raise Refused(repr(error)) from error


def _verify(data, trust):
    magic, kind, body, links, header, certificate, later, path, checkpoint, statement = unpack(data)
    need(magic == "isthmus-bundle/1" and (later is None) == (path is None))
    need(tagged("isthmus/genesis/v1", body) == trust)
    sets = [[[validator[2], validator[4]] for validator in unpack(body)[3]]]
    for epoch, (ending, by, members) in enumerate(links):
        need(certified(trust, ending, by, sets[epoch], epoch)[15] == set_hash(members))
        sets.append(members)
    top = certified(trust, later or header, certificate, sets[-1], len(links))
    fact = unpack(header)
    need(fact[:3] == [1, 0, trust] and fact[14] == set_hash(sets[fact[3]]))
    ends = [unpack(ending)[4] for ending, _, _ in links]
    need(ends == sorted(set(ends)) and sum(end < fact[4] for end in ends) == fact[3])
    need(top[4] > (ends or [-1])[-1])
    if later is not None:
        need(climb(tagged("isthmus/header/v1", header), fact[4], top[4], path) == top[12])
    if checkpoint is not None:
        height, past, past_path = checkpoint
        need(climb(past, height, top[4], past_path) == top[12])
    if kind == 1:
        return kind, fact[4], transaction(trust, fact, *statement)
    if kind == 2:
        key, value, proof = statement
        need(sparse_root(sha256(key).digest(), value, *proof) == fact[10])
        return kind, fact[4], (key, value)
    need(kind == 3 and statement is None)
    return kind, fact[4], None


def certified(trust, data, certificate, validators, epoch):
    """The fields of a header that a quorum of `validators` signed."""
    header = unpack(data)
    version, incarnation, cluster, stated, height, _, block = header[:7]
    need([version, incarnation, cluster, stated, len(header)] == [1, 0, trust, epoch, 16])
    need(header[14] == set_hash(validators))
    need(certificate[:5] == [0, epoch, height, block, tagged("isthmus/header/v1", data)])
    message = tagged("isthmus/header-signature/v1", msgpack.packb([trust, *certificate[:5]]))
    bitmap, signatures = certificate[5:]
    signers = [index for index in range(8 * len(bitmap)) if bitmap[index // 8] >> index % 8 & 1]
    need(len(bitmap) == (len(validators) + 7) // 8 and len(signatures) == 64 * len(signers))
    for position, index in enumerate(signers):
        VerifyKey(validators[index][0]).verify(message, signatures[64 * position : 64 * position + 64])
    need(3 * sum(validators[i][1] for i in signers) > 2 * sum(weight for _, weight in validators))
    return header


def set_hash(validators):
    return tagged("isthmus/validators/v1", msgpack.packb(validators))


def transaction(trust, header, data, receipt, index, size, data_path, receipt_path):
    body, signature = unpack(data)
    version, cluster, sender = unpack(body)[:3]
    tx_id = tagged("isthmus/transaction/v1", body)
    VerifyKey(sender).verify(tx_id, signature)
    need(version == 1 and cluster == trust and unpack(receipt)[:4] == [1, tx_id, header[4], index])
    need(climb(data, index, size, data_path) == header[8])
    need(climb(receipt, index, size, receipt_path) == header[9])
    return tx_id, unpack(receipt)[4]


def climb(data, index, size, path):
    """The root that RFC 6962's recursion gives for leaf `index` of `size` and its audit path."""
    need(0 <= index < size and all(type(item) is bytes and len(item) == 32 for item in path))
    if size == 1:
        need(path == [])
        return sha256(b"\x00" + data).digest()
    left = 1 << (size - 1).bit_length() - 1
    if index < left:
        return sha256(b"\x01" + climb(data, index, left, path[:-1]) + path[-1]).digest()
    return sha256(b"\x01" + path[-1] + climb(data, index - left, size - left, path[:-1])).digest()


def sparse_root(key_hash, value, depth, bitmap, joined, other):
    """The root that ICS-23's SmtSpec gives for a key with a value, or without one."""
    path = int.from_bytes(key_hash, "big")
    if value is not None:
        need(other is None)
        current = sha256(b"\x00" + key_hash + sha256(value).digest()).digest()
    elif other is None:
        current = bytes(32)
    else:
        need(len(other) == 64 and other[:32] != key_hash)
        need((int.from_bytes(other[:32], "big") ^ path) >> 256 - depth == 0)
        current = sha256(b"\x00" + other).digest()
    flags = "".join(f"{byte:08b}" for byte in bitmap)
    need(depth <= 256 and len(bitmap) == (depth + 7) // 8 and "1" not in flags[depth:])
    need(len(joined) == 32 * flags.count("1") and flags[:depth][-1:] != "0")
    for level in reversed(range(depth)):
        sibling = bytes(32)
        if flags[level] == "1":
            joined, sibling = joined[:-32], joined[-32:]
            need(sibling != bytes(32))
        pair = sibling + current if path >> 255 - level & 1 else current + sibling
        current = sha256(b"\x01" + pair).digest()
    return current


def unpack(data):
    value = msgpack.unpackb(data)
    need(msgpack.packb(value) == data)
    return value


def tagged(domain, data):
    return sha256(bytes([len(domain)]) + domain.encode() + data).digest()


def need(condition):
    if not condition:
        raise Refused("a check failed")

// The canonical codec of the ledger, strictly: arrays, integers, byte strings, text and nil, each in its one
// shortest form (`consensus/codec.py`). Other bytes are refused, so that a thing has one encoding and one hash.

export class NotCanonical extends Error {}

const DEPTH_MAX = 16;
const READ_TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const WRITE_TEXT = new TextEncoder();

/** The value that these bytes encode: numbers (BigInt beyond 2^53), strings, Uint8Array, null, arrays. */
export function decode(bytes, { depthMax = DEPTH_MAX } = {}) {
  const reader = new Reader(bytes, depthMax);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new NotCanonical("other bytes follow the value");
  return value;
}

class Reader {
  constructor(bytes, depthMax) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.depthMax = depthMax;
    this.at = 0;
  }

  value(depth) {
    const marker = this.byte();
    if (marker <= 0x7f) return marker;
    if (marker >= 0xe0) return marker - 0x100;
    if ((marker & 0xf0) === 0x90) return this.array(marker & 0x0f, depth);
    if ((marker & 0xe0) === 0xa0) return this.text(marker & 0x1f);
    switch (marker) {
      case 0xc0:
        return null;
      case 0xc4:
        return this.slice(this.size(1, 0));
      case 0xc5:
        return this.slice(this.size(2, 0x100));
      case 0xc6:
        return this.slice(this.size(4, 0x10000));
      case 0xcc:
        return this.size(1, 0x80);
      case 0xcd:
        return this.size(2, 0x100);
      case 0xce:
        return this.size(4, 0x10000);
      case 0xcf:
        return this.long(false);
      case 0xd0:
        return this.negative(1, -0x20);
      case 0xd1:
        return this.negative(2, -0x80);
      case 0xd2:
        return this.negative(4, -0x8000);
      case 0xd3:
        return this.long(true);
      case 0xd9:
        return this.text(this.size(1, 0x20));
      case 0xda:
        return this.text(this.size(2, 0x100));
      case 0xdb:
        return this.text(this.size(4, 0x10000));
      case 0xdc:
        return this.array(this.size(2, 0x10), depth);
      case 0xdd:
        return this.array(this.size(4, 0x10000), depth);
      default:
        throw new NotCanonical(`the byte 0x${marker.toString(16)} begins nothing that the ledger knows`);
    }
  }

  byte() {
    this.need(1);
    return this.bytes[this.at++];
  }

  need(count) {
    if (this.at + count > this.bytes.length) throw new NotCanonical("the bytes end inside a value");
  }

  /** An unsigned number of `width` bytes, refused below `least`, where a shorter form exists. */
  size(width, least) {
    this.need(width);
    const value =
      width === 1
        ? this.view.getUint8(this.at)
        : width === 2
          ? this.view.getUint16(this.at)
          : this.view.getUint32(this.at);
    this.at += width;
    if (value < least) throw new NotCanonical("a number is not in its shortest form");
    return value;
  }

  /** A signed number of `width` bytes, which must be below `below`. */
  negative(width, below) {
    this.need(width);
    const value =
      width === 1
        ? this.view.getInt8(this.at)
        : width === 2
          ? this.view.getInt16(this.at)
          : this.view.getInt32(this.at);
    this.at += width;
    if (value >= below) throw new NotCanonical("a number is not in its shortest form");
    return value;
  }

  long(isSigned) {
    this.need(8);
    const value = isSigned ? this.view.getBigInt64(this.at) : this.view.getBigUint64(this.at);
    this.at += 8;
    if (isSigned ? value >= -(2n ** 31n) : value < 2n ** 32n) {
      throw new NotCanonical("a number is not in its shortest form");
    }
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }

  slice(length) {
    this.need(length);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(length) {
    try {
      return READ_TEXT.decode(this.slice(length));
    } catch (error) {
      if (error instanceof NotCanonical) throw error;
      throw new NotCanonical("a text is not UTF-8");
    }
  }

  array(length, depth) {
    if (depth >= this.depthMax) throw new NotCanonical(`nested deeper than ${this.depthMax}`);
    this.need(length); // each item has a byte at least: nothing is allocated for a length that is made up
    const items = [];
    for (let index = 0; index < length; index++) items.push(this.value(depth + 1));
    return items;
  }
}

/** The canonical bytes of arrays, whole numbers from 0, Uint8Array, strings and null. */
export function encode(value) {
  const parts = [];
  write(value, parts);
  return join(parts);
}

function write(value, parts) {
  if (value === null) parts.push(Uint8Array.of(0xc0));
  else if (Array.isArray(value)) {
    if (value.length > 0xffff) throw new RangeError("too many items");
    parts.push(value.length < 16 ? Uint8Array.of(0x90 | value.length) : headed(0xdc, value.length, 2));
    for (const item of value) write(item, parts);
  } else if (value instanceof Uint8Array) {
    const width = value.length < 0x100 ? 1 : value.length < 0x10000 ? 2 : 4;
    parts.push(headed({ 1: 0xc4, 2: 0xc5, 4: 0xc6 }[width], value.length, width), value);
  } else if (typeof value === "string") {
    const bytes = WRITE_TEXT.encode(value);
    if (bytes.length > 0xff) throw new RangeError("too long a text");
    parts.push(bytes.length < 32 ? Uint8Array.of(0xa0 | bytes.length) : headed(0xd9, bytes.length, 1), bytes);
  } else parts.push(unsigned(value));
}

function unsigned(value) {
  if (!(value >= 0)) throw new RangeError(`${value} is no whole number from 0`);
  if (value < 0x80) return Uint8Array.of(Number(value));
  if (value < 0x100) return headed(0xcc, value, 1);
  if (value < 0x10000) return headed(0xcd, value, 2);
  if (value < 0x100000000) return headed(0xce, value, 4);
  return headed(0xcf, value, 8);
}

function headed(marker, value, width) {
  const bytes = new Uint8Array(1 + width);
  bytes[0] = marker;
  for (let at = width, left = BigInt(value); at > 0; at--, left >>= 8n) bytes[at] = Number(left & 0xffn);
  return bytes;
}

/** Byte strings one behind the other. */
export function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/*
 * msgpack.js - MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), both ways.
 *
 * Numbers take the shortest integer form, or float64. What JavaScript's kinds do not cover: integers that a number
 * cannot hold exactly are BigInt, binary is Uint8Array, timestamps are Date, other extensions are Extension, and maps
 * are plain objects when all names are strings, Map otherwise. Reading is strict: one whole value, valid UTF-8, no
 * length that the bytes present cannot hold.
 */

const DEPTH_MAX = 100;

/** An extension value of a type that this module does not know. */
export class Extension {
    constructor(type, data) {
        this.type = type;
        this.data = data;
    }
}

const toUtf8 = new TextEncoder();
const fromUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Output {
    constructor() {
        this.bytes = new Uint8Array(256);
        this.view = new DataView(this.bytes.buffer);
        this.size = 0;
    }

    /** Where `count` more bytes go. */
    take(count) {
        const at = this.size;
        if (at + count > this.bytes.length) {
            const larger = new Uint8Array(Math.max(this.bytes.length * 2, at + count));
            larger.set(this.bytes);
            this.bytes = larger;
            this.view = new DataView(larger.buffer);
        }
        this.size += count;
        return at;
    }

    u8(...values) {
        const at = this.take(values.length); // before `this.bytes` is read: it may be replaced
        this.bytes.set(values, at);
    }

    u16(value) {
        const at = this.take(2);
        this.view.setUint16(at, value);
    }

    u32(value) {
        const at = this.take(4);
        this.view.setUint32(at, value);
    }

    raw(bytes) {
        const at = this.take(bytes.length);
        this.bytes.set(bytes, at);
    }
}

/** The head of a string, binary, array or map: the shortest of the forms that exist for it. */
function putHead(out, count, { fix, fixMax = -1, head8, head16, head32 }) {
    if (count <= fixMax) {
        out.u8(fix | count);
    } else if (head8 && count < 0x100) {
        out.u8(head8, count);
    } else if (count < 0x10000) {
        out.u8(head16);
        out.u16(count);
    } else {
        out.u8(head32);
        out.u32(count);
    }
}

const STRING = { fix: 0xa0, fixMax: 31, head8: 0xd9, head16: 0xda, head32: 0xdb };
const BINARY = { head8: 0xc4, head16: 0xc5, head32: 0xc6 };
const ARRAY = { fix: 0x90, fixMax: 15, head16: 0xdc, head32: 0xdd };
const MAP = { fix: 0x80, fixMax: 15, head16: 0xde, head32: 0xdf };

function putInteger(out, value) {
    if (value >= 0 ? value < 0x80 : value >= -32) {
        out.u8(value & 0xff);
    } else if (value >= 0 && value < 0x100) {
        out.u8(0xcc, value);
    } else if (value >= 0 && value < 0x10000) {
        out.u8(0xcd);
        out.u16(value);
    } else if (value >= 0 && value < 0x100000000) {
        out.u8(0xce);
        out.u32(value);
    } else if (value >= -0x80 && value < 0) {
        out.u8(0xd0, value & 0xff);
    } else if (value >= -0x8000 && value < 0) {
        out.u8(0xd1);
        out.u16(value & 0xffff);
    } else if (value >= -0x80000000 && value < 0) {
        out.u8(0xd2);
        out.u32(value >>> 0);
    } else {
        putBigInt(out, BigInt(value));
    }
}

function putBigInt(out, value) {
    if (value < -(2n ** 63n) || value >= 2n ** 64n) {
        throw new RangeError(`${value} has more than 64 bits`);
    }
    out.u8(value < 0n ? 0xd3 : 0xcf);
    const at = out.take(8);
    out.view.setBigUint64(at, BigInt.asUintN(64, value));
}

function putNumber(out, value) {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
        putInteger(out, value);
    } else {
        out.u8(0xcb);
        const at = out.take(8);
        out.view.setFloat64(at, value);
    }
}

function putDate(out, date) {
    const ms = date.getTime();
    if (Number.isNaN(ms)) {
        throw new RangeError("an invalid Date");
    }
    const seconds = Math.floor(ms / 1000);
    out.u8(0xc7, 12, 0xff);
    out.u32((ms - seconds * 1000) * 1e6);
    const at = out.take(8);
    out.view.setBigInt64(at, BigInt(seconds));
}

function putObject(out, value, depth) {
    if (depth > DEPTH_MAX) {
        throw new RangeError(`nested deeper than ${DEPTH_MAX}`);
    }
    if (Array.isArray(value)) {
        putHead(out, value.length, ARRAY);
        value.forEach((item) => put(out, item ?? null, depth));
    } else if (value instanceof Date) {
        putDate(out, value);
    } else if (value instanceof Uint8Array) {
        putHead(out, value.length, BINARY);
        out.raw(value);
    } else {
        const pairs = value instanceof Map ? [...value] : Object.entries(value);
        const present = pairs.filter(([, item]) => item !== undefined);
        putHead(out, present.length, MAP);
        for (const [name, item] of present) {
            put(out, name, depth);
            put(out, item, depth);
        }
    }
}

function put(out, value, depth) {
    switch (typeof value) {
    case "string": {
        const bytes = toUtf8.encode(value);
        putHead(out, bytes.length, STRING);
        out.raw(bytes);
        return;
    }
    case "number": return putNumber(out, value);
    case "bigint": return putBigInt(out, value);
    case "boolean": return out.u8(value ? 0xc3 : 0xc2);
    case "object": return value === null ? out.u8(0xc0) : putObject(out, value, depth + 1);
    default: throw new TypeError(`MessagePack has no form for a ${typeof value}`);
    }
}

/** A value as MessagePack bytes. Object fields that are undefined are left out, as in JSON. */
export function encodeMsgpack(value) {
    const out = new Output();
    put(out, value, 0);
    return out.bytes.subarray(0, out.size);
}

class Input {
    constructor(bytes) {
        this.bytes = bytes;
        this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        this.at = 0;
    }

    /** Steps over `count` bytes, which must be there, and returns where they begin. */
    take(count) {
        if (count > this.bytes.length - this.at) {
            throw new RangeError("MessagePack that ends too early");
        }
        const at = this.at;
        this.at += count;
        return at;
    }

    u8() { return this.view.getUint8(this.take(1)); }
    u16() { return this.view.getUint16(this.take(2)); }
    u32() { return this.view.getUint32(this.take(4)); }
    big(value) { return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value; }
    slice(size) { return this.bytes.subarray(this.take(size), this.at); }
    text(size) { return fromUtf8.decode(this.slice(size)); }
}

function getArray(input, count, depth) {
    if (count > input.bytes.length - input.at) {
        throw new RangeError("MessagePack that ends too early"); // before anything is reserved
    }
    return Array.from({ length: count }, () => get(input, depth));
}

function getMap(input, count, depth) {
    if (2 * count > input.bytes.length - input.at) {
        throw new RangeError("MessagePack that ends too early");
    }
    const pairs = [];
    for (let i = 0; i < count; i++) {
        const name = get(input, depth);
        pairs.push([name, get(input, depth)]);
    }
    // fromEntries defines properties, so that "__proto__" is a name like any other.
    return pairs.every(([name]) => typeof name === "string") ? Object.fromEntries(pairs) : new Map(pairs);
}

function getExtension(input, size) {
    const type = (input.u8() << 24) >> 24;
    if (type !== -1) {
        return new Extension(type, input.slice(size).slice());
    }
    let seconds = 0, nanoseconds = 0;
    if (size === 4) {
        seconds = input.u32();
    } else if (size === 8) {
        const both = input.view.getBigUint64(input.take(8));
        seconds = Number(both & 0x3ffffffffn);
        nanoseconds = Number(both >> 34n);
    } else if (size === 12) {
        nanoseconds = input.u32();
        seconds = Number(input.view.getBigInt64(input.take(8)));
    }
    if (![4, 8, 12].includes(size) || nanoseconds >= 1e9) {
        throw new RangeError("a MessagePack timestamp that is none");
    }
    return new Date(seconds * 1000 + nanoseconds / 1e6);
}

/* From 0xc0 on; what a head byte means. */
const READERS = [
    () => null,
    () => { throw new RangeError("0xc1 begins nothing in MessagePack"); },
    () => false,
    () => true,
    (i) => i.slice(i.u8()).slice(),
    (i) => i.slice(i.u16()).slice(),
    (i) => i.slice(i.u32()).slice(),
    (i) => getExtension(i, i.u8()),
    (i) => getExtension(i, i.u16()),
    (i) => getExtension(i, i.u32()),
    (i) => i.view.getFloat32(i.take(4)),
    (i) => i.view.getFloat64(i.take(8)),
    (i) => i.u8(),
    (i) => i.u16(),
    (i) => i.u32(),
    (i) => i.big(i.view.getBigUint64(i.take(8))),
    (i) => i.view.getInt8(i.take(1)),
    (i) => i.view.getInt16(i.take(2)),
    (i) => i.view.getInt32(i.take(4)),
    (i) => i.big(i.view.getBigInt64(i.take(8))),
    (i) => getExtension(i, 1),
    (i) => getExtension(i, 2),
    (i) => getExtension(i, 4),
    (i) => getExtension(i, 8),
    (i) => getExtension(i, 16),
    (i) => i.text(i.u8()),
    (i) => i.text(i.u16()),
    (i) => i.text(i.u32()),
    (i, depth) => getArray(i, i.u16(), depth),
    (i, depth) => getArray(i, i.u32(), depth),
    (i, depth) => getMap(i, i.u16(), depth),
    (i, depth) => getMap(i, i.u32(), depth),
];

function get(input, depth) {
    if (depth > DEPTH_MAX) {
        throw new RangeError(`nested deeper than ${DEPTH_MAX}`);
    }
    const head = input.u8();
    if (head < 0x80) {
        return head;
    }
    if (head >= 0xe0) {
        return head - 0x100;
    }
    if (head >= 0xc0) {
        return READERS[head - 0xc0](input, depth + 1);
    }
    if (head >= 0xa0) {
        return input.text(head & 0x1f);
    }
    return head >= 0x90 ? getArray(input, head & 0x0f, depth + 1) : getMap(input, head & 0x0f, depth + 1);
}

/** The one value that these bytes are. Throws RangeError or TypeError when they are none. */
export function decodeMsgpack(bytes) {
    const input = new Input(bytes);
    const value = get(input, 0);
    if (input.at !== bytes.length) {
        throw new RangeError("more than one MessagePack value");
    }
    return value;
}

/*
 * codec.js - messages as frames, in JSON (text) and MessagePack (binary).
 *
 * An event is encoded once, when it is published. Such a finished piece (a string, or bytes) is what the outbox
 * keeps, and what frames are put together from: a message can be cut, sent again and kept across page loads
 * without a look at the events.
 */
import { decodeMsgpack, encodeMsgpack } from "./msgpack.js";

const utf8 = new TextEncoder();

const json = {
    name: "json",
    subprotocol: "penstock.v1.json",
    encode: JSON.stringify,
    decode: JSON.parse,

    /** The bytes of a piece on the wire. */
    size: (piece) => utf8.encode(piece).length,

    /** The frame of a `publish`; `head` has everything but the events. */
    join: (head, pieces) => `${JSON.stringify(head).slice(0, -1)},"events":[${pieces.join(",")}]}`,

    /** A piece as JSON text, or null when JSON cannot say it. */
    toJson: (piece) => piece,
};

const msgpack = {
    name: "msgpack",
    subprotocol: "penstock.v1.msgpack",
    encode: encodeMsgpack,
    decode: (data) => decodeMsgpack(new Uint8Array(data)),
    size: (piece) => piece.length,

    join(head, pieces) {
        // `events` comes last, so the empty array is the last byte: a longer one takes its place.
        const empty = encodeMsgpack({ ...head, events: [] });
        return concatenate([empty.subarray(0, -1), arrayHead(pieces.length), ...pieces]);
    },

    toJson(piece) {
        try {
            return JSON.stringify(decodeMsgpack(piece), sayInJson);
        } catch {
            return null;
        }
    },
};

export const CODECS = { json, msgpack };

/** A piece of one encoding in another; throws when that one cannot say it. */
export function recode(piece, from, to) {
    return from === to ? piece : to.encode(from.decode(piece));
}

function sayInJson(name, value) {
    if (typeof value === "bigint" && JSON.rawJSON) {
        return JSON.rawJSON(value.toString());
    }
    const isForeign = typeof value === "bigint" || value instanceof Map || ArrayBuffer.isView(value) ||
        ArrayBuffer.isView(value?.data) || (typeof value === "number" && !Number.isFinite(value));
    if (isForeign) {
        throw new TypeError(`JSON has no form for ${name}`);
    }
    return value;
}

function arrayHead(count) {
    if (count < 16) {
        return [0x90 | count];
    }
    return count < 0x10000 ? [0xdc, count >> 8, count & 0xff]
        : [0xdd, count >>> 24, (count >> 16) & 0xff, (count >> 8) & 0xff, count & 0xff];
}

function concatenate(parts) {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
        whole.set(part, at);
        at += part.length;
    }
    return whole;
}

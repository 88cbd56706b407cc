/*
 * msgpack.test.js - the codec against the vectors that the server's tests run as well.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decodeMsgpack, encodeMsgpack, Extension } from "../msgpack.js";

function vectors(name) {
    return JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url))).cases;
}

/** Hex, or a list of [hex, times]. */
function bytesOf(hex) {
    const text = Array.isArray(hex) ? hex.map(([part, times]) => part.repeat(times)).join("") : hex;
    return new Uint8Array(Buffer.from(text, "hex"));
}

/** As the vectors write a value: timestamps as text, numbers of any size by their digits. */
function asJson(value) {
    return JSON.stringify(value, (_, item) => (typeof item === "bigint" ? `BIG${item}BIG` : item))
        .replace(/"BIG(-?\d+)BIG"/g, "$1");
}

function sameNumberOrText(got, expected) {
    const number = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;
    return number.test(expected) && !/^-?\d{16,}$/.test(expected) ? Number(got) === Number(expected) : got === expected;
}

/** Every well-formed vector is read, as the JSON that stands beside it. */
test("reads what is well-formed", () => {
    let count = 0;
    for (const { name, hex, json, flaws } of vectors("msgpack").filter((each) => !each.error)) {
        const value = decodeMsgpack(bytesOf(hex));
        count++;
        if (json !== undefined && !(value instanceof Date) && typeof value === "object" && value !== null && !flaws) {
            assert.deepEqual(JSON.parse(asJson(value)), JSON.parse(json), name);
        } else if (json !== undefined && !(value instanceof Date) && !Object.is(value, -0)) {
            assert.ok(sameNumberOrText(asJson(value), json), `${name}: ${asJson(value)}, not ${json}`);
        }
    }
    assert.ok(count > 60, `only ${count} vectors`);
});

/** Every malformed vector is refused with an error of ours, and quickly: nothing is reserved on a claim. */
test("refuses what is malformed", () => {
    // How deep a value may be depends on what stands around it: the server's limit counts the whole message.
    const bad = vectors("msgpack").filter((each) => each.error && each.name !== "nested 98 deep");
    assert.ok(bad.length > 30, `only ${bad.length} vectors`);
    for (const { name, hex } of bad) {
        assert.throws(() => decodeMsgpack(bytesOf(hex)), (error) => error instanceof RangeError || error instanceof TypeError,
            name);
    }
});

/** What the server says in MessagePack is what it says in JSON. */
test("reads the server's messages", () => {
    for (const { name, json, msgpack } of vectors("server")) {
        const plain = JSON.parse(asJson(decodeMsgpack(bytesOf(msgpack))));
        assert.deepEqual(plain, JSON.parse(json), name);
    }
});

/** Our bytes for what a client says are those of the vectors, which a reference library wrote. */
test("writes the client's messages as the vectors have them", () => {
    let same = 0;
    for (const { name, json, msgpack, expect } of vectors("client")) {
        if (!json || !msgpack || expect.error || /number|integer ids|timestamp|escapes|white space|other forms/.test(name)) {
            continue; // forms that JSON.parse does not keep
        }
        assert.equal(Buffer.from(encodeMsgpack(JSON.parse(json))).toString("hex"), msgpack, name);
        same++;
    }
    assert.ok(same > 10, `only ${same} vectors`);
});

/** Every kind of value comes back as it went, at the borders of every form. */
test("brings back what it wrote", () => {
    const borders = [0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
    const values = [null, true, false, "", "é😀\u0000", 1.5, 5e-324, Infinity, -Infinity, 2n ** 63n, 2n ** 64n - 1n,
        -(2n ** 63n), {}, [], { a: [1, { b: null }] }, new Uint8Array([1, 2, 255]), new Date(0), new Date(-1),
        new Date(8.64e15), JSON.parse('{"__proto__":1}'), new Map([[1, "x"]]), ...borders, ...borders.map((n) => -n || 0)];
    for (const size of [31, 32, 255, 256, 65535, 65536]) {
        values.push("x".repeat(size), Array(size).fill(7), new Uint8Array(size),
            Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}`, i])));
    }
    for (const value of values) {
        assert.deepEqual(decodeMsgpack(encodeMsgpack(value)), value);
    }
    assert.ok(Object.is(decodeMsgpack(encodeMsgpack(-0)), -0));
    assert.ok(Number.isNaN(decodeMsgpack(encodeMsgpack(NaN))));
    assert.deepEqual(decodeMsgpack(new Uint8Array([0xd4, 5, 9])), new Extension(5, new Uint8Array([9])));
    assert.deepEqual(decodeMsgpack(encodeMsgpack({ a: undefined, b: 1 })), { b: 1 });
});

/** What has no form is refused when it is written. */
test("refuses to write what has no form", () => {
    const loop = {};
    loop.self = loop;
    for (const value of [2n ** 64n, -(2n ** 63n) - 1n, () => 1, Symbol("s"), new Date(NaN), loop]) {
        assert.throws(() => encodeMsgpack(value), (error) => error instanceof RangeError || error instanceof TypeError);
    }
});

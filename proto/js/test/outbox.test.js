/*
 * outbox.test.js - what becomes of a publication: cut, held back, kept by a store, handed to a beacon.
 */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { flushByBeacon } from "../beacon.js";
import { CODECS } from "../codec.js";
import { connect } from "../penstock.js";
import { fakeWebSocket, until } from "./fake_socket.js";

const clients = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

async function open({ limits, ...options } = {}) {
    const WebSocket = fakeWebSocket();
    const client = connect("http://localhost:8080", { backoff: { min: 1, max: 4 }, WebSocket, ...options });
    clients.push(client);
    await until(() => WebSocket.sockets.length === 1);
    const [socket] = WebSocket.sockets;
    socket.welcome(limits && { limits: { message_bytes: 1 << 20, events: 1000, channels: 100, ...limits } });
    return { client, socket, sockets: WebSocket.sockets };
}

function ack(socket, { id, events }, more = {}) {
    socket.say({ op: "ack", id, level: "committed", count: events.length, duplicates: 0, ...more });
}

/** A store in memory, which a next client can be given. */
function fakeStore(records = []) {
    const kept = new Set(records);
    return {
        kept,
        orphans: [],
        open: async () => ({ producer: "kept", records: [...kept] }),
        put: (record) => kept.add(record),
        remove: (record) => kept.delete(record),
        adopt(room) {
            return Promise.resolve(this.orphans.splice(0, room));
        },
    };
}

for (const encoding of ["json", "msgpack"]) {
    /** An array over the server's limits goes as several messages, in order, and one promise has the sum. */
    test(`events over the limits are split (${encoding})`, async () => {
        const { client, socket } = await open({ encoding, limits: { events: 3 } });
        const published = client.publish("s", Array.from({ length: 7 }, (_, n) => ({ n })), { ack: "committed" });
        const parts = socket.of("publish");
        assert.deepEqual(parts.map(({ events }) => events.map(({ n }) => n)), [[0, 1, 2], [3, 4, 5], [6]]);
        assert.equal(client.pending, 1);
        parts.forEach((part, place) => ack(socket, part, { offset: 10 + place }));
        const { count, offset, level } = await published;
        assert.deepEqual([count, offset, level], [7, 10, "committed"]);
    });

    /** Bytes count as they are on the wire: no frame is larger than what the server takes, in any script. */
    test(`bytes over the limits are split (${encoding})`, async () => {
        const { client, socket } = await open({ encoding, limits: { message_bytes: 2000 } });
        client.publish("s", Array.from({ length: 20 }, () => ({ text: "水".repeat(100) }))).catch(() => {});
        const { encode } = CODECS[encoding];
        const sizes = socket.of("publish").map((message) => Buffer.from(encode(message)).length);
        assert.ok(sizes.length > 3 && sizes.every((size) => size <= 2000), String(sizes));
        assert.equal(socket.of("publish").flatMap(({ events }) => events).length, 20);
    });
}

/** A refusal of one part names the event as the caller counts; what the others have stored is told. */
test("a part that is refused counts from the whole", async () => {
    const { client, socket } = await open({ limits: { events: 2 } });
    const published = client.publish("s", [{}, {}, {}, {}]);
    const [first, second] = socket.of("publish");
    socket.say({ op: "error", id: second.id, code: "invalid_event", message: "no", index: 1 });
    assert.equal(client.pending, 1);
    ack(socket, first);
    await assert.rejects(published, ({ code, index, ack }) => code === "invalid_event" && index === 3 && ack.count === 2);
});

/** An event that fits into no message refuses its publication before anything of it is sent. */
test("an event that is too large alone is named", async () => {
    const { client, socket } = await open({ limits: { message_bytes: 500 } });
    await assert.rejects(client.publish("s", [{}, {}, { text: "x".repeat(600) }]), { code: "too_large", index: 2 });
    assert.equal(socket.of("publish").length, 0);
    await assert.rejects(client.publish("s", [{}, "no event"]), { code: "malformed", index: 1 });
});

/** What is answered in part when the connection breaks goes on with the parts that have no answer. */
test("only unanswered parts are sent again", async () => {
    const { client, sockets, socket } = await open({ limits: { events: 1 } });
    const published = client.publish("s", [{ n: 0 }, { n: 1 }, { n: 2 }]);
    ack(socket, socket.of("publish")[0]);
    socket.drop();
    await until(() => sockets.length === 2);
    sockets[1].welcome();
    assert.deepEqual(sockets[1].of("publish").map(({ events }) => events[0].n), [1, 2]);
    sockets[1].of("publish").forEach((part) => ack(sockets[1], part));
    assert.equal((await published).count, 3);
});

/** The longest pause that the server has asked for counts, and its own trouble is waited out aloud. */
test("pauses are kept, and trouble is told", async () => {
    const { client, socket } = await open();
    const errors = [];
    client.on("error", ({ code }) => errors.push(code));
    const both = [client.publish("s", { n: 1 }), client.publish("s", { n: 2 })];
    const [first, second] = socket.of("publish");
    const asked = Date.now();
    socket.say({ op: "error", id: first.id, code: "disk_full", message: "full", retry_after_ms: 80 });
    socket.say({ op: "error", id: second.id, code: "rate_limited", message: "slow", retry_after_ms: 1 });
    await until(() => socket.of("publish").length === 4);
    assert.ok(Date.now() - asked >= 75);
    assert.deepEqual(errors, ["disk_full"]);
    socket.of("publish").slice(2).forEach((message) => ack(socket, message));
    await Promise.all(both);
});

/** `unauthorized` on a live session asks for another token, and the message is sent again. */
test("an unauthorized publish asks for a token", async () => {
    let asked = 0;
    const { client, socket } = await open({ token: () => `t${++asked}` });
    const accept = () => socket.say({ op: "authenticated", id: socket.of("auth").at(-1).id, user: "u",
        expires: Date.now() / 1000 + 600 });
    accept();
    const published = client.publish("s", {});
    const [{ id }] = socket.of("publish");
    socket.say({ op: "error", id, code: "unauthorized", message: "expired", retry_after_ms: 1 });
    await until(() => socket.of("auth").length === 2);
    assert.equal(socket.of("auth")[1].token, "t2");
    accept();
    await until(() => socket.of("publish").length === 2);
    ack(socket, socket.of("publish")[1]);
    await published;
});

/** What a page leaves, the next one sends: first, with the same ids, under the same producer's name. */
test("a store outlives the client", async () => {
    const store = fakeStore();
    const { client, socket } = await open({ outbox: store });
    const lost = [client.publish("s", { n: 1 }), client.publish("s", { n: 2 })];
    client.publish("s", { n: 0 }, { ack: "none" });
    const answered = client.publish("s", { n: 3 });
    const sent = socket.of("publish");
    ack(socket, sent[3]);
    await answered;
    client.close();
    await Promise.all(lost.map((each) => assert.rejects(each, { code: "closed" })));
    assert.equal(store.kept.size, 2);

    const next = await open({ outbox: store, encoding: "msgpack" });
    assert.equal(next.socket.url.searchParams.get("producer"), "kept");
    next.client.publish("s", { n: 4 }).catch(() => {});
    const again = next.socket.of("publish");
    assert.deepEqual(again.slice(0, 2).map(({ events }) => events), sent.slice(0, 2).map(({ events }) => events));
    assert.equal(again[2].events[0].n, 4);
    const errors = [];
    next.client.on("error", (error) => errors.push(error));
    ack(next.socket, again[0]);
    next.socket.say({ op: "error", id: again[1].id, code: "invalid_event", message: "no", index: 0 });
    assert.deepEqual([store.kept.size, next.client.pending], [1, 1]);
    assert.deepEqual(errors.map(({ code, stream }) => [code, stream]), [["invalid_event", "s"]]);
});

/** A store that brings nothing keeps nobody from publishing. */
test("a store that fails is done without", async () => {
    const WebSocket = fakeWebSocket();
    const outbox = { ...fakeStore(), open: () => Promise.reject(new Error("the disk is gone")),
        adopt: () => { throw new Error("still gone"); } };
    const client = connect("http://localhost:8080", { outbox, WebSocket });
    clients.push(client);
    const errors = [];
    client.on("error", ({ code, message }) => errors.push([code, message]));
    const published = client.publish("s", {});
    const [socket] = await until(() => WebSocket.sockets.length === 1 && WebSocket.sockets);
    socket.welcome();
    ack(socket, socket.of("publish")[0]);
    assert.equal((await published).count, 1);
    assert.deepEqual(errors, [["io", "the outbox's store: the disk is gone"], ["io", "the outbox's store: still gone"]]);
});

/** What other pages have left is asked for with every session, as far as there is room. */
test("orphans of a store are adopted", async () => {
    const store = fakeStore();
    store.orphans = [1, 2, 3].map((n) => (
        { encoding: "json", stream: "s", ack: "durable", isRepeatable: true, pieces: [`{"n":${n}}`] }));
    const { client, socket } = await open({ outbox: store, maxPending: 2 });
    await until(() => socket.of("publish").length === 2);
    await assert.rejects(client.publish("s", {}), { code: "overloaded", message: /^the outbox is full: 2 messages/ });
    assert.equal(store.orphans.length, 1);
});

/** A beacon has what fits, a stream and a message each, in JSON, oldest first; what it has not taken whole is not counted. */
test("beacons take what fits", () => {
    const { msgpack } = CODECS;
    const message = (stream, ...events) => ({ stream, pieces: events.map(msgpack.encode) });
    const messages = [message("a", { n: 1 }, { n: 2 }), message("b", { n: 3 }), message("a", { n: 2n ** 60n }),
        message("a", { bytes: new Uint8Array(2) }), message("a", { text: "水".repeat(40) })];
    const posted = [];
    const post = (stream, body) => posted.push([stream, body]);
    const taken = flushByBeacon(messages.slice(0, 4), msgpack, post);
    const exact = JSON.rawJSON ? [["a", '[{"n":1152921504606846976}]']] : []; // bytes have no JSON anywhere
    assert.deepEqual(posted, [["a", '[{"n":1},{"n":2}]'], ...exact, ["b", '[{"n":3}]']]);
    assert.equal(taken.length, 2 + exact.length);
    assert.deepEqual(flushByBeacon(messages.slice(4), msgpack, post, { bytesMax: 100 }), []); // has 132 bytes
    posted.length = 0;
    const picky = (stream, body) => body.length < 12 && post(stream, body);
    assert.deepEqual(flushByBeacon(messages.slice(0, 1), msgpack, picky), []);
    assert.deepEqual(posted, [["a", '[{"n":1}]']]);
});

/** One invalid event refuses the request that it is in: messages go alone while they are few, and in few groups when
 * they are many; where the outbox outlives the page, in one, whose order is kept. */
test("beacons keep messages apart", () => {
    const { json } = CODECS;
    const messages = Array.from({ length: 40 }, (_, n) => ({ stream: "s", pieces: [json.encode({ n })] }));
    const sizesOf = (count, limits) => {
        const bodies = [];
        const post = (stream, body) => bodies.push(JSON.parse(body));
        assert.equal(flushByBeacon(messages.slice(0, count), json, post, limits).length, count);
        assert.deepEqual(bodies.flat().map(({ n }) => n), [...Array(count).keys()]);
        return bodies.map((body) => body.length);
    };
    assert.deepEqual(sizesOf(3), [1, 1, 1]);
    assert.deepEqual(sizesOf(40), [...Array(13).fill(3), 1]);
    assert.deepEqual(sizesOf(40, { requestsMax: 1 }), [40]);
    assert.deepEqual(sizesOf(40, { requestsMax: 1, eventsMax: 25 }), [25, 15]);
    const large = { stream: "s", pieces: messages.flatMap(({ pieces }) => pieces) };
    assert.deepEqual(flushByBeacon([large], json, () => true, { eventsMax: 25 }), []);
});

/*
 * client.test.js - the client's promises, with the test as the server.
 */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { connect, PenstockError, uuidv7 } from "../penstock.js";
import { EPOCH, fakeWebSocket, until } from "./fake_socket.js";

const clients = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

/** A client whose reconnects take no time, and the sockets it makes. */
function start(options = {}) {
    const WebSocket = fakeWebSocket();
    const client = connect("http://localhost:8080", { backoff: { min: 1, max: 4 }, WebSocket, ...options });
    clients.push(client);
    return { client, sockets: WebSocket.sockets };
}

/** The same, with a session open. */
async function open(options) {
    const { client, sockets } = start(options);
    await until(() => sockets.length === 1);
    sockets[0].welcome(options?.welcome);
    return { client, sockets, socket: sockets[0] };
}

async function nextSocket(sockets, welcome) {
    const count = sockets.length;
    await until(() => sockets.length > count, "a new connection");
    const socket = sockets[count];
    socket.welcome(welcome);
    return socket;
}

function event(offset, data = {}) {
    return { offset, stream: "behavior", data };
}

for (const encoding of ["json", "msgpack"]) {
    /** publish() resolves with the ack, and the events carry ids that the client made. */
    test(`publish resolves with the ack (${encoding})`, async () => {
        const { client, socket } = await open({ encoding });
        const acked = client.publish("behavior", [{ eventType: "a" }, { eventType: "b", id: "mine" }], { ack: "committed" });
        const [message] = socket.of("publish");
        assert.equal(socket.protocol, `penstock.v1.${encoding}`);
        assert.deepEqual(Object.keys(message), ["op", "id", "stream", "ack", "events"]); // the server's fast order
        assert.equal(message.stream, "behavior");
        assert.equal(message.ack, "committed");
        assert.match(message.events[0].id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        assert.equal(message.events[1].id, "mine");
        const ack = { op: "ack", id: message.id, level: "committed", count: 2, duplicates: 0, offset: 7 };
        socket.say(ack);
        assert.deepEqual(await acked, ack);
        assert.equal(client.pending, 0);
    });
}

/** A refusal rejects the promise with code, index and field; other messages are not concerned. */
test("an error rejects only its own publish", async () => {
    const { client, socket } = await open();
    const bad = client.publish("behavior", {});
    const good = client.publish("behavior", {});
    const [first, second] = socket.of("publish");
    socket.say({ op: "error", id: first.id, code: "invalid_event", message: "is required", index: 0, field: "userId" });
    socket.say({ op: "ack", id: second.id, level: "durable", count: 1, duplicates: 0 });
    await assert.rejects(bad, (error) => error instanceof PenstockError && error.code === "invalid_event" &&
        error.index === 0 && error.field === "userId" && error.message === "is required");
    assert.equal((await good).count, 1);
});

/** Events that only the database refused are named, beside the ack of the others. */
test("rejections by the database come with the ack", async () => {
    const { client, socket } = await open();
    const published = client.publish("behavior", [{}, {}, {}], { ack: "committed" });
    const [{ id }] = socket.of("publish");
    socket.say({ op: "error", id, code: "rejected_by_database", message: "no such user", index: 1 });
    assert.equal(client.pending, 1);
    socket.say({ op: "ack", id, level: "committed", count: 2, duplicates: 0, offset: 5 });
    await assert.rejects(published, (error) => error.code === "rejected_by_database" && error.ack.count === 2 &&
        error.rejected.length === 1 && error.rejected[0].index === 1);
    const errors = [];
    client.on("error", (error) => errors.push(error));
    socket.say({ op: "error", id: 99, code: "rejected_by_database", message: "after a durable ack", index: 0 });
    assert.equal(errors[0].id, 99);
});

/** What was said of a message before its session was lost is said again when it is sent again: no event is named twice. */
test("rejections of a message that is sent again count once", async () => {
    const { client, sockets, socket } = await open();
    const published = client.publish("behavior", [{}, {}, {}], { ack: "committed" });
    const [{ id }] = socket.of("publish");
    const rejection = { op: "error", id, code: "rejected_by_database", message: "no such user", index: 1 };
    socket.say(rejection);
    socket.drop();
    const next = await nextSocket(sockets);
    assert.equal(next.of("publish")[0].id, id);
    next.say(rejection);
    next.say({ op: "ack", id, level: "committed", count: 2, duplicates: 2 });
    await assert.rejects(published, (error) => error.ack.count === 2 && error.rejected.length === 1 &&
        error.rejected[0].index === 1);
});

/** What is published without a connection is sent when there is one, in order. */
test("publishes wait for the session", async () => {
    const { client, sockets } = start();
    client.publish("behavior", { n: 1 }).catch(() => {});
    client.publish("behavior", { n: 2 }).catch(() => {});
    await until(() => sockets.length === 1);
    assert.equal(sockets[0].sent.length, 0);
    sockets[0].welcome();
    assert.deepEqual(sockets[0].of("publish").map((message) => message.events[0].n), [1, 2]);
    assert.equal((await client.opened).epoch, EPOCH);
});

/** After a lost connection, what was not acknowledged is sent again: same message, same ids, same order. */
test("unacknowledged messages are sent again after a reconnect", async () => {
    const { client, sockets, socket } = await open();
    const promises = [1, 2, 3].map((n) => client.publish("behavior", { n }));
    const sent = socket.of("publish");
    socket.say({ op: "ack", id: sent[0].id, level: "durable", count: 1, duplicates: 0 });
    socket.drop();
    assert.equal(client.state, "waiting");
    client.publish("behavior", { n: 4 }).catch(() => {});
    const next = await nextSocket(sockets);
    const again = next.of("publish");
    assert.deepEqual(again.slice(0, 2), sent.slice(1));
    assert.deepEqual(again.map((message) => message.events[0].n), [2, 3, 4]);
    again.forEach(({ id }) => next.say({ op: "ack", id, level: "durable", count: 1, duplicates: 1 }));
    assert.equal((await promises[2]).duplicates, 1);
    assert.equal(client.pending, 0);
});

/** The producer's name stays the same over reconnects, so that the order does. */
test("the producer survives a reconnect", async () => {
    const { sockets, socket } = await open();
    socket.drop();
    const next = await nextSocket(sockets);
    assert.equal(socket.url.pathname, "/v1/ws");
    assert.equal(socket.url.protocol, "ws:");
    assert.ok(socket.url.searchParams.get("producer"));
    assert.equal(next.url.searchParams.get("producer"), socket.url.searchParams.get("producer"));
});

/** The last `auth` that was sent, answered as the server would. */
function acceptToken(socket, seconds = 600) {
    const { id, token } = socket.of("auth").at(-1);
    socket.say({ op: "authenticated", id, user: "u", expires: Date.now() / 1000 + seconds });
    return token;
}

/** A token goes in a message, not in the address, and nothing is published or subscribed before it is taken; each
 * connection gets a fresh one. */
test("the token comes first, on every connection", async () => {
    let asked = 0;
    const { client, sockets } = start({ token: async () => `t${++asked}` });
    await until(() => sockets.length === 1);
    const [socket] = sockets;
    const published = client.publish("behavior", {});
    client.subscribe("user:1");
    socket.welcome();
    assert.equal(client.state, "connecting");
    assert.deepEqual(socket.sent.map(({ op }) => op), ["auth"]);
    assert.equal(acceptToken(socket), "t1");
    assert.equal(client.state, "open");
    assert.deepEqual(socket.sent.map(({ op }) => op), ["auth", "subscribe", "publish"]);
    socket.drop(1008, "the token has expired");
    const next = await nextSocket(sockets);
    assert.equal(acceptToken(next), "t2");
    next.say({ op: "ack", id: next.of("publish")[0].id, level: "durable", count: 1, duplicates: 0 });
    await published;
    assert.ok(!sockets.some(({ url }) => url.href.includes("t1") || url.href.includes("t2")));
});

/** A token that expires soon is replaced on the live connection; what the new one does not allow any more ends. */
test("a token is refreshed before it expires", async () => {
    let asked = 0;
    const { client, sockets } = start({ token: () => `t${++asked}` });
    await until(() => sockets.length === 1);
    const [socket] = sockets;
    socket.welcome();
    acceptToken(socket, 2);
    const subscription = client.subscribe("user:1");
    await until(() => socket.of("auth").length === 2, "the refresh");
    assert.equal(acceptToken(socket), "t2");
    socket.say({ op: "unsubscribed", channel: "user:1", reason: "the new token does not allow this channel" });
    await assert.rejects(subscription.ready, ({ code }) => code === "forbidden");
    assert.equal(client.state, "open");
    assert.equal(sockets.length, 1);
});

/** Lets what waits for promises happen, with clocks that stand. */
async function settle() {
    for (let i = 0; i < 20; i++) {
        await Promise.resolve();
    }
}

/** A client whose clock the test sets, with an open session and a token function. */
async function openWithClock(t, token, options, heartbeat = 100000) {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() });
    const { client, sockets } = start({ token, ...options });
    await settle();
    const [socket] = sockets;
    socket.welcome({ heartbeat_s: heartbeat });
    return { client, socket, async pass(ms) {
        t.mock.timers.tick(ms);
        await settle();
    } };
}

/** To a clock that is ahead every token looks as good as expired. That must not ask for tokens without end. */
test("a clock that is ahead does not refresh all the time", async (t) => {
    let asked = 0;
    const { socket, pass } = await openWithClock(t, () => `t${++asked}`);
    acceptToken(socket, -60);
    for (let second = 0; second < 120; second++) {
        await pass(1000);
        socket.of("auth").length < asked || acceptToken(socket, -60);
    }
    assert.ok(asked >= 3 && asked <= 6, `${asked} times`);
});

/** A refresh that fails, or never returns, is told and repeated; the session goes on, and the next token is taken. */
test("a refresh that fails is repeated", async (t) => {
    const asked = [];
    const token = () => new Promise((resolve, reject) => {
        asked.push({ resolve, reject });
        asked.length === 1 && resolve("t1");
    });
    const { client, socket, pass } = await openWithClock(t, token, { openTimeout: 7000 });
    const errors = [];
    client.on("error", ({ code, message }) => errors.push([code, message]));
    acceptToken(socket, 600);
    await pass(540000);
    assert.equal(asked.length, 2);
    asked[1].reject(null);
    await settle();
    assert.deepEqual(errors, [["unauthorized", "there is no token"]]);
    await pass(5000);
    assert.equal(asked.length, 3);
    await pass(7000); // it does not come
    assert.deepEqual(errors[1], ["unauthorized", "no token within openTimeout"]);
    await pass(5000);
    assert.equal(asked.length, 4);
    asked[2].resolve("late");
    await settle();
    assert.equal(socket.of("auth").length, 1);
    asked[3].resolve("t4");
    await settle();
    assert.equal(acceptToken(socket), "t4");
    await pass(7000);
    assert.deepEqual([client.state, errors.length, asked.length], ["open", 2, 4]);
});

/** A refused token is an error event and a new attempt; what waits to be published is not lost. */
test("a refused token is tried again", async () => {
    const errors = [];
    const { client, sockets } = start({ token: async () => "wrong" });
    client.on("error", (error) => errors.push(error.code));
    await until(() => sockets.length === 1);
    const published = client.publish("behavior", {});
    sockets[0].welcome();
    sockets[0].say({ op: "error", id: sockets[0].of("auth")[0].id, code: "unauthorized", message: "has expired" });
    assert.deepEqual(errors, ["unauthorized"]);
    const next = await nextSocket(sockets);
    acceptToken(next);
    next.say({ op: "ack", id: next.of("publish")[0].id, level: "durable", count: 1, duplicates: 0 });
    assert.equal((await published).count, 1);
});

/** Who closes the client when its token is refused has closed it for good. */
test("a client that is closed at a refused token stays closed", async () => {
    const { client, sockets } = start({ token: "wrong" });
    const states = [];
    client.on("state", ({ state }) => states.push(state));
    client.on("error", () => client.close());
    await until(() => sockets.length === 1);
    sockets[0].welcome();
    sockets[0].say({ op: "error", id: sockets[0].of("auth")[0].id, code: "unauthorized", message: "is forged" });
    assert.deepEqual([client.state, states, sockets[0].closedWith.code], ["closed", ["closed"], 1000]);
    await new Promise((resolve) => setTimeout(resolve, 20)); // a back-off has 4 ms at most
    assert.deepEqual([client.state, sockets.length], ["closed", 1]);
});

/** A server that asks for no tokens is one that takes any. */
test("a server without tokens is open at once", async () => {
    const { client, sockets } = start({ token: "any" });
    await until(() => sockets.length === 1);
    sockets[0].welcome();
    sockets[0].say({ op: "error", id: sockets[0].of("auth")[0].id, code: "unsupported", message: "no tokens" });
    assert.equal(client.state, "open");
});

/** "Try again later" is no failure: the message waits as long as asked, others behind it. */
test("an overloaded server gets the message again", async () => {
    const { client, socket } = await open();
    const published = client.publish("behavior", { n: 1 });
    const [first] = socket.of("publish");
    const asked = Date.now();
    socket.say({ op: "error", id: first.id, code: "overloaded", message: "full", retry_after_ms: 60 });
    client.publish("behavior", { n: 2 }).catch(() => {});
    assert.equal(socket.of("publish").length, 1);
    await until(() => socket.of("publish").length === 3);
    assert.ok(Date.now() - asked >= 55);
    assert.deepEqual(socket.of("publish").map((message) => message.events[0].n), [1, 1, 2]);
    socket.say({ op: "ack", id: first.id, level: "durable", count: 1, duplicates: 0 });
    await published;
});

/** Only so many messages are on their way at once. */
test("messages in flight are bounded", async () => {
    const { client, socket } = await open({ maxInFlight: 2 });
    for (let n = 1; n <= 4; n++) {
        client.publish("behavior", { n }).catch(() => {});
    }
    assert.equal(socket.of("publish").length, 2);
    socket.say({ op: "ack", id: socket.of("publish")[0].id, level: "durable", count: 1, duplicates: 0 });
    assert.equal(socket.of("publish").length, 3);
});

/** Memory is bounded as well: past the limit publish() says so at once. */
test("messages that wait are bounded", async () => {
    const { client } = start({ maxPending: 2 });
    client.publish("s", {}).catch(() => {});
    client.publish("s", {}).catch(() => {});
    await assert.rejects(client.publish("s", {}), { code: "overloaded" });
    const { client: small } = start({ maxPendingBytes: 1000 });
    await assert.rejects(small.publish("s", { text: "x".repeat(2000) }), { code: "overloaded" });
});

/** A message that the server would close the session for is refused here, and the others go on. */
test("a message over the server's limit is refused", async () => {
    const { client, socket } = await open({ welcome: { limits: { message_bytes: 300, events: 10, channels: 10 } } });
    const big = client.publish("s", { text: "x".repeat(500) });
    client.publish("s", { n: 1 }).catch(() => {});
    await assert.rejects(big, { code: "too_large" });
    assert.equal(socket.of("publish").length, 1);
    await assert.rejects(client.publish("s", { n: 1n }), { code: "malformed" }); // JSON has no BigInt
});

/** ack "none" resolves when the message is on its way, and is not remembered. */
test("unacknowledged publishing resolves when sent", async () => {
    const { client, sockets, socket } = await open();
    assert.equal(await client.publish("s", { n: 1 }, { ack: "none" }), null);
    assert.equal(client.pending, 0);
    socket.drop();
    const next = await nextSocket(sockets);
    assert.equal(next.of("publish").length, 0);
});

/** close() rejects what waits, ends subscriptions, and does not reconnect. */
test("close ends everything", async () => {
    const { client, sockets, socket } = await open();
    const published = client.publish("s", {});
    const subscription = client.subscribe("c");
    const read = subscription[Symbol.asyncIterator]().next();
    client.close();
    await assert.rejects(published, { code: "closed" });
    assert.deepEqual(await read, { value: undefined, done: true });
    assert.equal(socket.closedWith.code, 1000);
    assert.equal(client.state, "closed");
    await assert.rejects(client.publish("s", {}), { code: "closed" });
    assert.throws(() => client.subscribe("d"), { code: "closed" });
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(sockets.length, 1);
});

/** `opened` is always settled: a client that is closed before its first session, or not understood, has none. */
test("a client that never opens says so", async () => {
    const why = [];
    const { client } = start();
    client.close();
    client.opened.catch(({ code }) => why.push(code));
    const { client: stranger, sockets } = start();
    stranger.opened.catch(({ code }) => why.push(code));
    await until(() => sockets.length === 1);
    sockets[0].drop(1002);
    await until(() => why.length === 2);
    assert.deepEqual(why, ["closed", "malformed"]);
    start().client.close(); // nobody who does not ask is bothered with it
    await new Promise((resolve) => setTimeout(resolve, 1));
});

/** A close code that pages may not say, or a reason that is too long, closes all the same. */
for (const [code, reason] of [[1001, "going"], [4000, "x".repeat(124)], [4000, "ü".repeat(62)]]) {
    test(`close(${code}) with ${reason.length} characters closes`, async () => {
        const { client, socket } = await open();
        const published = client.publish("s", {});
        client.close(code, reason);
        assert.deepEqual([client.state, socket.closedWith.code], ["closed", 1000]);
        await assert.rejects(published, { code: "closed" });
    });
}

/** The server's own words, which may be long ones, are no obstacle to leaving it either. */
test("a token that is refused at length is tried again", async () => {
    const { sockets } = start({ token: "wrong" });
    await until(() => sockets.length === 1);
    sockets[0].welcome();
    const { id } = sockets[0].of("auth")[0];
    sockets[0].say({ op: "error", id, code: "unauthorized", message: "ü".repeat(100) });
    assert.ok(sockets[0].closedWith);
    await nextSocket(sockets);
});

/** Every change of the connection is told, with the reason and the time to the next attempt. */
test("states are told in order", async () => {
    const { client, sockets, socket } = await open();
    const seen = [];
    client.on("state", (change) => seen.push(change));
    socket.drop(1013, "busy");
    await nextSocket(sockets);
    assert.deepEqual(seen.map(({ state }) => state), ["waiting", "connecting", "open"]);
    assert.equal(seen[0].code, 1013);
    assert.equal(seen[0].reason, "busy");
    assert.ok(seen[0].delay >= 1);
});

/** A listener that hears of the open session may use it: what it asks for is sent once, within the server's limits. */
test("a listener of an open session uses it", async () => {
    const { client, sockets } = start();
    const refusals = [];
    client.on("state", ({ state }) => {
        if (state === "open") {
            client.subscribe("a", { last: 5 }, () => {});
            client.publish("s", { text: "x".repeat(500) }).catch(({ code }) => refusals.push(code));
        }
    });
    client.publish("s", { n: 1 }).catch(() => {});
    await until(() => sockets.length === 1);
    sockets[0].welcome({ limits: { message_bytes: 300, events: 10 } });
    assert.deepEqual(sockets[0].sent.map(({ op }) => op), ["publish", "subscribe"]);
    await until(() => refusals.length === 1);
    assert.deepEqual(refusals, ["too_large"]);
});

/** It may close the client as well, and nothing more is said then. */
test("a listener of an open session closes the client", async () => {
    const { client, sockets } = start();
    const states = [];
    client.on("state", ({ state }) => {
        states.push(state);
        state === "open" && client.close();
    });
    await until(() => sockets.length === 1);
    sockets[0].welcome();
    assert.deepEqual([states, sockets[0].sent], [["open", "closed"], []]);
});

/** The waits between attempts grow to their limit, and are never the same for all clients. */
test("back-off grows and is bounded", async () => {
    const { client, sockets } = start({ backoff: { min: 2, max: 16 } });
    const delays = [];
    client.on("state", (change) => change.state === "waiting" && delays.push(change.delay));
    for (let i = 0; i < 8; i++) {
        await until(() => sockets.length === i + 1);
        sockets[i].drop();
    }
    assert.ok(delays[0] >= 2 && delays[0] <= 4, `${delays}`);
    assert.ok(delays.slice(4).every((delay) => delay >= 8 && delay <= 16), `${delays}`);
});

/** A server that answers pings is kept; one that has gone silent is left, even when its socket never closes. */
test("a silent server is left", async () => {
    const { sockets, socket } = await open({ welcome: { heartbeat_s: 1 }, pongTimeout: 100 });
    let socketsAtPing2;
    const { send } = socket;
    socket.send = (frame) => { // answers the first ping in the same breath, however busy the machine is
        send.call(socket, frame);
        const pings = socket.of("ping").length;
        pings === 1 ? socket.say({ op: "pong" }) : (socketsAtPing2 ??= sockets.length);
    };
    await until(() => sockets.length === 2);
    assert.ok(socket.of("ping").length >= 2); // on a busy machine the next is due before the silence is seen
    assert.equal(socketsAtPing2, 1);
    assert.equal(socket.closedWith.code, 4000);
});

/** A timer that comes late says nothing of the server: browsers run those of hidden pages once a minute. The server is
 * asked first, and left only when that has no answer. */
test("a late timer asks before it leaves", async (t) => {
    const { client, sockets, socket } = await open({ welcome: { heartbeat_s: 1 }, pongTimeout: 1500 });
    const clock = Date.now;
    t.after(() => (Date.now = clock));
    Date.now = () => clock() + 60000;
    await until(() => socket.of("ping").length === 1);
    assert.equal(client.state, "open");
    assert.equal(sockets.length, 1);
    socket.say({ op: "pong" });
    Date.now = () => clock() + 120000;
    await until(() => socket.of("ping").length === 2);
    assert.equal(client.state, "open");
    assert.equal(sockets.length, 1);
    await until(() => sockets.length === 2, "the dead connection is left");
    assert.equal(socket.of("ping").length, 2);
    assert.equal(socket.closedWith.code, 4000);
});

/** A clock that is set back puts off neither the next ping nor the end of the wait for its answer. */
test("a clock that is set back puts nothing off", async (t) => {
    const { client, socket, pass } = await openWithClock(t, undefined, { pongTimeout: 5000 }, 30);
    const clock = Date.now;
    const hour = 3600000;
    t.mock.method(Date, "now", () => clock() - hour);
    await pass(30000);
    await pass(30000);
    assert.equal(socket.of("ping").length, 1);
    t.mock.method(Date, "now", () => clock() - 2 * hour);
    await pass(5000);
    await pass(5000);
    assert.equal(client.state, "waiting");
});

/** Events arrive in order, at the callback or at the iterator, with their offsets. */
test("subscriptions deliver events", async () => {
    const { client, socket } = await open();
    const got = [];
    client.subscribe("a", {}, (each) => got.push(each));
    const iterated = client.subscribe("b", { last: 10 });
    const [a, b] = socket.of("subscribe");
    assert.deepEqual(a, { op: "subscribe", id: a.id, channel: "a" });
    assert.equal(b.last, 10);
    socket.say({ op: "subscribed", id: a.id, channel: "a", epoch: EPOCH, offset: 0, recovered: true });
    socket.say({ op: "subscribed", id: b.id, channel: "b", epoch: EPOCH, offset: 3, recovered: true });
    socket.say({ op: "events", channel: "a", events: [event(1), event(2)] });
    socket.say({ op: "events", channel: "b", events: [event(4, { x: 1 })] });
    assert.deepEqual(got.map(({ offset }) => offset), [1, 2]);
    for await (const each of iterated) {
        assert.deepEqual(each, event(4, { x: 1 }));
        break;
    }
    assert.equal(socket.of("unsubscribe")[0].channel, "b"); // leaving the loop leaves the channel
    assert.equal((await iterated.ready).offset, 3);
});

/** A new session continues behind the last event; nothing comes twice. */
test("subscriptions resume by offset", async () => {
    const { client, sockets, socket } = await open();
    const got = [];
    client.subscribe("a", { since: 5, epoch: EPOCH }, ({ offset }) => got.push(offset));
    const [first] = socket.of("subscribe");
    assert.equal(first.since, 5);
    socket.say({ op: "subscribed", id: first.id, channel: "a", epoch: EPOCH, offset: 5, recovered: true });
    socket.say({ op: "events", channel: "a", events: [event(6), event(9)] });
    socket.drop();
    const next = await nextSocket(sockets);
    const [again] = next.of("subscribe");
    assert.deepEqual([again.since, again.epoch], [9, EPOCH]);
    next.say({ op: "subscribed", id: again.id, channel: "a", epoch: EPOCH, offset: 9, recovered: true });
    next.say({ op: "events", channel: "a", events: [event(9), event(12)] });
    assert.deepEqual(got, [6, 9, 12]);
});

/** While its channel is quiet, `position` says where a subscription continues from: all that are live, and none that
 * waits for its `subscribed` or has seen more. What a reader holds is not handled by that. */
test("a quiet channel resumes behind the position", async () => {
    const { client, sockets, socket } = await open();
    const answer = (on, channel, offset, more = {}) => {
        const { id } = on.of("subscribe").filter((message) => message.channel === channel).at(-1);
        on.say({ op: "subscribed", id, channel, epoch: EPOCH, offset, recovered: true, ...more });
    };
    const quiet = client.subscribe("quiet", { last: 20 }, () => {});
    const held = client.subscribe("held");
    client.subscribe("ahead", { since: 90, epoch: EPOCH }, () => {});
    client.subscribe("late", { since: 3, epoch: EPOCH }, () => {});
    answer(socket, "quiet", 1);
    answer(socket, "held", 5);
    answer(socket, "ahead", 90);
    const reader = held[Symbol.asyncIterator]();
    socket.say({ op: "events", channel: "held", events: [event(6), event(7)] });
    assert.equal((await reader.next()).value.offset, 6);
    socket.say({ op: "position", offset: 50 });
    assert.deepEqual([quiet.offset, quiet.epoch, held.offset], [50, EPOCH, 5]);
    assert.equal((await reader.next()).value.offset, 7);
    assert.equal(held.offset, 6);
    const more = reader.next();
    assert.equal(held.offset, 50);
    socket.say({ op: "position", offset: 40 });
    assert.equal(quiet.offset, 50);
    socket.say({ op: "events", channel: "held", events: [event(51)] });
    assert.equal((await more).value.offset, 51);
    socket.drop();
    const next = await nextSocket(sockets);
    assert.deepEqual(next.of("subscribe").map(({ channel, since }) => [channel, since]),
        [["quiet", 50], ["held", 51], ["ahead", 90], ["late", 3]]);
});

/** The newest only: it is asked for again with every session, and what was skipped is counted. */
test("what a latestOnly subscription skips is counted", async () => {
    const { client, sockets, socket } = await open();
    const skips = [];
    const got = [];
    const options = { last: 1, latestOnly: true, onSkip: (count) => skips.push(count) };
    const subscription = client.subscribe("a", options, ({ offset }) => got.push(offset));
    const [asked] = socket.of("subscribe");
    assert.deepEqual([asked.last, asked.latest_only], [1, true]);
    socket.say({ op: "subscribed", id: asked.id, channel: "a", epoch: EPOCH, offset: 10, recovered: true });
    socket.say({ op: "events", channel: "a", events: [event(11)] });
    socket.say({ op: "events", channel: "a", skipped: 7, events: [event(30)] });
    socket.say({ op: "events", channel: "a", skipped: 2, events: [] });
    assert.deepEqual([got, skips, subscription.skipped], [[11, 30], [7, 2], 9]);
    socket.drop();
    const next = await nextSocket(sockets);
    const [again] = next.of("subscribe");
    assert.deepEqual([again.since, again.epoch, again.latest_only], [30, EPOCH, true]);
});

/** A database that lost commits gives out their offsets again: the gap says where, and what follows is new. */
test("a gap that goes back is followed by what is new", async () => {
    const { client, sockets, socket } = await open();
    const heard = [];
    client.subscribe("a", {}, (event) => heard.push(event.offset));
    socket.say({ op: "subscribed", id: socket.of("subscribe")[0].id, channel: "a", epoch: EPOCH, offset: 100, recovered: true });
    socket.say({ op: "gap", channel: "a", from: 60, to: 60 });
    socket.say({ op: "events", channel: "a", events: [{ offset: 61, stream: "s", data: {} }] });
    socket.drop();
    assert.deepEqual(heard, [61]);
    assert.equal((await nextSocket(sockets)).of("subscribe")[0].since, 61);
});

/** What the server no longer has is said: as a range, or, with another history, as a reason. */
test("gaps are told", async () => {
    const { client, sockets, socket } = await open();
    const gaps = [];
    const local = [];
    client.on("gap", (gap) => gaps.push(gap));
    const subscription = client.subscribe("a", { onGap: (gap) => local.push(gap) }, () => {});
    socket.say({ op: "subscribed", id: socket.of("subscribe")[0].id, channel: "a", epoch: EPOCH, offset: 10, recovered: true });
    socket.say({ op: "gap", channel: "a", from: 11, to: 50 });
    assert.equal(subscription.offset, 50);
    socket.drop();
    const next = await nextSocket(sockets);
    const other = EPOCH.replace("0", "f");
    const [again] = next.of("subscribe");
    next.say({ op: "subscribed", id: again.id, channel: "a", epoch: other, offset: 2, recovered: false, reason: "another epoch" });
    assert.deepEqual(gaps, [{ channel: "a", from: 11, to: 50 }, { channel: "a", reason: "another epoch" }]);
    assert.deepEqual(local, gaps);
    assert.deepEqual([subscription.offset, subscription.epoch], [2, other]);
});

/** A reader that stops reading stops the server, not the page: no event is lost, none comes twice. */
test("a slow iterator pauses its channel", async () => {
    const { client, socket } = await open();
    const subscription = client.subscribe("a", { buffer: 2 });
    const answer = (message) => socket.say({
        op: "subscribed", id: message.id, channel: "a", epoch: EPOCH, offset: message.since ?? 0, recovered: true });
    answer(socket.of("subscribe")[0]);
    socket.say({ op: "events", channel: "a", events: [event(1), event(2), event(3), event(4)] });
    assert.equal(socket.of("unsubscribe").length, 1);
    const reader = subscription[Symbol.asyncIterator]();
    assert.equal((await reader.next()).value.offset, 1);
    assert.equal((await reader.next()).value.offset, 2);
    const resumed = socket.of("subscribe")[1];
    assert.equal(resumed.since, 2);
    answer(resumed);
    socket.say({ op: "events", channel: "a", events: [event(3), event(4)] });
    assert.equal((await reader.next()).value.offset, 3);
    assert.equal((await reader.next()).value.offset, 4);
});

/** What a closed subscription still holds may be read; that brings no more. */
test("a closed subscription does not subscribe again", async () => {
    const { client, socket } = await open();
    const subscription = client.subscribe("a", { buffer: 2 });
    const { id } = socket.of("subscribe")[0];
    socket.say({ op: "subscribed", id, channel: "a", epoch: EPOCH, offset: 0, recovered: true });
    socket.say({ op: "events", channel: "a", events: [event(1), event(2)] });
    subscription.close();
    const got = [];
    for await (const { offset } of subscription) {
        got.push(offset);
    }
    assert.deepEqual([got, socket.of("subscribe").length], [[1, 2], 1]);
});

/** Events on the way from before a pause must not step over those that the resumed subscription is about to bring. */
test("what was on the way at a pause comes again, in order", async () => {
    const { client, socket } = await open();
    const subscription = client.subscribe("a", { buffer: 2 });
    const answer = (message) => socket.say({
        op: "subscribed", id: message.id, channel: "a", epoch: EPOCH, offset: message.since ?? 0, recovered: true });
    answer(socket.of("subscribe")[0]);
    socket.say({ op: "events", channel: "a", events: [event(1), event(2), event(3)] });
    assert.equal(subscription.buffered, 2);
    const reader = subscription[Symbol.asyncIterator]();
    const got = [(await reader.next()).value.offset, (await reader.next()).value.offset];
    assert.equal(subscription.offset, 1); // 2 is still in the reader's hands
    socket.say({ op: "events", channel: "a", events: [event(4)] });
    answer(socket.of("subscribe")[1]);
    const both = [reader.next(), reader.next()];
    socket.say({ op: "events", channel: "a", events: [event(3), event(4)] });
    got.push(...(await Promise.all(both)).map(({ value }) => value.offset));
    assert.deepEqual(got, [1, 2, 3, 4]);
});

/** With `remember`, the next page continues behind what was handled, whatever `last` says. */
test("a position outlives the client", async () => {
    const kept = new Map();
    const remember = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
    const { client, socket } = await open();
    client.subscribe("a", { remember, last: 5 }, () => {});
    const [asked] = socket.of("subscribe");
    assert.equal(asked.last, 5);
    socket.say({ op: "subscribed", id: asked.id, channel: "a", epoch: EPOCH, offset: 3, recovered: true });
    socket.say({ op: "events", channel: "a", events: [event(4), event(8)] });
    client.close();
    const next = await open();
    next.client.subscribe("a", { remember, last: 5 });
    const { since, epoch, last } = next.socket.of("subscribe")[0];
    assert.deepEqual([since, epoch, last], [8, EPOCH, undefined]);
});

/** A busy server is asked again for a subscription, after its pause. */
test("a subscription survives a busy server", async () => {
    const { client, socket } = await open();
    const got = [];
    client.subscribe("a", {}, ({ offset }) => got.push(offset));
    socket.say({ op: "error", id: socket.of("subscribe")[0].id, code: "overloaded", message: "later", retry_after_ms: 5 });
    await until(() => socket.of("subscribe").length === 2);
    const { id } = socket.of("subscribe")[1];
    socket.say({ op: "subscribed", id, channel: "a", epoch: EPOCH, offset: 0, recovered: true });
    socket.say({ op: "events", channel: "a", events: [event(1), event(2)] });
    assert.deepEqual(got, [1, 2]);
});

/** A connection on which no session opens is given up. */
test("a server that never says welcome is left", async () => {
    const { client, sockets } = start({ openTimeout: 20 });
    await until(() => sockets.length >= 2);
    assert.equal(sockets[0].closedWith.code, 4000);
    assert.notEqual(client.state, "open");
});

/** A function that never gives its token holds up one attempt, and one that gives it too late opens nothing. */
test("a token that does not come is asked for again", async () => {
    const askers = [];
    const { client, sockets } = start({ openTimeout: 2000, token: () => new Promise((give) => askers.push(give)) });
    await until(() => askers.length === 2);
    assert.equal(sockets.length, 0);
    askers[0]("late");
    askers[1]("in time");
    await until(() => sockets.length === 1);
    sockets[0].welcome();
    assert.equal(acceptToken(sockets[0]), "in time");
    assert.equal(client.state, "open");
    assert.equal(sockets.length, 1);
});

/** Whatever the function fails with is a failed attempt. */
test("a token that is refused without a reason is asked for again", async () => {
    let asked = 0;
    const { sockets } = start({ token: () => (++asked === 1 ? Promise.reject(null) : "t") });
    await until(() => sockets.length === 1);
    assert.equal(asked, 2);
});

/** A refused subscription ends, and the channel is free for another. */
test("a refused subscription ends with the error", async () => {
    const { client, socket } = await open();
    const subscription = client.subscribe("secret");
    socket.say({ op: "error", id: socket.of("subscribe")[0].id, code: "forbidden", message: "not yours" });
    await assert.rejects(subscription.ready, { code: "forbidden" });
    await assert.rejects(subscription[Symbol.asyncIterator]().next(), { code: "forbidden" });
    assert.throws(() => { client.subscribe("b"); client.subscribe("b"); }, /already/);
    client.subscribe("secret");
});

/** A subscription that the server ends after its `ready` has resolved is an "error" event with the channel: with a
 * callback, or when only broadcasts are heard, no promise would say it. */
test("a subscription that ends later says so", async () => {
    const { client, sockets, socket } = await open();
    const errors = [];
    client.on("error", ({ code, channel, message }) => errors.push([code, channel, message]));
    const confirm = (on, { id, channel }) =>
        on.say({ op: "subscribed", id, channel, epoch: EPOCH, offset: 0, recovered: true });
    client.subscribe("callback", {}, () => {});
    client.subscribe("broadcasts", { onBroadcast: () => {} });
    const iterated = client.subscribe("iterated")[Symbol.asyncIterator]().next();
    const early = client.subscribe("early", {}, () => {});
    const asked = socket.of("subscribe");
    asked.slice(0, 3).forEach((message) => confirm(socket, message));
    socket.say({ op: "error", id: asked[3].id, code: "forbidden", message: "never" });
    await assert.rejects(early.ready, { code: "forbidden", channel: "early" });
    socket.say({ op: "unsubscribed", channel: "callback", reason: "not any more" });
    socket.say({ op: "unsubscribed", channel: "iterated", reason: "not any more" });
    await assert.rejects(iterated, { code: "forbidden", channel: "iterated" });
    assert.deepEqual(errors, [["forbidden", "callback", "not any more"]]);
    client.subscribe("callback", {}, () => {}).close(); // it is free again
    socket.drop();
    const next = await nextSocket(sockets);
    const [{ id }] = next.of("subscribe");
    next.say({ op: "error", id, code: "too_many", message: "100 channels" });
    assert.deepEqual(errors.slice(1), [["too_many", "broadcasts", "100 channels"]]);
});

/** A server that does not understand this client would not the next time either: an "error" event says why, everything
 * that waits is rejected with it, and nobody dials again. */
for (const code of [1002, 1003, 1007, 1010]) {
    test(`a client that is not understood stops (${code})`, async () => {
        const { client, sockets, socket } = await open();
        const errors = [];
        const states = [];
        client.on("error", (error) => errors.push(error));
        client.on("state", ({ state }) => states.push(state));
        const published = client.publish("behavior", {});
        const iterator = client.subscribe("c")[Symbol.asyncIterator]();
        const next = iterator.next();
        socket.drop(code, "the text is not UTF-8");
        assert.equal(client.state, "closed");
        const why = { code: "malformed", message: new RegExp(`closed the connection with ${code} \\(the text is not`) };
        assert.equal(errors.length, 1);
        assert.match(errors[0].message, why.message);
        await assert.rejects(published, why);
        await assert.rejects(next, why);
        await assert.rejects(client.publish("behavior", {}), { code: "closed" });
        await new Promise((resolve) => setTimeout(resolve, 20)); // a back-off has 4 ms at most
        assert.deepEqual([states, sockets.length], [["closed"], 1]);
    });
}

/** What is wrong for now only, or with one message only, is no reason to stop. */
test("other close codes are reconnected after", async () => {
    const { client, sockets, socket } = await open();
    let last = socket;
    for (const code of [1000, 1001, 1006, 1008, 1009, 1013]) {
        last.drop(code);
        last = await nextSocket(sockets);
        assert.equal(client.state, "open", `after ${code}`);
    }
});

/** A channel that is left twice, by the server or in a pause before, is no error of anybody's. */
test("leaving a channel that was left already is no error", async () => {
    const { client, socket } = await open();
    const errors = [];
    client.on("error", ({ code, id }) => errors.push([code, id]));
    const subscription = client.subscribe("a", { buffer: 1 });
    const { id } = socket.of("subscribe")[0];
    socket.say({ op: "subscribed", id, channel: "a", epoch: EPOCH, offset: 0, recovered: true });
    socket.say({ op: "events", channel: "a", events: [event(1)] });
    subscription.close();
    assert.equal(socket.of("unsubscribe").length, 2);
    const refusal = { op: "error", code: "not_subscribed", message: 'not subscribed to "a"' };
    socket.say(refusal);
    socket.say({ ...refusal, id: 99 });
    assert.deepEqual(errors, [["not_subscribed", 99]]);
});

/** Frames that are none, and kinds of message that are unknown, do not break the session. */
test("nonsense from the server is survived", async () => {
    const { client, socket } = await open();
    const errors = [];
    client.on("error", (error) => errors.push(error));
    socket.onmessage({ data: "{" });
    socket.say({ op: "something new" });
    socket.say({ op: "events", channel: "never subscribed", events: [event(1)] });
    socket.say({ op: "ack", id: 12345, level: "durable", count: 1, duplicates: 0 });
    socket.say({ op: "error", code: "overloaded", message: "all of you" });
    assert.deepEqual(errors.map(({ code }) => code), ["malformed", "overloaded"]);
    assert.equal(client.state, "open");
    assert.throws(() => client.on("nothing", () => {}), TypeError);
    assert.throws(() => connect("ws://x", { encoding: "xml" }), TypeError);
});

/** Ids ascend, also within a millisecond and when the clock steps back, and their time is now. */
test("ids ascend", () => {
    const start = Date.now();
    const ids = Array.from({ length: 20000 }, () => uuidv7());
    ids.push(uuidv7(start - 60000));
    assert.deepEqual(ids, [...ids].sort());
    assert.equal(new Set(ids).size, ids.length);
    const ms = parseInt(ids[0].replace("-", "").slice(0, 12), 16);
    assert.ok(Math.abs(ms - start) < 2000);
});

for (const encoding of ["json", "msgpack"]) {
    /** broadcast() resolves when the server has it, and what others say goes to its channel's callback. */
    test(`broadcasts go out and come in (${encoding})`, async () => {
        const { client, socket } = await open({ encoding });
        const heard = [];
        client.subscribe("room:1", { onBroadcast: (data, session) => heard.push([data, session]) }, () => {});
        const sent = client.broadcast("room:1", { typing: true });
        const [message] = socket.of("broadcast");
        assert.deepEqual(Object.keys(message), ["op", "id", "channel", "data"]);
        assert.deepEqual(message.data, { typing: true });
        socket.say({ op: "ack", id: message.id, level: "none", count: 1, duplicates: 0 });
        assert.equal(await sent, undefined);
        socket.say({ op: "broadcast", channel: "room:1", session: "other", data: [1, "x"] });
        socket.say({ op: "broadcast", channel: "room:2", session: "other", data: "not subscribed" });
        assert.deepEqual(heard, [[[1, "x"], "other"]]);
    });
}

/** presence() resolves with who is there; joins and leaves go to the callbacks of the subscription. */
test("presence is asked for and told", async () => {
    const { client, socket } = await open();
    const member = { session: "s2", user: "ann", joined: 1763715637123 };
    const changes = [];
    client.subscribe("room:1", {
        onJoined: (who) => changes.push(["joined", who]),
        onLeft: (who) => changes.push(["left", who]),
    }, () => {});
    const asked = client.presence("room:1");
    const [message] = socket.of("presence");
    socket.say({ op: "presence", id: message.id, channel: "room:1", count: 900, members: [member] });
    assert.deepEqual(await asked, { count: 900, members: [member] });
    socket.say({ op: "joined", channel: "room:1", member });
    socket.say({ op: "left", channel: "room:1", member });
    assert.deepEqual(changes, [["joined", member], ["left", member]]);
});

/** The server ends the session of who sends more than it takes; a broadcast that is too large is refused before. */
test("a broadcast over the server's limit is refused", async () => {
    const { client, socket } = await open({ welcome: { limits: { message_bytes: 200 } } });
    await assert.rejects(client.broadcast("c", "x".repeat(200)), { code: "too_large" });
    assert.equal(socket.of("broadcast").length, 0);
});

/** What matters only now is not kept: without a session, and when it is lost, the promise is rejected. */
test("broadcasts and presence are not repeated", async () => {
    const { client, sockets, socket } = await open();
    const refused = client.presence("c");
    socket.say({ op: "error", id: socket.of("presence")[0].id, code: "unsupported", message: "off" });
    await assert.rejects(refused, { name: "PenstockError", code: "unsupported" });
    const lost = client.broadcast("c", 1);
    socket.drop();
    await assert.rejects(lost, { code: "not_connected" });
    await assert.rejects(client.broadcast("c", 2), { code: "not_connected" });
    const next = await nextSocket(sockets);
    assert.deepEqual(next.of("broadcast"), []);
    client.close();
    await assert.rejects(client.presence("c"), { code: "closed" });
});

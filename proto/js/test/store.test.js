/*
 * store.test.js - the outbox in IndexedDB when the browser does not do its part. What it does when the browser does is
 * tested in a browser (tests/flow/browser).
 */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { openIndexedStore } from "../store.js";
import { until } from "./fake_socket.js";

const OPEN_MS = 20; // of these tests

let requests; // of indexedDB.open(), for the test to answer
let locks; // the names that are held

beforeEach(() => {
    requests = [];
    locks = new Set();
    globalThis.indexedDB = { open: () => requests[requests.push({}) - 1] };
    globalThis.IDBKeyRange = { bound: () => null };
    Object.defineProperty(globalThis, "navigator", { configurable: true, value: { locks: {
        async request(name, options, hold) {
            locks.add(name);
            await hold({ name });
            locks.delete(name);
        },
    } } });
});

afterEach(() => {
    delete globalThis.indexedDB;
    delete globalThis.IDBKeyRange;
    delete globalThis.navigator;
});

/** A database with the records that one page has left, or whose every request waits for ever. */
function fakeDatabase({ isStuck = false, left = [] } = {}) {
    const answer = (result) => {
        const request = { result };
        isStuck || setTimeout(() => request.onsuccess());
        return request;
    };
    const boxes = [...new Set(left.map(({ box }) => box))];
    const openKeyCursor = () => {
        const cursorAt = (place) => (place < boxes.length
            ? { key: [boxes[place]], continue: () => advance(place + 1) } : null);
        const request = answer(cursorAt(0));
        const advance = (place) => queueMicrotask(() => {
            request.result = cursorAt(place);
            request.onsuccess();
        });
        return request;
    };
    const records = []; // that were put
    const store = { openKeyCursor, getAll: () => answer(left), put: (record) => records.push(record), delete() {} };
    return {
        isClosed: false,
        writes: 0,
        records,
        transactions: [],
        transaction(name, mode) {
            this.writes += mode === "readwrite";
            const transaction = { objectStore: () => store };
            this.transactions.push(transaction);
            return transaction;
        },
        close() {
            this.isClosed = true;
        },
    };
}

function openWith(database) {
    const errors = [];
    const store = openIndexedStore("penstock", (error) => errors.push(error), OPEN_MS);
    const opened = store.open();
    if (database) {
        requests[0].result = database;
        requests[0].onsuccess();
    }
    return { errors, store, opened };
}

/** A browser that never answers open() holds nobody up: messages are in memory, and an error says so. When it answers
 * after all, the database is closed again, and no box is taken from other pages. */
test("a database that does not open is done without", async () => {
    const { errors, store, opened } = openWith(null);
    const { producer, records } = await opened;
    assert.ok(producer);
    assert.deepEqual(records, []);
    assert.equal(errors.length, 1);
    assert.equal(errors[0].code, "io");
    assert.match(errors[0].message, /did not open it within 20 ms.*in memory only/);

    const record = { stream: "s" };
    store.put(record);
    store.remove(record);
    store.put(record);
    store.flush();
    assert.deepEqual(await store.adopt(10), []);
    const database = fakeDatabase();
    requests[0].result = database;
    requests[0].onsuccess();
    await new Promise((resolve) => setTimeout(resolve, 1));
    store.close();
    assert.deepEqual([database.isClosed, database.writes, locks.size, errors.length], [true, 0, 0, 1]);
});

/** The same holds for one that opens and then answers nothing. */
test("a database that does not answer is done without", async () => {
    const database = fakeDatabase({ isStuck: true });
    const { errors, opened } = openWith(database);
    assert.deepEqual((await opened).records, []);
    assert.equal(errors.length, 1);
    assert.equal(database.isClosed, true);
    assert.equal(locks.size, 0);
});

/** One that opens in time is used: its box is ours, and a message is written. */
test("a database that opens is used", async () => {
    const database = fakeDatabase();
    const { errors, store, opened } = openWith(database);
    const { producer } = await opened;
    assert.deepEqual([...locks], [`penstock:penstock:${producer}`]);
    store.put({ stream: "s" });
    store.flush();
    assert.deepEqual([database.writes, errors.length], [1, 0]);
    store.close();
    assert.equal(database.isClosed, true);
});

/** Who deletes the database is not held up by a page that has it open; that page says that its outbox is in memory now. */
test("a database that is deleted is let go", async () => {
    const database = fakeDatabase();
    const { errors, store, opened } = openWith(database);
    await opened;
    database.onversionchange();
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual([database.isClosed, locks.size], [true, 0]);
    assert.match(errors[0].message, /being deleted/);
    store.put({ stream: "s" });
    store.flush();
    store.close();
    assert.deepEqual([database.writes, errors.length], [0, 1]);
});

/** close() promises that the next page has what was published, also when it comes before the database has opened. */
test("what was published before the database opened is written after close()", async () => {
    const errors = [];
    const store = openIndexedStore("penstock", (error) => errors.push(error), 5000);
    const opened = store.open();
    store.put({ stream: "s" });
    store.close();
    const database = fakeDatabase();
    requests[0].result = database;
    requests[0].onsuccess();
    assert.deepEqual((await opened).records, []);
    assert.deepEqual([database.records.length, database.isClosed, locks.size, errors.length], [1, true, 0, 0]);
});

/** What was put while a transaction ran that is aborted then is in the next one. */
test("an aborted transaction holds up no others", async () => {
    const database = fakeDatabase();
    const { errors, store, opened } = openWith(database);
    await opened;
    store.put({ stream: "first" });
    await new Promise((resolve) => setTimeout(resolve, 1));
    store.put({ stream: "second" });
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(database.writes, 1);
    database.transactions.at(-1).onabort();
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual([database.writes, errors.length], [2, 1]);
    assert.deepEqual(database.records.map(({ stream }) => stream), ["first", "second"]);
    store.close();
});

/** What is published while the box of the page before is taken over goes into that box, of which this page is the owner:
 * from one without an owner other pages would send it, too. */
test("nothing is written into a box without an owner", async () => {
    const database = fakeDatabase({ left: [{ stream: "s", box: "theirs", turn: 6 }] });
    const { store, opened } = openWith(database);
    await until(() => database.transactions.length > 0);
    store.put({ stream: "s" });
    assert.equal((await opened).producer, "theirs");
    await until(() => database.records.length === 1);
    assert.deepEqual(database.records[0], { stream: "s", box: "theirs", turn: 7 });
    store.close();
});

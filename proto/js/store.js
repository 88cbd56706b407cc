/*
 * store.js - the outbox's copy in IndexedDB, which outlives the page.
 *
 * Every client writes to a box of its own, and owns it by a Web Lock, which the browser frees when the page is gone,
 * however it went. Who owns a box sends what is in it, nobody else does: two pages never send the same message.
 *   1. open() takes over one box that nobody owns (after a reload: the one of the page before) and makes it its own,
 *      with its name, which is also the producer's, so that the order goes on; if there is none, it makes one;
 *   2. put() and remove() are collected while a transaction runs, and go with the next one, so that a page that
 *      publishes much waits for no disk. What is removed before it was written is never written;
 *   3. adopt(), called now and then, takes over what pages left that are gone since. Such a box is owned until
 *      it is empty, or until close().
 * A box has no entry of its own: it is there while it holds a message, under the key [box, turn].
 */
import { PenstockError } from "./error.js";
import { uuidv7 } from "./uuid.js";

const MESSAGES = "messages";
const OPEN_MS = 5000; // browsers have been seen that never answer open(); until it has, nothing is sent

/**
 * A store in IndexedDB, or null where there is none that several pages can share; `fail` hears why. `openMs` is how
 * long the browser has to open it.
 */
export function openIndexedStore(name, fail, openMs = OPEN_MS) {
    if (globalThis.indexedDB && globalThis.navigator?.locks) {
        return new IndexedStore(name, fail, openMs);
    }
    fail(new PenstockError({ code: "unsupported", message: "an outbox in IndexedDB needs Web Locks, which pages have " +
        "that come by https or from localhost: what is published here is kept in memory only" }));
    return null;
}

class IndexedStore {
    #name;
    #fail;
    #openMs;
    #db = null;
    #box = uuidv7();
    #turn = 0;
    #owned = new Map(); // box -> {release, count}: the lock, and how many messages it has
    #puts = new Set();
    #removes = [];
    #isOpen = false; // it is known which box is ours
    #isWriting = false;
    #isScheduled = false;
    #isClosed = false;

    constructor(name, fail, openMs) {
        this.#name = name;
        this.#fail = fail;
        this.#openMs = openMs;
    }

    /** Resolves with the producer's name and what the page before has left. Never rejects, and never waits for long:
     * without a database the messages are in memory, and `fail` has heard of it. */
    async open() {
        try {
            const records = await within(this.#openMs, this.#takeOver(), "the browser did not open it");
            this.#isOpen = true;
            this.#schedule();
            return { producer: this.#box, records };
        } catch (error) {
            this.#puts.clear();
            this.#letGo(); // what comes to pass after all finds it closed, and leaves the boxes to other pages
            this.#broken(error);
            return { producer: this.#box, records: [] };
        }
    }

    /** Keeps a copy of `record`, which becomes its handle. */
    put(record) {
        if (!this.#isClosed) {
            this.#puts.add(record);
            this.#schedule();
        }
    }

    /** Forgets what put() was given, or open() and adopt() have brought. */
    remove(record) {
        if (!this.#puts.delete(record) && !this.#isClosed) {
            this.#removes.push(record);
            this.#schedule();
        }
    }

    /** What a page that is gone has left, when it is not more than `room` messages; else nothing. */
    async adopt(room) {
        try {
            return this.#db && !this.#isClosed ? await this.#takeOne(room) : [];
        } catch (error) {
            this.#broken(error);
            return [];
        }
    }

    /** Writes at once what was not written: the page may be going. */
    flush() {
        if (this.#db && this.#puts.size + this.#removes.length > 0) {
            this.#write();
        }
    }

    /** Leaves everything to whoever comes next; what waits for the database to open is written when it does. */
    close() {
        this.flush();
        this.#letGo();
    }

    #letGo() {
        this.#isClosed = true;
        this.#db?.close(); // waits for its transactions
        this.#db = null;
        for (const { release } of this.#owned.values()) {
            release();
        }
        this.#owned.clear();
    }

    // ---- boxes ------------------------------------------------------------------------------

    async #takeOver() {
        this.#db = await openDatabase(this.#name);
        if (this.#isClosed) {
            this.close();
            return [];
        }
        this.#db.onversionchange = () => { // somebody deletes the database: nobody can open it again before we let it go
            this.#letGo();
            this.#broken(new Error("it is being deleted"));
        };
        const records = await this.#takeOne(Infinity);
        if (records.length > 0) {
            this.#box = records[0].box;
            this.#turn = records.at(-1).turn + 1;
        } else {
            await this.#own(this.#box);
        }
        return records;
    }

    /** Owns the first box that nobody owns, and answers its messages. */
    async #takeOne(room) {
        for (const box of await boxesOf(this.#db)) {
            if (this.#owned.has(box) || !await this.#own(box)) {
                continue;
            }
            const records = await settled(this.#read().getAll(rangeOf(box)));
            if (records.length > 0 && records.length <= room) {
                this.#owned.get(box).count = records.length;
                return records;
            }
            this.#disown(box); // emptied by its page meanwhile, or too much for now
        }
        return [];
    }

    async #own(box) {
        const release = await lock(`penstock:${this.#name}:${box}`);
        if (release && this.#isClosed) {
            release();
            return false;
        }
        if (release) {
            this.#owned.set(box, { release, count: 0 });
        }
        return release !== null;
    }

    #disown(box) {
        this.#owned.get(box)?.release();
        this.#owned.delete(box);
    }

    // ---- reading and writing ----------------------------------------------------------------

    #read() {
        return this.#db.transaction(MESSAGES).objectStore(MESSAGES);
    }

    #schedule() {
        if (this.#db && this.#isOpen && !this.#isScheduled && !this.#isWriting) {
            this.#isScheduled = true;
            queueMicrotask(() => {
                this.#isScheduled = false;
                this.#isClosed || this.flush();
            });
        }
    }

    #write() {
        const puts = [...this.#puts];
        const removes = this.#removes;
        this.#puts.clear();
        this.#removes = [];
        try {
            const transaction = this.#db.transaction(MESSAGES, "readwrite", { durability: "relaxed" });
            const messages = transaction.objectStore(MESSAGES);
            for (const record of puts) {
                Object.assign(record, { box: this.#box, turn: this.#turn++ });
                messages.put(record);
            }
            removes.forEach(({ box, turn }) => messages.delete([box, turn]));
            transaction.commit?.(); // needs nothing more of this page, which may be going
            this.#isWriting = true;
            transaction.oncomplete = () => this.#written(removes);
            transaction.onabort = () => this.#broken(transaction.error);
        } catch (error) {
            this.#broken(error);
        }
    }

    #written(removes) {
        this.#isWriting = false;
        for (const { box } of removes) {
            const owned = this.#owned.get(box);
            if (box !== this.#box && owned && --owned.count === 0) {
                this.#disown(box);
            }
        }
        this.#schedule();
    }

    #broken(error) {
        this.#isWriting = false;
        this.#schedule(); // what came meanwhile has a chance of its own
        this.#fail(new PenstockError({ code: "io", message: `the outbox in IndexedDB cannot be used (${
            error?.message ?? "the transaction was aborted"}): what is published now is kept in memory only` }));
    }
}

function openDatabase(name) {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(MESSAGES, { keyPath: ["box", "turn"] });
    return settled(request);
}

function rangeOf(box) {
    return IDBKeyRange.bound([box, -Infinity], [box, Infinity]);
}

/** The names of all boxes: one step of the cursor a box, whatever it holds. */
function boxesOf(db) {
    return new Promise((resolve, reject) => {
        const boxes = [];
        const request = db.transaction(MESSAGES).objectStore(MESSAGES).openKeyCursor();
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
            const cursor = request.result;
            if (!cursor) {
                resolve(boxes);
                return;
            }
            boxes.push(cursor.key[0]);
            cursor.continue([cursor.key[0], Infinity]);
        };
    });
}

function settled(request) {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}

/** What `promise` resolves with, if it does so within `ms`. */
function within(ms, promise, complaint) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${complaint} within ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Takes a Web Lock if it is free: what releases it, or null. */
function lock(name) {
    return new Promise((resolve, reject) => {
        const hold = (lock) => (lock ? new Promise((release) => resolve(release)) : resolve(null));
        navigator.locks.request(name, { ifAvailable: true }, hold).catch(reject);
    });
}

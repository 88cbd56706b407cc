/*
 * error.js - the one kind of error that this client throws, rejects with, and tells of.
 */

/** An answer of the server (or of this client) that says no. `code` is a word of the protocol. */
export class PenstockError extends Error {
    constructor({ code, message, id, index, field, retry_after_ms: retryAfter }) {
        super(message ?? code);
        this.name = "PenstockError";
        Object.assign(this, { code, id, index, field, retryAfter });
    }
}

/** What everything is refused with after close(). */
export function closedError() {
    return new PenstockError({ code: "closed", message: "the client is closed" });
}

/** What is not kept for later is refused with it while there is no session. */
export function notConnectedError() {
    return new PenstockError({ code: "not_connected", message: "there is no session, or it was lost" });
}

/** Why a client that the server does not understand has closed itself. */
export function misunderstoodError(code, reason) {
    return new PenstockError({ code: "malformed", message: `the server closed the connection with ${code} (${
        reason || "no reason"}): it does not understand this client, and would not the next time, so nothing more ` +
        "is sent" });
}

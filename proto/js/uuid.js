/*
 * uuid.js - time-ordered ids: the key by which an event that is sent twice is stored once.
 */

let lastMs = 0;
let counter = 0;

/** RFC 9562: milliseconds, then a counter (method 1 of section 6.2), then random bits: ids ascend. */
export function uuidv7(now = Date.now()) {
    const bytes = randomBytes(16);
    if (now > lastMs) {
        lastMs = now;
        counter = ((bytes[6] & 0x07) << 8) | bytes[7]; // the upper half stays free to count in
    } else if (++counter > 0xfff) {
        lastMs++;
        counter = 0;
    }
    for (let i = 0, rest = lastMs; i < 6; i++, rest = Math.floor(rest / 256)) {
        bytes[5 - i] = rest % 256;
    }
    bytes[6] = 0x70 | (counter >> 8);
    bytes[7] = counter & 0xff;
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Ids are no secrets: where there is no crypto (Node 18), Math.random serves. */
function randomBytes(count) {
    const bytes = new Uint8Array(count);
    return globalThis.crypto?.getRandomValues?.(bytes) ?? bytes.map(() => Math.random() * 256);
}

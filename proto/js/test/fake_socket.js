/*
 * fake_socket.js - a WebSocket that is a list of what was sent; the test plays the server.
 */
import { decodeMsgpack, encodeMsgpack } from "../msgpack.js";

export const EPOCH = "00112233-4455-6677-8899-aabbccddeeff";

/** A WebSocket class, and every socket that was made with it. */
export function fakeWebSocket() {
    class FakeSocket {
        static sockets = [];

        constructor(url, protocols) {
            this.url = new URL(url);
            this.protocol = protocols[0];
            this.sent = [];
            this.closedWith = null;
            FakeSocket.sockets.push(this);
        }

        send(frame) {
            this.sent.push(typeof frame === "string" ? JSON.parse(frame) : decodeMsgpack(frame));
        }

        close(code = 1000, reason = "") {
            if ((code !== 1000 && !(code >= 3000 && code <= 4999)) || Buffer.byteLength(reason) > 123) {
                throw new DOMException("as the WebSocket API has it");
            }
            this.closedWith = { code, reason };
        }

        /** The server says something. */
        say(message) {
            const isJson = this.protocol.endsWith("json");
            const data = isJson ? JSON.stringify(message) : encodeMsgpack(message).slice().buffer;
            this.onmessage?.({ data });
        }

        welcome(more = {}) {
            this.say({ op: "welcome", session: "s", node: "n", version: "0", heartbeat_s: 30, epoch: EPOCH, offset: 0,
                limits: { message_bytes: 1 << 20, events: 1000, channels: 100 }, ...more });
        }

        /** The connection breaks. */
        drop(code = 1006, reason = "") {
            this.onclose?.({ code, reason });
        }

        /** What was sent of one kind. */
        of(op) {
            return this.sent.filter((message) => message.op === op);
        }
    }
    return FakeSocket;
}

/** Waits until `condition` answers something true. */
export async function until(condition, what = condition.toString()) {
    const end = Date.now() + 5000;
    for (;;) {
        const answer = condition();
        if (answer) {
            return answer;
        }
        if (Date.now() > end) {
            throw new Error(`not within 5 s: ${what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 2));
    }
}

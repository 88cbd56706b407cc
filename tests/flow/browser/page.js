/*
 * page.js - what the pages of test_client.py do: publish recorded events, and write down what they hear.
 */
const { connect } = await import("/penstock.js");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a page has heard outlives it, as the position that the client remembers does. */
const got = JSON.parse(sessionStorage.getItem("got") ?? "[]");
addEventListener("pagehide", () => sessionStorage.setItem("got", JSON.stringify(got)));
const hear = ({ offset, data }) => got.push([offset, data.id]);

window.penstock = {
    got,
    states: [],
    errors: [],
    acked: 0,
    connect(url, options) {
        const client = connect(url, { backoff: { min: 50, max: 1000 }, ...options });
        client.on("state", ({ state }) => this.states.push(state));
        client.on("error", ({ code, message }) => this.errors.push(`${code}: ${message}`));
        client.on("gap", (gap) => this.errors.push(`gap: ${JSON.stringify(gap)}`));
        this.client = client;
        return client;
    },

    /** Publishes in messages of `size`, one every few milliseconds: as a page does, not as a loader. */
    async publish(events, size, ms, options = {}) {
        for (let first = 0; first < events.length; first += size) {
            const message = events.slice(first, first + size);
            this.client.publish("behavior", message, options).then(
                () => (this.acked += message.length),
                (error) => error.code === "closed" || this.errors.push(`${error.code}: ${error.message}`));
            if (ms > 0) {
                await sleep(ms);
            }
        }
    },

    listen(options = {}) {
        return this.client.subscribe("stream:behavior", options, hear).ready;
    },

    async read(options = {}) {
        for await (const event of this.client.subscribe("stream:behavior", options)) {
            hear(event);
            if (got.length % 50 === 0) {
                await sleep(5); // slower than the server: the client leaves the channel, and comes back
            }
        }
    },
};

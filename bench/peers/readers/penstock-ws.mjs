// Penstock over WebSocket: subscribe with `last`; done when so many events have come.
import WebSocket from "ws";

const REDUCED = { perMessageDeflate: false, maxPayload: 1 << 30 };

export async function open() {
  const socket = new WebSocket(`ws://127.0.0.1:${process.env.PENSTOCK_PORT}/v1/ws`, "penstock.v1.json", REDUCED);
  let hear = () => {};
  socket.on("message", (bytes) => hear(JSON.parse(bytes)));
  await new Promise((resolve) => { hear = ({ op }) => op === "welcome" && resolve(); });
  const say = (message) => socket.send(JSON.stringify(message));

  return {
    async last(user, count) {
      const rows = [];
      await new Promise((resolve, reject) => {
        hear = (message) => {
          if (message.op === "error" || message.op === "gap") {
            reject(new Error(JSON.stringify(message)));
          }
          for (const event of message.op === "events" ? message.events : []) {
            rows.push(event.data);
          }
          if (rows.length >= count) {
            resolve();
          }
        };
        say({ op: "subscribe", channel: `user:${user}`, last: count });
      });
      await new Promise((resolve) => {
        hear = ({ op }) => op === "unsubscribed" && resolve();
        say({ op: "unsubscribe", channel: `user:${user}` });
      });
      return rows;
    },
    close: () => socket.close(),
  };
}

// fanout-server.mjs PORT: channels in a map, `ws` for the sockets: what a team would write first.
// A message is made into bytes once, whoever gets it.
import { WebSocketServer } from "ws";

const subscribers = new Map(); // channel: Set of sockets
const server = new WebSocketServer({
  host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false, maxPayload: 1 << 20,
});

const acts = {
  subscribe(socket, { channel }) {
    if (!subscribers.has(channel)) {
      subscribers.set(channel, new Set());
    }
    subscribers.get(channel).add(socket);
    socket.on("close", () => subscribers.get(channel).delete(socket));
    socket.send('{"op":"subscribed"}');
  },
  publish(socket, { channel, data }) {
    const bytes = Buffer.from(JSON.stringify({ op: "events", channel, events: [data] }));
    for (const each of subscribers.get(channel) ?? []) {
      each.send(bytes, { binary: false });
    }
  },
};
server.on("connection", (socket) => {
  socket.setMaxListeners(0);
  socket.send('{"op":"welcome"}');
  socket.on("message", (bytes) => {
    const message = JSON.parse(bytes);
    acts[message.op](socket, message);
  });
});

// server.mjs WRITER PORT: the server that a team would write, with `ws` and one of writers/.
//
// It takes the messages of penstock.v1.json that the load generator sends, and answers `ack` when
// they are committed. What makes it as quick as it can be: it batches everything that came while its
// connections were busy (as Penstock does), CONNECTIONS of them, and answers a batch at once.
// What it does not do: validate, survive a crash, tell duplicates, push.
import { WebSocketServer } from "ws";
import { rowOf } from "./rows.mjs";

const CONNECTIONS = 2;
const BATCH_ROWS = Number(process.env.BATCH_ROWS ?? 2000);
const [name, port] = process.argv.slice(2);
const { open } = await import(`./writers/${name}.mjs`);

const pending = []; // {socket, id, rows}
const resting = []; // writers without work

function takeBatch() {
  const messages = [];
  let rows = [];
  while (pending.length > 0 && (rows.length === 0 || rows.length + pending[0].rows.length <= BATCH_ROWS)) {
    const message = pending.shift();
    messages.push(message);
    rows = rows.length === 0 ? message.rows : rows.concat(message.rows);
  }
  return { messages, rows };
}

async function work(writer) {
  while (pending.length > 0) {
    const { messages, rows } = takeBatch();
    await writer.write(rows);
    for (const { socket, id, rows: { length } } of messages) {
      socket.send(`{"op":"ack","id":${id},"level":"committed","count":${length},"duplicates":0}`);
    }
  }
  resting.push(writer);
}

for (let i = 0; i < CONNECTIONS; i++) {
  resting.push(await open());
}
const server = new WebSocketServer({
  host: "127.0.0.1", port: Number(port), perMessageDeflate: false, maxPayload: 1 << 20,
  handleProtocols: (offered) => offered.values().next().value,
});
server.on("connection", (socket) => {
  socket.send('{"op":"welcome"}');
  socket.on("message", (data) => {
    const { id, events } = JSON.parse(data);
    pending.push({ socket, id, rows: events.map(rowOf) });
    // In the next turn: what has arrived with this message goes into the same batch.
    setImmediate(() => { if (resting.length > 0) { void work(resting.pop()); } });
  });
});

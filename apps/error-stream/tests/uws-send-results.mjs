/** Prints what uWebSockets.js's `send` answers to a client that stops reading; run by send-results.test.ts under Node. */

import uws from "uWebSockets.js";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const [port, limit] = process.argv.slice(2).map(Number);
const FRAME = "x".repeat(10_000);
let open;
const opened = new Promise((resolve) => {
  open = resolve;
});
const app = uws.App().ws("/*", { maxBackpressure: limit, open });
await new Promise((resolve) => app.listen("127.0.0.1", port, resolve));

let received = 0;
const client = connect(port, "127.0.0.1");
client.write(process.argv[4].replaceAll("\\r\\n", "\r\n"));
const socket = await opened;
await sleep(200);
client.on("data", (bytes) => {
  received += bytes.length;
});
client.pause();
await sleep(50);
const results = { 0: 0, 1: 0, 2: 0 };
for (let sent = 0; sent < 1_500; sent++) results[socket.send(FRAME, false)]++;
client.resume();
while (socket.getBufferedAmount() > 0) await sleep(20);
await sleep(300);
console.log(JSON.stringify({ results, frames: Math.floor(received / FRAME.length) }));
process.exit();

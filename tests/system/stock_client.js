// Many stock clients at once: node stock_client.js ADDRESS TRANSPORTS SESSIONS NUMBERS
// Each counts towards the server while the server counts towards it; prints one line of JSON per session.

"use strict";

const { io } = require("socket.io-client");

const [address, transports, sessions, numbers] = process.argv.slice(2);
const MOST = Number(numbers);

function session() {
  return new Promise((resolve) => {
    const options = { forceNew: true, auth: { token: "abc" }, reconnection: false };
    if (transports !== "default") options.transports = transports.split(",");
    const socket = io(address, options);
    const heard = [];
    const said = { auth: null, bytes: null, upgrades: 0, heard, acknowledged: [], error: null };
    const maybeEnd = () => {
      if (heard.length < MOST || said.acknowledged.length < MOST || said.bytes === null) return;
      said.transport = socket.io.engine.transport.name;
      socket.once("disconnect", () => resolve(said));
      socket.disconnect();
    };
    // One timer after the other: of several, Node may run the later one first.
    const count = (number) => {
      if (number === MOST) return;
      socket.emit("count", number, (answer) => {
        said.acknowledged.push(answer);
        maybeEnd();
      });
      setTimeout(count, 4, number + 1);
    };
    socket.io.engine.on("upgrade", () => said.upgrades++);
    socket.on("auth", (auth) => (said.auth = auth));
    socket.on("number", (number) => {
      heard.push(number);
      maybeEnd();
    });
    socket.on("connect_error", (error) => resolve({ ...said, error: String(error) }));
    socket.on("disconnect", (reason) => {
      if (reason !== "io client disconnect") resolve({ ...said, error: reason });
    });
    socket.on("connect", () => {
      count(0);
      socket.emit("echo", Buffer.from([0, 1, 255]), (answer) => {
        said.bytes = [...answer];
        maybeEnd();
      });
    });
  });
}

async function main() {
  const all = await Promise.all(Array.from({ length: Number(sessions) }, session));
  for (const said of all) console.log(JSON.stringify(said));
  // No exit: what the clients say at their end is still on its way.
}

main();

// A stock client that watches everything and prints what it is told: node stock_watcher.js ADDRESS TRANSPORTS PROTOCOL
// After a cut it comes back by itself, and asks for what it missed.

"use strict";

const { io } = require("socket.io-client");

const [address, transports, protocol] = process.argv.slice(2);
const options = { reconnectionDelay: 20, reconnectionDelayMax: 100 };
if (transports !== "default") options.transports = [transports];

let since;
const socket = io(address, options);
const request = { devices: ["*"], protocol: Number(protocol) };
socket.on("connect", () => socket.emit("watch", { ...request, ...(since && { since }) }));
socket.on("states", (said) => {
  const { epoch = since?.epoch, offset } = said; // a position that is not named is of the same epoch
  if (said.reset || !since || offset > since.offset) since = { epoch, offset };
  console.log(JSON.stringify(said));
});

// A stock client that watches everything and prints what it is told: node stock_watcher.js ADDRESS TRANSPORTS
// After a cut it comes back by itself, and asks for what it missed.

"use strict";

const { io } = require("socket.io-client");

const [address, transports] = process.argv.slice(2);
const options = { reconnectionDelay: 20, reconnectionDelayMax: 100 };
if (transports !== "default") options.transports = [transports];

let since;
const socket = io(address, options);
socket.on("connect", () => socket.emit("watch", { devices: ["*"], ...(since && { since }) }));
socket.on("states", (said) => {
  if (said.reset || !since || said.offset > since.offset) since = { epoch: said.epoch, offset: said.offset };
  console.log(JSON.stringify(said));
});

// A client that comes back at once, and prints what it shows whenever that changes: node cut_client.js ADDRESS KIND
// KIND is "statecast", our own script, or the transport of the stock client.

"use strict";

const [address, kind, script] = process.argv.slice(2);
const show = (states) => console.log(JSON.stringify(states));

async function ours() {
  const WebSocket = require("ws");
  globalThis.WebSocket = class extends WebSocket {
    constructor(url) {
      super(url);
      this.on("error", () => {}); // a browser's says nothing if nobody listens
    }
  };
  Math.random = () => 0; // no waiting before it comes back
  const { connect } = await import(script);
  const live = connect({ url: `${address}/socket.io/` });
  live.on("states", () => {
    const present = [...live.board.devices].filter(([, one]) => one.state !== null);
    show(Object.fromEntries(present.map(([device, one]) => [device, one.state])));
  });
}

function stock() {
  const { io } = require("socket.io-client");
  const atOnce = { reconnectionDelay: 1, reconnectionDelayMax: 1, randomizationFactor: 0 };
  // If a WebSocket ends between its handshake and Engine.IO's first packet, it notices by this time-out only.
  const patience = { timeout: 200 };
  const socket = io(address, { ...atOnce, ...patience, ...(kind !== "default" && { transports: [kind] }) });
  let states = {};
  let since;
  socket.on("connect", () => socket.emit("watch", { devices: ["*"], ...(since && { since }) }));
  socket.on("states", (said) => {
    if (said.reset) states = {};
    for (const { device, state } of said.states) {
      if (state === null) delete states[device];
      else states[device] = state;
    }
    since = { epoch: said.epoch, offset: said.offset };
    show(states);
  });
}

if (kind === "statecast") ours();
else stock();

// Socket.IO on Node, with its default WebSocket engine (ws). The conversation is that of the other peers.
"use strict";

const { createServer } = require("http");
const { createInterface } = require("readline");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { pingInterval: 600000 });
const turn = (pause) =>
  new Promise((resolve) => (pause ? setTimeout(resolve, pause * 1000) : setImmediate(resolve)));

async function obey(line) {
  const command = JSON.parse(line);
  for (let round = 0; round < command.rounds; round++) {
    io.emit("states", command.data);
    await turn(command.pause);
  }
}

http.listen(0, "127.0.0.1", async () => {
  console.log(JSON.stringify({ port: http.address().port }));
  for await (const line of createInterface({ input: process.stdin })) {
    await obey(line);
  }
  process.exit(0);
});

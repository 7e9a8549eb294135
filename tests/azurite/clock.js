// Loaded before Azurite: its clock moves when told, so that no test waits for a message to appear again.
// A line on the standard input is a number of seconds; each is answered with a line.
"use strict";

let ahead = 0;
const RealDate = Date;

globalThis.Date = class extends RealDate {
	constructor(...values) {
		super(...(values.length ? values : [RealDate.now() + ahead]));
	}

	static now() {
		return RealDate.now() + ahead;
	}
};

require("node:readline").createInterface({ input: process.stdin }).on("line", (seconds) => {
	ahead += Number(seconds) * 1000;
	process.stdout.write("moved\n");
});
